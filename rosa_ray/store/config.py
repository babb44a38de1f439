"""Settings of the online store."""

from dataclasses import dataclass

from rosa_ray.errors import ConfigError
from rosa_ray.units import DAY_US

STATE_DTYPES = ("float16", "float32")
DEFAULT_TIMELINE_EVENTS = 256
"""Events kept per user of a store that no model was loaded into yet."""

_LEAST = {
    "max_timeline_events": 0,
    "dedup_horizon_days": 1,
    "user_ttl_days": 0,
    "busy_timeout_ms": 0,
    "timeout_ms": 1,
}


@dataclass(frozen=True)
class StoreConfig:
    """Which online store, where, and how much it keeps.

    Attributes:
        kind: implementation, a module of `rosa_ray.store.backends`.
        path: the SQLite file.
        url: the Redis server and database, `redis://[user:password@]host:port/0`, `rediss://` or `unix://`.
        password_env: name of an environment variable that holds the server's password, which then stands in no config.
        namespace: first part of every Redis key, so that several stores share a server.
        max_timeline_events: events kept per user; 0 keeps what the ranker needs to recompute its last window of states
            exactly (`context_events`), or 256 before a model is there. One more is kept for the gap of the first.
        states_dtype: float16 or float32; float16 halves the store and moves a state by up to 5e-4 of its value.
        dedup_horizon_days: record ids are remembered this far behind the newest record; an older record is set aside
            as late, since the store cannot tell whether it has it.
        user_ttl_days: a user without a record for this long, in event time, is removed; 0 keeps users for ever.
        busy_timeout_ms: how long to wait for another writer of the SQLite file.
        timeout_ms: how long to wait for an answer of the Redis server.

    >>> StoreConfig(dedup_horizon_days=1).horizon_us
    86400000000
    """

    kind: str = "sqlite"
    path: str = "store.db"
    url: str = "redis://localhost:6379/0"
    password_env: str = ""
    namespace: str = "rosa"
    max_timeline_events: int = 0
    states_dtype: str = "float32"
    dedup_horizon_days: int = 7
    user_ttl_days: int = 0
    busy_timeout_ms: int = 5000
    timeout_ms: int = 2000

    def __post_init__(self) -> None:
        if self.states_dtype not in STATE_DTYPES:
            raise ConfigError(f"store.states_dtype is '{self.states_dtype}'; give {' or '.join(STATE_DTYPES)}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ConfigError(f"store.{name} is {getattr(self, name)}; it must be at least {least}")

    @property
    def horizon_us(self) -> int:
        """The horizon of remembered event ids, microseconds."""
        return self.dedup_horizon_days * DAY_US

    @property
    def ttl_us(self) -> int | None:
        """How long a user without a record is kept, microseconds; None is for ever."""
        return self.user_ttl_days * DAY_US or None
