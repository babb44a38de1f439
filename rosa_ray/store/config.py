"""Settings of the online store."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le

from rosa_ray.settings import OneOf, section
from rosa_ray.settings.secrets import absolute_reference
from rosa_ray.store.backends import store_kinds
from rosa_ray.units import DAY_US

DEFAULT_TIMELINE_EVENTS = 256
"""Events kept per user of a store that no model was loaded into yet."""


@section("store")
class StoreConfig:
    """Which online store, where, and how much it keeps.

    >>> StoreConfig(dedup_horizon_days=1).horizon_us
    86400000000
    """

    kind: Annotated[str, OneOf(store_kinds)] = "sqlite"
    """Implementation, a module of `rosa_ray.store.backends`."""
    path: str = "store.db"
    """The SQLite file."""
    url: str = "redis://localhost:6379/0"
    """The Redis server and database, `redis://[user:password@]host:port/0`, `rediss://` or `unix://`. The whole may be
    `env:NAME` or `file:PATH`, and the password `{env:NAME}`."""
    password_env: str = ""
    """Name of an environment variable that holds the server's password, which then stands in no config."""
    tls_ca: str = ""
    """File of the authorities that vouch for a `rediss://` server. Empty takes those of the system."""
    tls_cert: str = ""
    """File of the certificate that this process shows a `rediss://` server which asks for one."""
    tls_key: str = ""
    """File of the key of `tls_cert`."""
    namespace: str = "rosa"
    """First part of every Redis key, so that several stores share a server."""
    max_timeline_events: Annotated[int, Ge(0)] = 0
    """Events kept per user. 0 keeps what the ranker needs to recompute its last window of states exactly
    (`context_events`), or 256 before a model is there. One more is kept for the gap of the first."""
    states_dtype: Literal["float16", "float32"] = "float32"
    """Number format of stored states. float16 halves the store and moves a state by up to 5e-4 of its value."""
    dedup_horizon_days: Annotated[int, Ge(1)] = 7
    """Record ids are remembered for this long after the record came, by the time of the newest record. An older record
    is set aside as late where the store cannot tell whether it has it. A gap in what came is filled at any age."""
    counter_days: Annotated[int, Ge(1), Le(3650)] = 7
    """Buckets of counters are kept for the longest window and so many days more, by the time of the newest record. A
    request of an earlier time is not read exactly. The sums of all time go on."""
    kept_versions: Annotated[int, Ge(0), Le(20)] = 2
    """Former models that can still be read, beside the one activated last. Each activation removes the states of older
    ones, and the loaded logs that none of the kept reads. Records are counted once for each loaded log that is kept."""
    journal_days: Annotated[int, Ge(1)] = 30
    """Live records are kept for this long, by the time of the newest, until a loaded log holds them. A log that ended
    earlier is loaded without those that fell out, and `rosa materialize` says how many did."""
    user_ttl_days: Annotated[int, Ge(0)] = 0
    """A user without a record for this long, in event time, is removed. 0 keeps users for ever."""
    busy_timeout_ms: Annotated[int, Ge(0)] = 5000
    """How long to wait for another writer of the SQLite file."""
    timeout_ms: Annotated[int, Ge(1)] = 2000
    """How long to wait for an answer of the Redis server."""

    def absolute(self) -> "StoreConfig":
        """The same for processes with another working directory."""
        path = str(Path(self.path).absolute())
        return replace(self, path=path, url=absolute_reference(self.url))

    @property
    def horizon_us(self) -> int:
        """The horizon of remembered event ids, microseconds."""
        return self.dedup_horizon_days * DAY_US

    @property
    def journal_us(self) -> int:
        """How long live records are kept in the journal, microseconds."""
        return self.journal_days * DAY_US

    @property
    def ttl_us(self) -> int | None:
        """How long a user without a record is kept, microseconds; None is for ever."""
        return self.user_ttl_days * DAY_US or None
