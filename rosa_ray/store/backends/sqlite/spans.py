"""Of which times the store has forgotten ids: what tells a record of a gap from one that may be a repetition.

An id is remembered from when its record came, not from when it happened. So a gap that is filled later is remembered
as long as what is live then. Beside the ids the store keeps spans: for every `SPAN_US` of the records' own times and
every day until which ids are remembered, the first and the last time of those records. Once that day is forgotten, a
record between the two may be a repetition, and is late. A record outside of all such spans was never there.
"""

import json
import sqlite3
from collections import defaultdict

import numpy as np

from rosa_ray.store.backends.sqlite.generations import Generation
from rosa_ray.store.protocol import SPAN_US
from rosa_ray.units import DAY_US


def judge(
    connection: sqlite3.Connection, generation: Generation, time_us: np.ndarray, horizon_us: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which records are late, and note the times of the others. How batches are cut does not matter.

    Args:
        time_us: own times of n records, in the order in which they came.

    Returns:
        Which are late, (n,), and the days until which the ids of the others are remembered, int64 (n,).
    """
    newest_us = np.maximum.accumulate(np.r_[generation.newest_us, time_us])
    day, forgotten_day = newest_us[1:] // DAY_US, (newest_us[:-1] - horizon_us) // DAY_US
    old = time_us < newest_us[:-1] - horizon_us
    late = old & (time_us <= generation.covered_us)
    unsure = old & ~late
    start = 0
    while unsure.any() and start < len(time_us):
        # Up to `stop` nothing of this piece itself is forgotten.
        stop = int(np.searchsorted(forgotten_day, day[start], side="right"))
        rows = start + np.flatnonzero(unsure[start:stop])
        late[rows] = _may_be_repeated(connection, generation.name, time_us[rows], forgotten_day[rows])
        _note(connection, generation.name, time_us[start:stop][~late[start:stop]], day[start:stop][~late[start:stop]])
        unsure[rows], start = False, stop
    _note(connection, generation.name, time_us[start:][~late[start:]], day[start:][~late[start:]])
    return late, day


def _may_be_repeated(
    connection: sqlite3.Connection, slot: str, time_us: np.ndarray, forgotten_day: np.ndarray
) -> np.ndarray:
    buckets = time_us // SPAN_US
    query = (
        f"SELECT bucket, day, first_us, last_us FROM spans_{slot} WHERE bucket IN (SELECT value FROM json_each(?)) "
        "AND day < ?"
    )
    asked = (json.dumps(np.unique(buckets).tolist()), int(forgotten_day.max(initial=0)))
    spans: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for bucket, day, first_us, last_us in connection.execute(query, asked):
        spans[bucket].append((day, first_us, last_us))
    return np.array(
        [
            any(day < limit and first_us <= time <= last_us for day, first_us, last_us in spans[bucket])
            for bucket, time, limit in zip(buckets.tolist(), time_us.tolist(), forgotten_day.tolist(), strict=True)
        ],
        bool,
    )


def _note(connection: sqlite3.Connection, slot: str, time_us: np.ndarray, day: np.ndarray) -> None:
    if not len(time_us):
        return
    bucket = time_us // SPAN_US
    order = np.lexsort((time_us, bucket, day))
    bucket, day, time_us = bucket[order], day[order], time_us[order]
    first = np.flatnonzero(np.r_[True, (np.diff(bucket) != 0) | (np.diff(day) != 0)])
    last = np.r_[first[1:], len(time_us)] - 1
    columns = (bucket[first], day[first], time_us[first], time_us[last])
    connection.executemany(
        f"INSERT INTO spans_{slot} VALUES (?, ?, ?, ?) ON CONFLICT (bucket, day) DO UPDATE SET "
        "first_us = min(first_us, excluded.first_us), last_us = max(last_us, excluded.last_us)",
        zip(*(column.tolist() for column in columns), strict=True),
    )
