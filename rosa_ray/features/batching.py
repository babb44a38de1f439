"""Padded batches of whole users: which users go together, and the rectangular arrays a model takes."""

from collections.abc import Iterator

import numpy as np

from rosa_ray.features.encoding import EncodedUsers

EVENT_INPUTS = ("time_us", "item", "category", "behavior", "gap", "hour", "weekday")
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
)
LABELS = ("click", "conversion", "revenue", "cost", "expected_cost", "price", "weight", "conversion_weight")


def collate(users: EncodedUsers, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Pad B chosen users to T events and N impressions.

    Returns:
        `event_<name>` int64 (B, T) for `EVENT_INPUTS`, `event_mask` bool (B, T); `impression_<name>` int64 (B, N) for
        `IMPRESSION_INPUTS`, `impression_mask` bool (B, N), `dense` float32 (B, N, F); `LABELS` float32 (B, N); `row`
        int64 (B, N), the flat impression row of each cell, -1 in padding. T and N are at least 1.
    """
    event_row, event_mask = _grid(users.event_offsets, chosen)
    row, mask = _grid(users.impression_offsets, chosen)
    batch = {"event_mask": event_mask, "impression_mask": mask, "row": np.where(mask, row, -1)}
    for name in EVENT_INPUTS:
        batch[f"event_{name}"] = _fill(users.events[name], event_row, event_mask, np.int64)
    for name in IMPRESSION_INPUTS:
        batch[f"impression_{name}"] = _fill(users.impressions[name], row, mask, np.int64)
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

    Args:
        rng: shuffles users, then the batches; None keeps a fixed order, longest last.
        turns: shuffles the batches instead of `rng`. Workers that share its seed take batches of about the same length
            at the same time, so that none waits for another's long one.

    Yields:
        int64 positions of the users of one batch; every user once.
    """
    order = np.arange(len(users)) if rng is None else rng.permutation(len(users))
    lengths = np.diff(users.event_offsets) + np.diff(users.impression_offsets)
    pool = max(len(order), 1) if rng is None else users_per_batch * 32
    batches = []
    for start in range(0, len(order), pool):
        chunk = order[start : start + pool]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[at : at + users_per_batch] for at in range(0, len(chunk), users_per_batch)]
    shuffle = turns or rng
    for turn in np.arange(len(batches)) if shuffle is None else np.argsort(shuffle.random(len(batches))):
        yield batches[turn]


def _grid(offsets: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.diff(offsets)[chosen]
    column = np.arange(max(int(lengths.max(initial=0)), 1))
    return offsets[:-1][chosen][:, None] + column, column < lengths[:, None]


def _fill(values: np.ndarray, row: np.ndarray, mask: np.ndarray, dtype: type) -> np.ndarray:
    filled = np.zeros((*mask.shape, *values.shape[1:]), dtype)
    filled[mask] = values[row[mask]]
    return filled
