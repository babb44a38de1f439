"""Equal rows and nearest moments of columns: what joins are made of. No result depends on the order of rows."""

from collections.abc import Sequence

import numpy as np

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.schema import MISSING_KEY

NEVER = np.iinfo(np.int64).max
"""The moment of what did not happen."""
Flags = np.ndarray


def sum_by(to: Ints, amount: Floats, count: int) -> Floats:
    """Amounts by impression, in an order that the amounts decide, so that none of the rows changes the last digit."""
    order = np.lexsort((amount, to))
    total = np.bincount(to[order], amount[order], count)
    return np.where(np.bincount(to, minlength=count) > 1, np.round(total, 6), total)


def span_of(sorted_keys: Ints, asked: Ints) -> tuple[Ints, Ints]:
    """Where each asked key begins and ends among sorted ones; nowhere for the missing key."""
    low: Ints = np.searchsorted(sorted_keys, asked)
    high: Ints = np.where(asked == MISSING_KEY, low, np.searchsorted(sorted_keys, asked, side="right"))
    return low, high


def group_rows(columns: Sequence[np.ndarray]) -> tuple[Ints, Ints]:
    """Number of each row's group of equal values, in an order that the values decide; and a row of each group."""
    order = np.lexsort(columns)
    changed = np.any([np.diff(values[order]) != 0 for values in columns], axis=0)
    begins = np.concatenate([[True], changed]) if len(order) else np.zeros(0, bool)
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(begins) - 1
    return group, order[begins]


def copies_of(rows: Columns) -> Flags:
    """Rows that equal an earlier one in every column."""
    group, first = group_rows([np.nan_to_num(values, nan=-1e300) for values in rows.values()])
    copies = np.ones(len(group), bool)
    copies[first] = False
    return copies


def same_pairs(user: Ints, thing: Ints, asked_user: Ints, asked_thing: Ints) -> tuple[Ints, Ints]:
    """Numbers that are equal where user and thing are; -1 where a row that asks lacks one of them."""
    code, _ = group_rows([np.concatenate([thing, asked_thing]), np.concatenate([user, asked_user])])
    missing = (asked_user == MISSING_KEY) | (asked_thing == MISSING_KEY)
    return code[: len(user)], np.where(missing, -1, code[len(user) :])


def latest(
    pair: Ints, time_us: Ints, of: Ints, asked: Ints, asked_us: Ints, window_us: int = NEVER
) -> tuple[Ints, Flags]:
    """The last item of each asked pair, not after the asked moment and in the window; and whether others tie with it.

    Args:
        pair, time_us, of: of the items: their pair, moment, and the impression behind them.

    Returns:
        positions of items, -1 for none.
    """
    count = len(pair)
    pairs, times = np.concatenate([pair, asked]), np.concatenate([time_us, asked_us])
    order = np.lexsort((np.arange(len(pairs)) >= count, times, pairs))
    last = np.maximum.accumulate(np.where(order < count, np.arange(len(order)), -1))
    found = np.full(len(asked), -1)
    queries = order >= count
    found[order[queries] - count] = np.where(last[queries] >= 0, order[last[queries]], -1)
    if not count:
        return found, np.zeros(len(asked), bool)
    fits = (found >= 0) & (pair[found] == asked) & (asked >= 0) & (asked_us - time_us[found] <= window_us)
    return np.where(fits, found, -1), fits & _ties(pair, time_us, of)[found]


def earliest(pair: Ints, time_us: Ints, of: Ints, asked: Ints, asked_us: Ints, window_us: int) -> tuple[Ints, Flags]:
    """The first item in the window; as `latest`, with time turned round."""
    found, tied = latest(pair, -time_us, of, asked, -(asked_us - window_us), window_us)
    return found, tied


def _ties(pair: Ints, time_us: Ints, of: Ints) -> Flags:
    """Whether an item of another impression has the same pair and moment."""
    group, _ = group_rows([time_us, pair])
    low, high = np.full(int(group.max()) + 1, NEVER), np.full(int(group.max()) + 1, -1)
    np.minimum.at(low, group, of)
    np.maximum.at(high, group, of)
    tied: Flags = (low != high)[group]
    return tied
