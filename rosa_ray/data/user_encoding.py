"""Encode stored timelines: the plain per-block work of materialisation, testable without Ray.

A block of user rows goes in; for every user, the last events, the last window of encoder states and the keys of recent
records come out. The states are those of the whole timeline, though only its end is encoded: the last W
states of an encoder of L layers depend on at most (L + 1)·W events, and on the gap before the first of these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from rosa_ray.arrays import Columns
from rosa_ray.features import EVENT_COLUMNS, FeatureState, RecordKind, encode_events, is_logged
from rosa_ray.features.batching import EVENT_INPUTS
from rosa_ray.features.encoding import gather_segments
from rosa_ray.features.own import shared_names
from rosa_ray.features.own_inputs import SHARED
from rosa_ray.features.records import mixed_keys
from rosa_ray.models import keeps_states
from rosa_ray.schema import MISSING_KEY, hash_ids
from rosa_ray.store import StateBlock, TimelineBlock

_IMPRESSION_COLUMNS = tuple(
    f"impression_{name}" for name in ("impression_key", "time_us", "split", "click", "conversion")
)

USER_COLUMNS = ("user_key", "event_id", *(f"event_{name}" for name in EVENT_COLUMNS), *_IMPRESSION_COLUMNS)
"""Columns of the user rows that are read, beside shared columns of items."""

_NEVER_US = np.iinfo(np.int64).min


@dataclass(frozen=True)
class UserEncoder:
    """Encodes blocks of user rows.

    Attributes:
        ranker: in evaluation mode; None, or a ranker whose states cannot be kept, gives none.
        context_events: events kept per user, at least the ranker's own `context_events`; one more is passed on.
        as_of_us: end of the log.
        seen_from_us: keys of records from this time on are passed on.
        users_per_batch: users padded to one rectangle.
    """

    ranker: nn.Module | None
    state: FeatureState
    context_events: int
    as_of_us: int
    seen_from_us: int
    users_per_batch: int = 64

    @property
    def window(self) -> int:
        """States per user, W; 0 when the ranker encodes none."""
        return self.ranker.window if keeps_states(self.ranker) else 0

    @property
    def shared(self) -> tuple[str, ...]:
        """Declared columns that events have of their items."""
        return shared_names(self.state.config.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the user rows that are read."""
        return (*USER_COLUMNS, *(f"event_{name}" for name in self.shared))

    def __call__(self, table: pa.Table, device: str = "cpu") -> pa.Table:
        """Encode a block with these `columns`; its layout is read by `timeline_block` and `state_block`."""
        offsets, events = _read_events(table, self.shared)
        seen = _seen_records(table, offsets, events, self.as_of_us)
        recent = seen.time_us >= self.seen_from_us
        recent_offsets = np.r_[0, np.cumsum(recent)][seen.offsets]
        kept, kept_offsets = tail_rows(offsets, self.context_events + 1)
        tail = {name: values[kept] for name, values in events.items()}
        columns: dict[str, pa.Array] = {"user_key": table["user_key"]}
        columns |= {name: _to_list(kept_offsets, values) for name, values in tail.items() if name not in self.shared}
        columns["last_us"] = pa.array(seen.last_us)
        columns["seen_key"] = _to_list(recent_offsets, seen.key[recent])
        columns["seen_time_us"] = _to_list(recent_offsets, seen.time_us[recent])
        columns["states"] = self._states(tail, kept_offsets, device)
        return pa.table(columns)

    def _states(self, tail: Columns, offsets: np.ndarray, device: str) -> pa.Array:
        ranker = self.ranker
        if not keeps_states(ranker):
            return pa.nulls(len(offsets) - 1, pa.large_list(pa.float32()))
        inputs = encode_events(tail, offsets, self.state)
        # A store may keep more events than the last states depend on.
        rows, offsets = tail_rows(offsets, min(self.context_events, ranker.context_events))
        names = (*EVENT_INPUTS, *filter(inputs.__contains__, (SHARED,)))
        inputs = {name: inputs[name][rows] for name in names}
        states, state_offsets = last_states(ranker.encode, inputs, offsets, self.window, self.users_per_batch, device)
        return _to_list(state_offsets * states.shape[1], states.reshape(-1))


@dataclass(frozen=True)
class _Seen:
    """Records of U users, flat by `offsets`: their keys and times, and each user's newest known time."""

    offsets: np.ndarray
    key: np.ndarray
    time_us: np.ndarray
    last_us: np.ndarray


def _seen_records(table: pa.Table, event_offsets: np.ndarray, events: Columns, as_of_us: int) -> _Seen:
    """All records that a block's rows stand for.

    User rows do not say when a conversion came, only that it did before the end of the log. That end is taken as its
    time, so that its id is remembered for long enough.
    """
    offsets, shown = _read_lists(table, _IMPRESSION_COLUMNS)
    key, time_us, split, click, conversion = (shown[name] for name in _IMPRESSION_COLUMNS)
    logged = is_logged(split)
    chosen = {
        RecordKind.IMPRESSION: (logged, time_us),
        RecordKind.CLICK: (logged & (click > 0), time_us),
        RecordKind.CONVERSION: (logged & (conversion > 0), np.full_like(time_us, as_of_us)),
    }
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    owners = [np.repeat(np.arange(len(event_offsets) - 1), np.diff(event_offsets))]
    owners += [owner[mask] for mask, _ in chosen.values()]
    id_keys = [hash_ids(pa.array(events["event_id"], pa.string())), *(key[mask] for mask, _ in chosen.values())]
    kinds = np.repeat([RecordKind.EVENT, *chosen], [len(keys) for keys in id_keys])
    of_user = table["user_key"].to_numpy()[np.concatenate(owners)]
    keys = mixed_keys(np.concatenate(id_keys), kinds, of_user)
    times = [events["time_us"], *(when[mask] for mask, when in chosen.values())]
    last_us = np.full(len(offsets) - 1, _NEVER_US)
    # Events and impressions only: a click has its impression's time, and the time of a conversion is not known.
    for rows, when in zip(owners[:2], times[:2], strict=True):
        np.maximum.at(last_us, rows, when)
    order = np.argsort(np.concatenate(owners), kind="stable")
    counts = np.bincount(np.concatenate(owners), minlength=len(offsets) - 1)
    return _Seen(np.r_[0, np.cumsum(counts)], keys[order], np.concatenate(times)[order], last_us)


def with_user(table: pa.Table) -> pa.Table:
    """The rows of an encoded block that are of a user; impressions without one are of no use to the store."""
    known = pc.not_equal(table["user_key"], MISSING_KEY)
    return table if pc.all(known).as_py() else table.filter(known)


def with_events(table: pa.Table) -> pa.Table:
    """The rows of an encoded block whose users have an event."""
    return table.filter(pc.greater(pc.list_value_length(table["time_us"]), 0))


def timeline_block(table: pa.Table) -> TimelineBlock:
    """The timelines of an encoded block and what was seen of its users, also of those without events."""
    offsets, events = _read_lists(table, ("event_id", *EVENT_COLUMNS))
    _, seen = _read_lists(table, ("seen_key", "seen_time_us"))
    return TimelineBlock(
        user_key=table["user_key"].to_numpy(),
        event_offsets=offsets,
        events=events,
        last_us=table["last_us"].to_numpy(),
        seen_key=seen["seen_key"],
        seen_time_us=seen["seen_time_us"],
    )


def state_block(table: pa.Table, window: int) -> StateBlock | None:
    """The states of a block from `with_events`, None when nothing was encoded."""
    if not table.num_rows or table["states"].null_count:
        return None
    offsets, events = _read_lists(table, ("event_id", *EVENT_COLUMNS))
    rows, state_offsets = tail_rows(offsets, window)
    _, states = _read_lists(table, ("states",))
    return StateBlock(
        user_key=table["user_key"].to_numpy(),
        state_offsets=state_offsets,
        event_id=events["event_id"][offsets[1:] - 1],
        events={name: events[name][rows] for name in EVENT_COLUMNS},
        states=states["states"].reshape(len(rows), -1),
    )


def tail_rows(offsets: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat rows of the last `count` of every segment, and the offsets of the result.

    >>> tail_rows(np.array([0, 3, 4]), 2)
    (array([1, 2, 3]), array([0, 2, 3]))
    """
    lengths = np.minimum(np.diff(offsets), count)
    kept_offsets = np.r_[0, np.cumsum(lengths)]
    start = np.repeat(offsets[1:] - lengths - kept_offsets[:-1], lengths)
    return np.arange(kept_offsets[-1]) + start, kept_offsets


def last_states(
    encode: Callable[[dict[str, Tensor]], Tensor],
    inputs: Columns,
    offsets: np.ndarray,
    window: int,
    users_per_batch: int,
    device: str,
) -> tuple[np.ndarray, np.ndarray]:
    """The last `window` states of U timelines.

    Args:
        encode: from columns (B, T) to states (B, T, D).
        inputs: `EVENT_INPUTS` and rows of shared columns, flat by `offsets` (U + 1,).

    Returns:
        float32 (S, D) and the offsets (U + 1,) of each user's states.
    """
    lengths = np.diff(offsets)
    state_offsets = np.r_[0, np.cumsum(np.minimum(lengths, window))]
    # Shortest first, so that the users of a batch are padded to nearly their own length; empty timelines are skipped.
    order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    found: np.ndarray | None = None
    for start in range(0, len(order), users_per_batch):
        chosen = order[start : start + users_per_batch]
        batch, last = _pad(inputs, offsets[:-1][chosen], lengths[chosen], window)
        with torch.inference_mode():
            states_BTD = encode({name: torch.from_numpy(values).to(device) for name, values in batch.items()})
        states = states_BTD[torch.from_numpy(last).to(device)].float().cpu().numpy()
        if found is None:
            found = np.empty((state_offsets[-1], states.shape[1]), np.float32)
        found[gather_segments(state_offsets, chosen)[0]] = states
    return np.empty((0, 1), np.float32) if found is None else found, state_offsets


def _pad(
    inputs: Columns, starts: np.ndarray, lengths: np.ndarray, window: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rectangles (B, T) of some timelines, padded at the end, and a mask of each one's last `window` events."""
    position = np.arange(lengths.max())
    real = position < lengths[:, None]
    rows = np.where(real, starts[:, None] + position, 0)
    batch = {name: values[rows] for name, values in inputs.items()}
    for padded in batch.values():
        padded[~real] = 0
    return batch, real & (position >= lengths[:, None] - window)


def _read_events(table: pa.Table, shared: tuple[str, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    names = {name: f"event_{name}" for name in (*EVENT_COLUMNS, *shared)} | {"event_id": "event_id"}
    offsets, columns = _read_lists(table, tuple(names.values()))
    return offsets, {name: columns[column] for name, column in names.items()}


def _read_lists(table: pa.Table, names: tuple[str, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Offsets of the first list column, and the flat values of all of them."""
    arrays = {name: _one_chunk(table[name]) for name in names}
    offsets = arrays[names[0]].offsets.to_numpy().astype(np.int64)
    values = {name: array.flatten().to_numpy(zero_copy_only=False) for name, array in arrays.items()}
    return offsets - offsets[0], values


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _to_list(offsets: np.ndarray, values: np.ndarray) -> pa.LargeListArray:
    flat = pa.array(values, pa.string()) if values.dtype == object else pa.array(values)
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
