"""The embedded store: one SQLite file in WAL mode, many reading processes beside one writer at a time."""

from rosa_ray.store.backends.sqlite.store import Store

__all__ = ["Store"]
