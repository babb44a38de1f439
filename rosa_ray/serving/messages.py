"""What the three parts of the service say to each other: small NumPy arrays, no table and no tensor.

The parts know each other through `LookupPort` and `EncoderPort` alone, so that a call may stay in the process (fused)
or be a hop to another deployment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.changes import Changes
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.schema import MISSING_KEY

Outcome = Literal["hit", "extended", "rebuilt", "miss"]
"""What the encoder knew of a timeline: all of it; all but its last events; another one of the user; or nothing."""


@dataclass(frozen=True)
class FeatureQuery:
    """What the scorer asks of the lookup: one user, one moment, N candidate ads.

    Attributes:
        user_key: hash of the user id.
        time_us: the request time; only what happened strictly before is read.
        ad_key: int64 (N,), distinct.
        bid: float64 (N,), currency units.
        feature_fingerprint: of the asking model; a lookup with other features refuses.
        columns: what the request says that own counters count by, keys int64 (N,) by column.
        keys: item, campaign and category of the candidates as of the request, int64 (N,) by key column, so that a
            lookup needs no catalogue; what is absent is missing.
    """

    user_key: int
    time_us: int
    ad_key: np.ndarray
    bid: np.ndarray
    feature_fingerprint: str
    columns: Columns = field(default_factory=dict)
    keys: Columns = field(default_factory=dict)

    def of_ads(self) -> dict[str, np.ndarray]:
        """All that the catalogue tells of the candidates, `CATALOGUE_KEYS`."""
        missing = np.full(len(self.ad_key), MISSING_KEY)
        return {**{name: self.keys.get(name, missing) for name in CATALOGUE_KEYS}, "ad_key": self.ad_key}


@dataclass(frozen=True)
class OfflineStates:
    """Encoder states from the last batch run, those of events before the request.

    Attributes:
        model_version: of the model that encoded them.
        events: `EVENT_COLUMNS` of the encoded events, each (C,), C at most the window.
        states: float32 (C, D).
        stale: a late event landed before the last encoded one.
        events_since: events that came after the last encoded one.
    """

    model_version: str
    events: Columns
    states: np.ndarray
    stale: bool
    events_since: int


@dataclass(frozen=True)
class Features:
    """What the lookup answers.

    Attributes:
        user_known: the store holds an event, an impression, states or columns of the user.
        events: `EVENT_COLUMNS`, the user's last events before the request, as many as the encoder can use; and the
            shared columns of their items, as of each event.
        offline: states of the last batch run, None if there are none.
        dense: float32 (N, F), raw dense features, NaN where missing.
        expected_cost: float64 (N,), currency units.
        degraded: parts that failed, such as `store`.
        own: declared columns of the user, the items and the ads as of the request, each (N, ...), as user rows hold
            them.
    """

    user_known: bool
    events: Columns
    offline: OfflineStates | None
    dense: np.ndarray
    expected_cost: np.ndarray
    degraded: tuple[str, ...] = ()
    own: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class EncodeQuery:
    """A timeline to encode: `EVENT_COLUMNS` and shared columns of items, each (T,), sorted."""

    user_key: int
    events: Columns


@dataclass(frozen=True)
class Encoded:
    """What the encoder answers.

    Attributes:
        model_version: of the model that encoded.
        states: float32 (C, D), of the last C events of the timeline, C at most the window.
        outcome: what the encoder knew of the timeline, see `Outcome`.
    """

    model_version: str
    states: np.ndarray
    outcome: Outcome = "miss"


@dataclass(frozen=True)
class Written:
    """What became of a batch of events: how many were stored and seen before, and which rows came too late."""

    accepted: int
    duplicates: int
    late_rows: tuple[int, ...]


class LookupPort(Protocol):
    """The feature lookup as the scorer sees it."""

    async def read(self, query: FeatureQuery) -> Features: ...

    async def write(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written: ...

    async def describe(self) -> dict[str, Any]: ...


class EncoderPort(Protocol):
    """The encoder as the scorer sees it."""

    async def encode(self, query: EncodeQuery) -> Encoded: ...

    async def describe(self) -> dict[str, Any]: ...
