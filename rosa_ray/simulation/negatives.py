"""Negatives of a next-behaviour task: items of other users' events of the same day, uniform over those events."""

import numpy as np

_ROUNDS = 64


def draw_negatives(
    user_N: np.ndarray, item_N: np.ndarray, day_N: np.ndarray, positive_P: np.ndarray, negatives: int, seed: int
) -> np.ndarray:
    """Draw the negatives of some events.

    Each day has its own random stream, so days can be drawn apart and in any order.

    Args:
        user_N: user of each event, in an order that does not depend on how the log was read.
        item_N: item of each event.
        day_N: local day of each event.
        positive_P: indices of the events that need negatives.
        negatives: how many, K.
        seed: of the random streams.

    Returns:
        Indices of the drawn events, shape (P, K); -1 where the day did not hold enough distinct items that differ
        from the positive and were touched by somebody else.

    >>> draw_negatives(np.array([0, 1]), np.array([7, 8]), np.array([3, 3]), np.array([0]), 2, seed=1).tolist()
    [[1, -1]]
    """
    drawn_PK = np.full((len(positive_P), negatives), -1, dtype=np.int64)
    for day in np.unique(day_N[positive_P]):
        of_day = np.flatnonzero(day_N[positive_P] == day)
        stream = np.random.SeedSequence(seed, spawn_key=(int(day) + 1_000_000,))
        pool = np.flatnonzero(day_N == day)
        drawn_PK[of_day] = _draw_of_day(
            user_N, item_N, pool, positive_P[of_day], negatives, np.random.default_rng(stream)
        )
    return drawn_PK


def _draw_of_day(
    user_N: np.ndarray,
    item_N: np.ndarray,
    pool: np.ndarray,
    wanted: np.ndarray,
    negatives: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw uniformly over the day's events and redraw what does not fit: own events, the positive item, repeats."""
    other = pool[rng.integers(0, len(pool), (len(wanted), negatives))]
    wrong = _unfit(user_N, item_N, wanted, other)
    for _ in range(_ROUNDS):
        if not wrong.any():
            break
        other[wrong] = pool[rng.integers(0, len(pool), int(wrong.sum()))]
        wrong = _unfit(user_N, item_N, wanted, other)
    return np.where(wrong, -1, other)


def _unfit(user_N: np.ndarray, item_N: np.ndarray, wanted: np.ndarray, other: np.ndarray) -> np.ndarray:
    own = user_N[other] == user_N[wanted][:, None]
    same = item_N[other] == item_N[wanted][:, None]
    return own | same | _repeats(item_N[other])


def _repeats(item_PK: np.ndarray) -> np.ndarray:
    """Mark every item that stands further left in its row."""
    again = np.zeros(item_PK.shape, dtype=bool)
    for k in range(1, item_PK.shape[1]):
        again[:, k] = (item_PK[:, :k] == item_PK[:, k : k + 1]).any(axis=1)
    return again
