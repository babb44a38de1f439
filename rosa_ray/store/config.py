"""Settings of the online store."""

from dataclasses import dataclass

from rosa_ray.errors import ConfigError
from rosa_ray.units import DAY_US

STATE_DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class StoreConfig:
    """Which online store, where, and how much it keeps.

    Attributes:
        kind: implementation, a module of `rosa_ray.store.backends`.
        path: the SQLite file.
        max_timeline_events: events kept per user; 0 keeps what the ranker needs to recompute its last window of states
            exactly (`context_events`), or 256 before a model is there. One more is kept for the gap of the first.
        states_dtype: float16 or float32; float16 halves the store and moves a state by up to 5e-4 of its value.
        dedup_horizon_days: event ids are remembered this far behind the newest event; an older event is set aside
            as late, since the store cannot tell whether it has it.
        busy_timeout_ms: how long to wait for another writer.

    >>> StoreConfig(dedup_horizon_days=1).horizon_us
    86400000000
    """

    kind: str = "sqlite"
    path: str = "store.db"
    max_timeline_events: int = 0
    states_dtype: str = "float32"
    dedup_horizon_days: int = 7
    busy_timeout_ms: int = 5000

    def __post_init__(self) -> None:
        if self.states_dtype not in STATE_DTYPES:
            raise ConfigError(f"store.states_dtype is '{self.states_dtype}'; give {' or '.join(STATE_DTYPES)}")
        for name, least in (("max_timeline_events", 0), ("dedup_horizon_days", 1), ("busy_timeout_ms", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"store.{name} is {getattr(self, name)}; it must be at least {least}")

    @property
    def horizon_us(self) -> int:
        """The horizon of remembered event ids, microseconds."""
        return self.dedup_horizon_days * DAY_US
