"""Replay: a recorded log, records and ranking requests, sent through the live system at a chosen speed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.features import RecordKind
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.parity.replay_sinks import Sent, Sink
from rosa_ray.schema.own_columns import REQUEST
from rosa_ray.units import SECOND_US

MAX_BATCH = 500
"""Records sent at once, at most; the service takes 1000 in a body."""

_TICK_S = 0.05


@dataclass(frozen=True)
class RankingRequests:
    """The requests of an impressions log as bodies of `POST /rank`, by time."""

    table: pa.Table
    starts: np.ndarray
    time_us: np.ndarray

    @classmethod
    def of(cls, log: RecordedLog) -> "RankingRequests":
        """Group the impressions of a log by user and request."""
        own = [name for name in log.impressions.column_names if name.startswith(REQUEST)]
        names = ["request_time", "user_id", "request_id", "ad_id", "bid", "device", "region", *own]
        order = [(name, "ascending") for name in ("request_time", "user_id", "request_id")]
        shown = np.sort(log.row[log.kind == RecordKind.IMPRESSION])
        table = log.impressions.select(names).take(pa.array(shown)).sort_by(order).combine_chunks()
        keys = [table[name].to_numpy() for name in ("request_time", "user_id", "request_id")]
        begins = np.ones(table.num_rows, bool)
        begins[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
        starts = np.flatnonzero(begins)
        times = table["request_time"].take(pa.array(starts)).cast(pa.timestamp("us", "UTC"))
        return cls(table, np.append(starts, table.num_rows), times.cast(pa.int64()).to_numpy())

    def __len__(self) -> int:
        return len(self.time_us)

    def body(self, index: int) -> dict[str, Any]:
        """The body of one request: the ads that were shown, with their bids."""
        start, stop = (int(at) for at in self.starts[index : index + 2])
        rows = self.table.slice(start, stop - start).to_pylist()
        first, bids = rows[0], {row["ad_id"]: row["bid"] for row in rows}
        context = {name: first[name] for name in ("device", "region") if first[name] is not None}
        said = {name: value for name, value in first.items() if name.startswith(REQUEST) and value is not None}
        own = {name.removeprefix(REQUEST): value for name, value in said.items()}
        context |= {"columns": own} if own else {}
        return {
            "user_id": first["user_id"],
            "candidates": [{"ad_id": ad_id, "bid": bid} for ad_id, bid in bids.items()],
            "context": {**context, "time": first["request_time"]},
        }


@dataclass
class ReplayReport:
    """What a replay did.

    Attributes:
        rank_ms: how long each answered ranking took.
        behind_s: how far each step began behind its time on the schedule.
    """

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rankings: int = 0
    failed_rankings: int = 0
    rank_ms: list[float] = field(default_factory=list)
    behind_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, lines: int, sent: Sent) -> None:
        """Count records that were sent."""
        self.sent += lines
        self.accepted += sent.accepted
        self.duplicates += sent.duplicates
        for reason, count in sent.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count

    def lines(self) -> list[str]:
        """The figures for people."""
        rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(self.rejected.items())) or "none"
        rate = self.sent / max(self.seconds, 1e-9)
        text = [
            f"{self.sent} records sent in {self.seconds:.1f} s ({rate:.0f}/s), {self.accepted} accepted, "
            f"{self.duplicates} repeated, rejected {rejected}"
        ]
        if self.rankings:
            text.append(f"{self.rankings} rankings, {self.failed_rankings} failed, {_quantiles(self.rank_ms, 'ms')}")
        if self.behind_s:
            text.append(f"behind schedule {_quantiles(self.behind_s, 's')}, {self.behind_s[-1]:.2f} s at the end")
        return text


def replay(
    log: RecordedLog,
    sink: Sink,
    speed: float,
    requests: RankingRequests | None = None,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], object] = lambda records, rankings: None,
) -> ReplayReport:
    """Send a log; a request is sent when the records before it are, some later ones may be as well.

    Args:
        speed: log time per wall-clock time; 0 sends as fast as the sink takes it.
        requests: sent as rankings.
        progress: called with records and rankings sent since the last call.
    """
    report, began_s = ReplayReport(), time.monotonic()
    for due_us, start, stop, asked in _steps(log, requests, speed):
        if stopped():
            break
        if speed:
            report.behind_s.append(_wait_until(began_s + (due_us - int(log.time_us[0])) / SECOND_US / speed))
        for index in asked:
            _rank(sink, requests, index, report)
        if stop > start:
            lines = log.lines(start, stop)
            report.add(len(lines), sink.send(lines, log.ids(start, stop)))
        progress(stop - start, len(asked))
    report.seconds = time.monotonic() - began_s
    return report


def _steps(log: RecordedLog, requests: RankingRequests | None, speed: float) -> Iterator[tuple[int, int, int, range]]:
    """Pieces of the schedule: due time, records (start, stop) and requests that come before their end."""
    span_us = max(int(_TICK_S * speed * SECOND_US), 1) if speed else np.iinfo(np.int64).max // 4
    asked = 0
    for start, stop in log.chunks(MAX_BATCH, span_us):
        if requests is not None:
            until = int(np.searchsorted(requests.time_us, log.time_us[start], side="right"))
            yield int(log.time_us[start]), start, start, range(asked, until)
            asked = until
        yield int(log.time_us[start]), start, stop, range(0)
    if requests is not None:
        yield int(log.time_us[-1]), len(log), len(log), range(asked, len(requests))


def _rank(sink: Sink, requests: RankingRequests | None, index: int, report: ReplayReport) -> None:
    assert requests is not None
    body, began_s = requests.body(index), time.perf_counter()
    answered = sink.rank(body)
    report.rankings += 1
    if answered:
        report.rank_ms.append((time.perf_counter() - began_s) * 1000)
    else:
        report.failed_rankings += 1


def _wait_until(due_s: float) -> float:
    """Sleep until a moment; returns how late it is already, seconds."""
    early_s = due_s - time.monotonic()
    if early_s > 0:
        time.sleep(early_s)
    return max(-early_s, 0.0)


def _quantiles(values: list[float], unit: str) -> str:
    if not values:
        return "none answered"
    p50, p99 = np.percentile(values, [50, 99])
    return f"p50 {p50:.2f} {unit}, p99 {p99:.2f} {unit}"
