"""Padded batches of whole users: which users go together, and the rectangular arrays a model takes."""

from collections.abc import Iterator

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.encoding import EncodedUsers
from rosa_ray.features.own_inputs import GIVEN_VECTORS, OWN, OWN_SETS, SHARED, VECTOR_ROWS
from rosa_ray.features.pieces import WHOLE_CELLS
from rosa_ray.schema import fold_of

EVENT_INPUTS = (
    *("time_us", "item", "category", "behavior", "gap", "hour", "weekday"),
    *("item_key", "category_key", "log_price"),
)
IMPRESSION_INPUTS = (
    "time_us",
    "visible",
    "item",
    "category",
    "campaign",
    "device",
    "region",
    "bid_bucket",
    "price_bucket",
    "hour",
    "weekday",
    "item_key",
    "category_key",
    "log_price",
)
LABELS = ("click", "conversion", "revenue", "cost", "expected_cost", "price", "weight", "conversion_weight")


def collate(users: EncodedUsers, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Pad B chosen users to T events and N impressions.

    Returns:
        `event_<name>` int64 (B, T) for `EVENT_INPUTS`, `event_mask` bool (B, T); `impression_<name>` int64 (B, N) for
        `IMPRESSION_INPUTS`, `impression_mask` bool (B, N), `dense` float32 (B, N, F); `LABELS` float32 (B, N); `row`
        int64 (B, N), the flat impression row of each cell, -1 in padding; `user` int64 (B,), equal for pieces of one
        user. T and N are at least 1. Where columns are declared, `impression_own` int64 (B, N, K),
        `impression_own_sets` int64 (B, N, Ks, M), `impression_shared` and `event_shared` int64 (B, …, Ksh), and
        `impression_vectors` and `event_vectors` float32 (B, …, S), one beside the other.
    """
    event_row, event_mask = _grid(users.event_offsets, chosen)
    row, mask = _grid(users.impression_offsets, chosen)
    batch = {"event_mask": event_mask, "impression_mask": mask, "row": np.where(mask, row, -1)}
    batch["user"] = np.unique(users.user_key[chosen], return_inverse=True)[1]
    batch["fold"] = fold_of(users.user_key[chosen])
    for name in EVENT_INPUTS:
        batch[f"event_{name}"] = _fill(users.events[name], event_row, event_mask, np.int64)
    for name in IMPRESSION_INPUTS:
        batch[f"impression_{name}"] = _fill(users.impressions[name], row, mask, np.int64)
    for name in filter(users.impressions.__contains__, (OWN, OWN_SETS, SHARED)):
        batch[f"impression_{name}"] = _fill(users.impressions[name], row, mask, np.int64)
    if OWN_SETS in users.impressions:
        sets = batch[f"impression_{OWN_SETS}"]
        longest = int((sets >= 0).sum(axis=-1).max(initial=1))
        batch[f"impression_{OWN_SETS}"] = sets[..., :longest]
    if SHARED in users.events:
        batch[f"event_{SHARED}"] = _fill(users.events[SHARED], event_row, event_mask, np.int64)
    batch |= _vectors(users.events, users.vectors, event_row, event_mask, "event")
    batch |= _vectors(users.impressions, users.vectors, row, mask, "impression")
    for name in LABELS:
        batch[name] = _fill(users.impressions[name], row, mask, np.float32)
    batch["dense"] = _fill(users.dense, row, mask, np.float32)
    return batch


def batch_users(
    users: EncodedUsers,
    users_per_batch: int,
    rng: np.random.Generator | None,
    turns: np.random.Generator | None = None,
) -> Iterator[np.ndarray]:
    """Cut users into batches of similar length, so that little is padding.

    A batch whose padded rectangles of impressions by events hold more than `WHOLE_CELLS` a user is halved.

    Args:
        users_per_batch: users of a batch, at most.
        rng: shuffles users, then the batches; None keeps a fixed order, longest last.
        turns: shuffles the batches instead of `rng`. Workers that share its seed take batches of about the same length
            at the same time, so that none waits for another's long one.

    Yields:
        int64 positions of the users of one batch; every user once.
    """
    order = np.arange(len(users)) if rng is None else rng.permutation(len(users))
    events, shown = np.diff(users.event_offsets), np.diff(users.impression_offsets)
    lengths = events + shown
    pool = max(len(order), 1) if rng is None else users_per_batch * 32
    batches = []
    for start in range(0, len(order), pool):
        chunk = order[start : start + pool]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        for at in range(0, len(chunk), users_per_batch):
            batches += _within(chunk[at : at + users_per_batch], events, shown, users_per_batch * WHOLE_CELLS)
    shuffle = turns or rng
    for turn in np.arange(len(batches)) if shuffle is None else np.argsort(shuffle.random(len(batches))):
        yield batches[turn]


def _within(batch: np.ndarray, events: np.ndarray, shown: np.ndarray, most_cells: int) -> list[np.ndarray]:
    """Halve a batch until its padded cells are few enough."""
    if len(batch) == 1 or len(batch) * int(events[batch].max()) * int(shown[batch].max()) <= most_cells:
        return [batch]
    middle = len(batch) // 2
    return [part for half in (batch[:middle], batch[middle:]) for part in _within(half, events, shown, most_cells)]


def _vectors(
    columns: Columns, tables: tuple[np.ndarray, ...], row: np.ndarray, mask: np.ndarray, of: str
) -> dict[str, np.ndarray]:
    """Frozen vectors, and those given with the rows, side by side; nothing where there are none."""
    found = []
    if VECTOR_ROWS in columns:
        places = _fill(columns[VECTOR_ROWS], row, mask, np.int64)
        found += [table[places[..., at]] for at, table in enumerate(tables[: places.shape[-1]])]
    if GIVEN_VECTORS in columns:
        found.append(_fill(columns[GIVEN_VECTORS], row, mask, np.float32))
    return {f"{of}_vectors": np.concatenate(found, axis=-1)} if found else {}


def _grid(offsets: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.diff(offsets)[chosen]
    column = np.arange(max(int(lengths.max(initial=0)), 1))
    return offsets[:-1][chosen][:, None] + column, column < lengths[:, None]


def _fill(values: np.ndarray, row: np.ndarray, mask: np.ndarray, dtype: type) -> np.ndarray:
    filled = np.zeros((*mask.shape, *values.shape[1:]), dtype)
    filled[mask] = values[row[mask]]
    return filled
