"""The shared store: one Redis server or primary, any number of reading and writing processes.

Every update is one Lua script, so that writers need no agreement among themselves. Keys are made in scripts: cluster
mode, which wants them named beforehand, is not supported. Redis 6.2 or newer.
"""

from rosa_ray.store.backends.redis.store import Store

__all__ = ["Store"]
