"""User rows: one row per user, the timeline and every impression of that user, as flat columns with offsets.

This is what preprocessing writes, what training and evaluation read, and what one online request is built into: the
same arrays with one user in them.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.schema.own_columns import prefix_of


class Split(IntEnum):
    """Which period, and what for, an impression belongs to. Splits are by time, never by row."""

    TRAIN = 0
    VALID = 1
    TEST = 2
    POLICY = 3
    """Unlabelled candidates of the test period, for the value of a policy. This code and the next are of candidates."""
    VALID_POLICY = 4
    """Unlabelled candidates of the validation period, for choosing between models by the value of their policies."""
    UNKNOWN_AD = 5
    """Impressions of any period whose ad no catalogue row knows: they count, and are neither trained nor evaluated."""


def is_logged(split: np.ndarray) -> np.ndarray:
    """Whether impressions were shown, as those of a log are and candidates are not; bool.

    >>> is_logged(np.array([Split.TEST, Split.POLICY, Split.UNKNOWN_AD]))
    array([ True, False,  True])
    """
    logged: np.ndarray = (split < Split.POLICY) | (split == Split.UNKNOWN_AD)
    return logged


EVENT_COLUMNS: dict[str, pa.DataType] = {
    "time_us": pa.int64(),
    "item_key": pa.int64(),
    "category_key": pa.int64(),
    "behavior": pa.int8(),
    "price": pa.float32(),
}
"""Columns of a timeline, sorted by time and then by event_id. A missing price is NaN."""

IMPRESSION_COLUMNS: dict[str, pa.DataType] = {
    "time_us": pa.int64(),
    "impression_key": pa.int64(),
    "request_key": pa.int64(),
    "split": pa.int8(),
    "ad_key": pa.int64(),
    "item_key": pa.int64(),
    "category_key": pa.int64(),
    "campaign_key": pa.int64(),
    "device_key": pa.int64(),
    "region_key": pa.int64(),
    "position": pa.int32(),
    "propensity": pa.float32(),
    "weight": pa.float64(),
    "bid": pa.float64(),
    "price": pa.float64(),
    "expected_cost": pa.float64(),
    "cost": pa.float64(),
    "click": pa.int8(),
    "click_time_us": pa.int64(),
    "conversion_weight": pa.float64(),
    "conversion": pa.int8(),
    "revenue": pa.float64(),
}
"""Columns of an impression, sorted by time and then by impression key. Labels of a candidate are 0.

`weight` says how many impressions a row stands for; 1 of a candidate, and of rows written before there were weights.
`conversion_weight` says how much of that it stands for in all about conversions and revenue: 0 where these are not
known yet, see `rosa_ray.labels.maturity`. `click_time_us` is the request time where there is no click, or its time is
not known. `conversion` is 1 whether or not a click came before; models learn from `click · conversion`. `revenue` is
that of conversions after a click."""


def event_columns(**given: np.ndarray) -> dict[str, np.ndarray]:
    """`EVENT_COLUMNS` of T events; those not given read 0.

    >>> event_columns(time_us=np.array([5]))["behavior"]
    array([0], dtype=int8)
    """
    count = len(given["time_us"])
    types = {name: type_.to_pandas_dtype() for name, type_ in EVENT_COLUMNS.items()}
    return {name: np.asarray(given.get(name, np.zeros(count)), types[name]) for name in EVENT_COLUMNS}


def no_events() -> dict[str, np.ndarray]:
    """The timeline of a user without history."""
    return event_columns(time_us=np.empty(0, np.int64))


def impression_columns(**given: np.ndarray) -> dict[str, np.ndarray]:
    """`IMPRESSION_COLUMNS` of n candidates; those not given read 0, and weights 1.

    >>> found = impression_columns(time_us=np.array([5]))
    >>> found["click"], found["weight"]
    (array([0], dtype=int8), array([1.]))
    """
    count = len(given["time_us"])
    known = {"weight": np.ones(count), "conversion_weight": np.ones(count), **given}
    types = {name: type_.to_pandas_dtype() for name, type_ in IMPRESSION_COLUMNS.items()}
    return {name: np.asarray(known.get(name, np.zeros(count)), types[name]) for name in IMPRESSION_COLUMNS}


@dataclass(frozen=True)
class UserRows:
    """A block of U users with E events and I impressions in all.

    Attributes:
        user_id: object (U,) of str.
        user_key: int64 (U,).
        event_offsets: int64 (U + 1,); user u owns events `event_offsets[u]:event_offsets[u + 1]`.
        events: `EVENT_COLUMNS`, each (E,), and declared columns of their items that are shared.
        impression_offsets: int64 (U + 1,).
        impressions: `IMPRESSION_COLUMNS`, each (I,), and declared columns, (I,) or (I, …).
        dense: float32 (I, F), the raw dense features, NaN where missing.
        event_id: object (E,) of str, for the online store; not read back, since no model needs it.
    """

    user_id: np.ndarray
    user_key: np.ndarray
    event_offsets: np.ndarray
    events: Columns
    impression_offsets: np.ndarray
    impressions: Columns
    dense: np.ndarray
    event_id: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user_key)

    def of_known_ads(self) -> "UserRows":
        """The same users without their impressions of unknown ads."""
        known = self.impressions["split"] != Split.UNKNOWN_AD
        if known.all():
            return self
        return replace(
            self,
            impression_offsets=np.r_[0, np.cumsum(known)][self.impression_offsets],
            impressions={name: values[known] for name, values in self.impressions.items()},
            dense=self.dense[known],
        )

    def timelines(self, until_us: int) -> "UserRows":
        """The same users with their events before a moment, microseconds UTC, and no impressions."""
        past = self.events["time_us"] < until_us
        return replace(
            self,
            event_offsets=np.r_[0, np.cumsum(past)][self.event_offsets],
            events={name: values[past] for name, values in self.events.items()},
            event_id=None if self.event_id is None else self.event_id[past],
            impression_offsets=np.zeros(len(self) + 1, np.int64),
            impressions={name: values[:0] for name, values in self.impressions.items()},
            dense=self.dense[:0],
        )

    def to_table(self) -> pa.Table:
        """One Arrow row per user with list columns `event_*` and `impression_*`; dense is flattened per user."""
        features = self.dense.shape[1]
        columns: dict[str, pa.Array] = {
            "user_id": pa.array(self.user_id, pa.string()),
            "user_key": pa.array(self.user_key, pa.int64()),
        }
        for name, type_ in EVENT_COLUMNS.items():
            columns[f"event_{name}"] = _to_list(self.event_offsets, self.events[name], type_)
        for name in filter(prefix_of, self.events):
            columns[f"event_{name}"] = _own_list(self.event_offsets, self.events[name])
        if self.event_id is not None:
            columns["event_id"] = _to_list(self.event_offsets, self.event_id, pa.string())
        for name, type_ in IMPRESSION_COLUMNS.items():
            columns[f"impression_{name}"] = _to_list(self.impression_offsets, self.impressions[name], type_)
        for name in filter(prefix_of, self.impressions):
            columns[f"impression_{name}"] = _own_list(self.impression_offsets, self.impressions[name])
        columns["dense"] = _to_list(self.impression_offsets * features, self.dense.reshape(-1), pa.float32())
        return pa.table(columns)

    @classmethod
    def from_table(cls, table: pa.Table) -> "UserRows":
        """Inverse of `to_table`."""
        event_offsets = _offsets(table["event_time_us"])
        impression_offsets = _offsets(table["impression_time_us"])
        dense = _flat(table["dense"])
        count = int(impression_offsets[-1])
        own, shared = (_own_names(table, prefix) for prefix in ("impression_", "event_"))
        return cls(
            user_id=table["user_id"].to_numpy(),
            user_key=table["user_key"].to_numpy(),
            event_offsets=event_offsets,
            events={name: _flat(table[f"event_{name}"]) for name in (*EVENT_COLUMNS, *shared)},
            impression_offsets=impression_offsets,
            impressions={name: _impression_column(table, name, count) for name in (*IMPRESSION_COLUMNS, *own)},
            dense=dense.reshape(count, -1) if count else np.empty((0, 0), np.float32),
        )


def _to_list(offsets: np.ndarray, values: np.ndarray, type_: pa.DataType) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values, type_))


def _own_list(offsets: np.ndarray, values: np.ndarray) -> pa.LargeListArray:
    """Declared columns, of which one row may be several values."""
    flat = pa.array(values.reshape(-1))
    if values.ndim > 1:
        flat = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)


def _own_names(table: pa.Table, prefix: str) -> list[str]:
    names = [name.removeprefix(prefix) for name in table.column_names if name.startswith(prefix)]
    return [*filter(prefix_of, names)]


def _impression_column(table: pa.Table, name: str, count: int) -> np.ndarray:
    if name in ("weight", "conversion_weight") and f"impression_{name}" not in table.column_names:
        return np.ones(count)
    return _flat(table[f"impression_{name}"])


def _one(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) and combined.num_chunks else combined


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type.value_type
    wide = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    if not len(column):
        return np.empty((0, wide) if wide else 0)
    flat = _one(column).flatten()
    values: np.ndarray = (flat.flatten() if wide else flat).to_numpy(zero_copy_only=False)
    return values.reshape(-1, wide) if wide else values


def _offsets(column: pa.ChunkedArray) -> np.ndarray:
    if not len(column):
        return np.zeros(1, np.int64)
    offsets = _one(column).offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0]
