"""Replay: everything once, in order of time, at the speed asked for."""

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.parity.replay import MAX_BATCH, RankingRequests, ReplayReport, replay
from rosa_ray.parity.replay_sinks import Sent
from tests.synthetic import DAYS, events_table, impressions_table


class Recorder:
    """Remembers what it is sent."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.users: list[str] = []
        self.batches: list[int] = []
        self.asked: list[tuple[int, dict[str, Any]]] = []

    def send(self, lines: list[bytes], user_ids: list[str]) -> Sent:
        self.lines += lines
        self.users += user_ids
        self.batches.append(len(lines))
        return Sent(len(lines) - 1, 0, {"late": 1})

    def rank(self, body: dict[str, Any]) -> bool:
        self.asked.append((len(self.lines), body))
        return len(self.asked) % 2 == 0

    def close(self) -> None: ...


@pytest.fixture
def log() -> RecordedLog:
    rng = np.random.default_rng(1)
    return RecordedLog.of(events_table(rng, events=900), impressions_table(rng))


def test_all_records_once_in_order_with_their_users(log: RecordedLog) -> None:
    sink = Recorder()
    report = replay(log, sink, speed=0)
    assert sink.lines == log.lines(0, len(log))
    assert sink.users == [json.loads(line)["user_id"] for line in sink.lines]
    assert max(sink.batches) <= MAX_BATCH
    assert (report.sent, report.accepted) == (len(log), len(log) - len(sink.batches))
    assert report.rejected == {"late": len(sink.batches)}
    assert report.rankings == 0


def test_requests_are_ranked_once_the_records_before_them_are_sent(log: RecordedLog) -> None:
    sink, requests = Recorder(), RankingRequests.of(log)
    report = replay(log, sink, 0, requests)
    assert (report.rankings, report.failed_rankings) == (len(requests), (len(requests) + 1) // 2)
    times = [body["context"]["time"] for _, body in sink.asked]
    assert times == sorted(times)
    earlier = np.searchsorted(log.time_us, requests.time_us)
    assert all(sent >= before for (sent, _), before in zip(sink.asked, earlier.tolist(), strict=True))


def test_bodies_hold_the_ads_that_were_shown(log: RecordedLog) -> None:
    requests = RankingRequests.of(log)
    bodies = [requests.body(index) for index in range(len(requests))]
    shown = log.impressions.to_pylist()
    assert {body["user_id"] for body in bodies} == {row["user_id"] for row in shown}
    distinct = {(row["request_id"], row["ad_id"]) for row in shown}
    assert sum(len(body["candidates"]) for body in bodies) == len(distinct)


def test_speed_is_log_time_per_wall_clock_time(log: RecordedLog) -> None:
    sink, seconds = Recorder(), 0.6
    began_s = time.monotonic()
    report = replay(log, sink, speed=DAYS * 86_400 / seconds)
    assert seconds * 0.8 < time.monotonic() - began_s < seconds + 5
    assert report.sent == len(log)
    assert len(report.behind_s) == len(sink.batches)


def test_it_stops_when_told(log: RecordedLog) -> None:
    sink, turns = Recorder(), iter([False, True])
    assert replay(log, sink, 0, stopped=lambda: next(turns)).sent == sink.batches[0]


def test_the_report_is_lines_for_people() -> None:
    report = ReplayReport(rank_ms=[1.0, 3.0], behind_s=[0.0, 2.0], rankings=3, failed_rankings=1, seconds=2.0)
    report.add(10, Sent(8, 1, {"late": 1}))
    assert report.lines() == [
        "10 records sent in 2.0 s (5/s), 8 accepted, 1 repeated, rejected 1 late",
        "3 rankings, 1 failed, p50 2.00 ms, p99 2.98 ms",
        "behind schedule p50 1.00 s, p99 1.98 s, 2.00 s at the end",
    ]


def test_bodies_hold_the_declared_columns_of_the_request(log: RecordedLog) -> None:
    slots = pa.array([None if at % 3 else "top" for at in range(log.impressions.num_rows)], pa.string())
    declared = replace(log, impressions=log.impressions.append_column("request.placement", slots))
    requests = RankingRequests.of(declared)
    first = requests.table["request.placement"].take(pa.array(requests.starts[:-1])).to_pylist()
    told = [requests.body(index)["context"].get("columns") for index in range(len(requests))]
    assert told == [{"placement": "top"} if slot else None for slot in first]
    assert {"top", None} == set(first)
