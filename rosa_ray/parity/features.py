"""Parity: every feature of every logged request, computed by preprocessing and by the live path, must be equal.

The log is folded record by record into an empty store, and each request is answered when all records before it are
applied. Some later ones may be applied as well: a request reads closed buckets and earlier events alone, so that they
change nothing, which is part of what is checked.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rosa_ray.errors import ParityError
from rosa_ray.features import RecordKind, UserRows
from rosa_ray.parity.recorded_log import RecordedLog, iso
from rosa_ray.schema.own_columns import ENTITIES, prefix_of


class LiveFeatures(Protocol):
    """What the live path answers a request with."""

    @property
    def events(self) -> Mapping[str, np.ndarray]: ...
    @property
    def dense(self) -> np.ndarray: ...
    @property
    def expected_cost(self) -> np.ndarray: ...
    @property
    def own(self) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class Request:
    """One user at one moment with the N ads that the log holds for it, and what preprocessing computed.

    Attributes:
        rows: int64 (N,), of the impressions in the user rows.
        events: the last events strictly before, as many as the encoder can use, with shared columns of their items.
        dense: float32 (N, F).
        expected_cost: float64 (N,).
        own: declared columns of the user, the items and the ads, each (N, …).
        columns: what the request says that own counters count by, (N,) by column.
    """

    user_id: str
    user_key: int
    time_us: int
    rows: np.ndarray
    ad_key: np.ndarray
    bid: np.ndarray
    events: Mapping[str, np.ndarray]
    dense: np.ndarray
    expected_cost: np.ndarray
    own: Mapping[str, np.ndarray]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)


class LoggedRequests:
    """The requests of user rows, by time.

    Attributes:
        own: names of the declared columns of users, items and ads.

    Args:
        context_events: events of a timeline that the encoder can use.
        asked: columns that own counters need of a request.
    """

    def __init__(self, rows: UserRows, context_events: int, asked: Sequence[str] = ()) -> None:
        self._rows, self._context, self._asked = rows, context_events, asked
        time_us = rows.impressions["time_us"]
        owner = np.repeat(np.arange(len(rows)), np.diff(rows.impression_offsets))
        self._order = np.lexsort((owner, time_us))
        owner, self._time_us = owner[self._order], time_us[self._order]
        begins = np.ones(len(owner), bool)
        begins[1:] = (owner[1:] != owner[:-1]) | (self._time_us[1:] != self._time_us[:-1])
        self._starts = np.r_[np.flatnonzero(begins), len(owner)]
        self._owner = owner
        self.own = [name for name in rows.impressions if prefix_of(name) in ENTITIES]

    def __len__(self) -> int:
        return len(self._starts) - 1

    @property
    def time_us(self) -> np.ndarray:
        """When each request was made, int64 (len(self),), rising."""
        return self._time_us[self._starts[:-1]]

    def __getitem__(self, index: int) -> Request:
        rows, start = self._rows, self._starts[index]
        user, time_us = int(self._owner[start]), int(self._time_us[start])
        mine = self._order[start : self._starts[index + 1]]
        first, last = rows.event_offsets[user], rows.event_offsets[user + 1]
        last = first + int(np.searchsorted(rows.events["time_us"][first:last], time_us))
        seen = slice(max(first, last - self._context), last)
        return Request(
            user_id=str(rows.user_id[user]),
            user_key=int(rows.user_key[user]),
            time_us=time_us,
            rows=mine,
            ad_key=rows.impressions["ad_key"][mine],
            bid=rows.impressions["bid"][mine],
            events={name: values[seen] for name, values in rows.events.items()},
            dense=rows.dense[mine],
            expected_cost=rows.impressions["expected_cost"][mine],
            own={name: rows.impressions[name][mine] for name in self.own},
            columns={name: rows.impressions[name][mine] for name in self._asked},
        )


def require_equal(request: Request, found: LiveFeatures, dense_names: Sequence[str]) -> int:
    """Compare one request bit for bit.

    Returns:
        Values compared.

    Raises:
        ParityError: names the first feature that differs, the user, the time, and both values.
    """
    for name, expected in request.events.items():
        _require(request, f"timeline.{name}", expected, found.events[name])
    for column, name in enumerate(dense_names):
        _require(request, name, request.dense[:, column], found.dense[:, column])
    _require(request, "expected_cost", request.expected_cost, found.expected_cost)
    for name, expected in request.own.items():
        _require(request, name, expected, found.own[name])
    return _size(request)


def _same(request: Request, found: LiveFeatures) -> bool:
    """The quick answer for the many requests that agree."""
    return (
        request.dense.tobytes() == found.dense.tobytes()
        and request.expected_cost.tobytes() == found.expected_cost.tobytes()
        and all(values.tobytes() == found.events[name].tobytes() for name, values in request.events.items())
        and all(values.tobytes() == found.own[name].tobytes() for name, values in request.own.items())
    )


def _require(request: Request, name: str, offline: np.ndarray, online: np.ndarray) -> None:
    if offline.dtype == online.dtype and offline.tobytes() == online.tobytes():
        return
    where = f"user '{request.user_id}' at {iso(request.time_us)}: feature '{name}'"
    if len(offline) != len(online):
        raise ParityError(f"{where}: {len(offline)} values offline, {len(online)} online")
    bits = offline.view(f"u{offline.itemsize}"), online.astype(offline.dtype).view(f"u{offline.itemsize}")
    differ = (bits[0] != bits[1]).reshape(len(offline), -1).any(axis=1)
    first = int(np.flatnonzero(differ)[0]) if differ.any() else 0
    raise ParityError(f"{where}, value {first}: {offline[first]} offline, {online[first]} online")


@dataclass(frozen=True)
class ParityReport:
    """What was compared; all of it was equal.

    Attributes:
        impressions: ads of all requests.
        records: live records delivered, repetitions included.
        values: features and timeline entries compared.
        deliver_s, answer_s: time spent on folding, and on reading and comparing.
    """

    requests: int
    impressions: int
    records: int
    values: int
    deliver_s: float
    answer_s: float


@dataclass(frozen=True)
class Delivery:
    """How the log is delivered to the live path.

    Attributes:
        chunk_records, chunk_us: records are delivered in pieces of at most so many and so long.
        shuffle_seed: deliver each piece doubled and shuffled; None delivers in order of time.
    """

    chunk_records: int = 4096
    chunk_us: int = 0
    shuffle_seed: int | None = None

    def deliveries(self, log: RecordedLog) -> Iterator[tuple[list[bytes], int]]:
        """Yield the lines of each piece, and the time up to which a request has all records before it."""
        rng = None if self.shuffle_seed is None else np.random.default_rng(self.shuffle_seed)
        for start, stop in log.chunks(self.chunk_records, self.chunk_us):
            lines = log.lines(start, stop)
            if rng is not None:
                lines = [lines[place] for place in rng.permutation(np.tile(np.arange(len(lines)), 2))]
            yield lines, int(log.time_us[stop]) if stop < len(log) else np.iinfo(np.int64).max

    def busiest(self, log: RecordedLog) -> int:
        """Most events of one user in one piece: what a timeline has to hold beside what a request needs."""
        users, is_event = log.user_keys(), log.kind == RecordKind.EVENT
        counts = [
            np.unique(users[start:stop][is_event[start:stop]], return_counts=True)[1].max(initial=0)
            for start, stop in log.chunks(self.chunk_records, self.chunk_us)
        ]
        return int(max(counts, default=0))


def check_parity(
    log: RecordedLog,
    requests: LoggedRequests,
    delivery: Delivery,
    deliver: Callable[[list[bytes], int], object],
    answer: Callable[[Sequence[Request]], Iterable[LiveFeatures]],
    dense_names: Sequence[str],
    answered: Callable[[int, Request, Any], object] = lambda index, request, found: None,
    progress: Callable[[int, int], object] = lambda records, requests: None,
) -> ParityReport:
    """Deliver a log and compare every request.

    Args:
        deliver: applies lines to the store, given the clock in microseconds.
        answer: reads the features of some requests, one after another.
        answered: called with each request that agreed.
        progress: called with records delivered and requests compared since the last call.

    Raises:
        ParityError: the first difference.
    """
    next_request, records, impressions, values, deliver_s, answer_s = 0, 0, 0, 0, 0.0, 0.0
    times_us = requests.time_us
    for lines, complete_us in delivery.deliveries(log):
        began_s = time.perf_counter()
        deliver(lines, max(min(complete_us, int(log.time_us[-1])), log.told_us))
        delivered_s = time.perf_counter()
        records += len(lines)
        stop = int(np.searchsorted(times_us, complete_us, side="right"))
        batch = [requests[index] for index in range(next_request, stop)]
        for index, request, found in zip(range(next_request, stop), batch, answer(batch), strict=True):
            impressions += len(request.rows)
            values += _size(request) if _same(request, found) else require_equal(request, found, dense_names)
            answered(index, request, found)
        progress(len(lines), stop - next_request)
        next_request = stop
        deliver_s += delivered_s - began_s
        answer_s += time.perf_counter() - delivered_s
    return ParityReport(next_request, impressions, records, values, deliver_s, answer_s)


def _size(request: Request) -> int:
    columns = (*request.events.values(), *request.own.values())
    return request.dense.size + len(request.expected_cost) + sum(values.size for values in columns)
