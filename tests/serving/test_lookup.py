"""Reads go on while writes wait, counters are slow or pages are damaged; too much to do is said, not answered cold."""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rosa_ray.errors import OverloadError, StoreError
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.schema import hash_id
from rosa_ray.serving.api import Problem, RankRequest
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import FeatureQuery, Features
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.store import OnlineStore, StoreConfig, UserRecord, open_store
from tests.serving.conftest import NOW_US, World, client_of
from tests.serving.test_events import event


class Slow:
    """A store that waits before some of its answers."""

    def __init__(self, store: OnlineStore, waits: dict[str, Callable[[], object]]) -> None:
        self._store, self._waits = store, waits

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def waiting(*arguments: Any) -> Any:
            self._waits.get(name, lambda: None)()
            return method(*arguments)

        return waiting


class Listener(Telemetry):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.kinds: list[str] = []

    def failed(self, part: str, error: Exception) -> None:
        self.parts.append(part)

    def impossible(self, kinds: Any) -> None:
        self.kinds += kinds


def lookup_of(
    world: World, store: Path, waits: dict[str, Callable[[], object]] | None = None, **serving: Any
) -> FeatureLookup:
    features = world.model.features

    def open_one() -> OnlineStore:
        config = StoreConfig(path=str(store), busy_timeout_ms=50)
        return Slow(open_store(config, features.config, world.model.version), waits or {})  # type: ignore[return-value]

    model = world.model
    config = ServingConfig(**serving)
    return FeatureLookup(open_one, features, model.timeline_events, config, Listener())


def query_of(world: World, user: str, ads: int = 30) -> FeatureQuery:
    keys = {name: getattr(world.model.catalogue, name)[:ads] for name in CATALOGUE_KEYS}
    return FeatureQuery(
        hash_id(user), NOW_US, keys["ad_key"], np.ones(len(keys["ad_key"])), world.features.fingerprint, keys=keys
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the write lock."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_events_blocked_by_a_lock_make_nobody_cold(world: World, store_path: Path) -> None:
    scorer = world.scorer(store_path)
    scorer.lookup = lookup_of(world, store_path)
    client = client_of(scorer)
    with locked(store_path):
        for number in range(3):
            refused = client.post("/events", json=event(event_id=f"x{number}"))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            answer = client.post("/rank", json={"user_id": "u1"}).json()
            assert (answer["degraded"], answer["user_known"]) == ([], True)
    scorer.lookup._of_events._down_until_s = 0  # type: ignore[attr-defined]
    assert client.post("/events", json=event(event_id="x0")).json()["accepted"] == 1


def test_rankings_do_not_wait_for_a_write(world: World, store_path: Path) -> None:
    go_on = threading.Event()
    lookup = lookup_of(world, store_path, {"apply": lambda: go_on.wait(10)})

    async def both() -> tuple[Features, bool]:
        write = asyncio.create_task(lookup.write(records(world)))
        await asyncio.sleep(0.05)
        features = await lookup.read(query_of(world, "u1"))
        waited = not write.done()
        go_on.set()
        await write
        return features, waited

    features, waited = asyncio.run(both())
    assert waited
    assert features.degraded == ()


def records(world: World) -> dict[str, np.ndarray]:
    from rosa_ray.records import RecordParser

    parser = RecordParser(world.model.catalogue, 300, now_us=lambda: NOW_US, features=world.features.config)
    return dict(parser.parse_values([event()]).columns)


def test_too_many_waiting_writes_are_refused_at_once(world: World, store_path: Path) -> None:
    go_on = threading.Event()
    lookup = lookup_of(world, store_path, {"apply": lambda: go_on.wait(10)}, max_waiting_writes=2)

    async def three() -> list[Any]:
        waiting = [asyncio.create_task(lookup.write(records(world))) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadError, match="2 batches of events wait"):
            await lookup.write(records(world))
        go_on.set()
        await asyncio.gather(*waiting)
        return [await lookup.write(records(world))]

    assert len(asyncio.run(three())) == 1


def test_a_write_is_seen_by_the_next_read(world: World, store_path: Path) -> None:
    lookup, query = lookup_of(world, store_path), query_of(world, "newcomer")

    async def write_and_read() -> Features:
        assert not (await lookup.read(query)).user_known
        await lookup.write(records(world) | {"user_key": np.array([query.user_key])})
        return await lookup.read(replace(query, time_us=NOW_US + 1_000_000))

    assert asyncio.run(write_and_read()).user_known


def test_a_slow_reading_of_counters_keeps_nobody_elses_user_away(world: World, store_path: Path) -> None:
    """One request asks for ads that nobody asked for; those who ask for known ads go on."""
    slow, go_on = threading.Event(), threading.Event()
    waits: dict[str, Callable[[], object]] = {"read_counters": lambda: slow.is_set() and go_on.wait(30)}
    lookup = lookup_of(world, store_path, waits, lookup_threads=1, lookup_deadline_ms=60_000)

    async def together() -> tuple[Features, list[Features]]:
        await lookup.read(query_of(world, "u1", ads=10))
        slow.set()
        waiting = asyncio.create_task(lookup.read(query_of(world, "u2", ads=30)))
        await asyncio.sleep(0.02)
        others = [await lookup.read(query_of(world, f"u{number}", ads=10)) for number in range(5)]
        assert not waiting.done()
        go_on.set()
        return await waiting, others

    whole, others = asyncio.run(together())
    assert [features.degraded for features in others] == [()] * 5
    assert all(features.user_known for features in others)
    assert whole.degraded == ()


def test_counters_too_slow_for_the_deadline_leave_the_users_own_features(world: World, store_path: Path) -> None:
    go_on = threading.Event()
    lookup = lookup_of(world, store_path, {"read_counters": lambda: go_on.wait(5)}, lookup_deadline_ms=200)
    try:
        features = asyncio.run(within(lookup, query_of(world, "u1"), go_on))
    finally:
        go_on.set()
    assert features.degraded == ("store",)
    assert features.user_known
    assert len(features.events["time_us"])


async def within(lookup: FeatureLookup, query: FeatureQuery, go_on: threading.Event) -> Features:
    try:
        return await lookup.read(query)
    finally:
        go_on.set()


def test_a_store_that_hangs_degrades_and_blocks_nobody(world: World, store_path: Path) -> None:
    go_on, lookup_ms = threading.Event(), 200
    lookup = lookup_of(
        world, store_path, {"read_user": lambda: go_on.wait(5)}, lookup_deadline_ms=lookup_ms, lookup_threads=1
    )

    async def many() -> list[Features]:
        first = await asyncio.gather(*(lookup.read(query_of(world, f"u{number}")) for number in range(4)))
        started_s = time.perf_counter()
        after = await lookup.read(query_of(world, "u9"))
        assert time.perf_counter() - started_s < 2
        go_on.set()
        return [*first, after]

    assert [features.degraded for features in asyncio.run(many())] == [("store",)] * 5


def test_a_queue_that_is_too_long_is_overload_and_no_cold_answer(world: World, store_path: Path) -> None:
    """Every answer of the store comes in good time; there are only too many questions."""
    lookup = lookup_of(
        world, store_path, {"read_user": lambda: time.sleep(0.15)}, lookup_deadline_ms=2000, lookup_threads=1
    )
    lookup.read_now(query_of(world, "u10", ads=3))

    async def many() -> list[Features | BaseException]:
        reads = (lookup.read(query_of(world, f"u{number % 10}", ads=3)) for number in range(20))
        return await asyncio.gather(*reads, return_exceptions=True)

    answers = asyncio.run(many())
    overloaded = [answer for answer in answers if isinstance(answer, OverloadError)]
    answered = [answer for answer in answers if isinstance(answer, Features)]
    assert len(overloaded) + len(answered) == 20
    assert overloaded
    assert answered
    late = sum(answer.degraded != () for answer in answered)
    assert late <= 2, "one was begun when its time was over, and one may have ended just then"


class Overloaded:
    """A lookup, or an encoder, with too much to do."""

    async def read(self, *asked: object) -> Any:
        raise OverloadError("busy")

    encode = write = describe = read


class Late:
    """One that answers after the deadline."""

    async def encode(self, *asked: object) -> Any:
        await asyncio.sleep(60)

    read = write = describe = encode


@pytest.mark.parametrize("part", [Overloaded(), Late()])
def test_overload_is_503_and_never_a_cold_ranking(world: World, store_path: Path, part: Any) -> None:
    scorer = world.scorer(store_path, lookup_deadline_ms=50)
    scorer.lookup = part
    answer = client_of(scorer).post("/rank", json={"user_id": "u1"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    if isinstance(part, Overloaded):
        refused = client_of(scorer).post("/events", json=event())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "too many events wait" in refused.json()["detail"]


@pytest.mark.parametrize("encoder", [Overloaded(), Late()])
def test_a_late_encoder_without_stored_states_is_overload(world: World, store_path: Path, encoder: Any) -> None:
    scorer = world.scorer(store_path, rule="online", encoder_deadline_ms=50)
    client_of(scorer).post("/events", json=event(user_id="newcomer"))
    scorer.encoder = encoder
    assert asyncio.run(scorer.rank(RankRequest(user_id="u1")))["degraded"] == ["encoder"]
    with pytest.raises(Problem) as caught:
        asyncio.run(scorer.rank(RankRequest(user_id="newcomer")))
    assert caught.value.status == 503


@contextmanager
def user_record(lookup: FeatureLookup, change: Callable[[UserRecord], UserRecord]) -> Iterator[None]:
    """The store gives other records than it holds."""
    reader = lookup._reader
    read = reader._read_user
    reader._read_user = lambda key: change(read(key))  # type: ignore[method-assign]
    yield
    reader._read_user = read  # type: ignore[method-assign]


def with_timeline(name: str, value: float) -> Callable[[UserRecord], UserRecord]:
    def change(record: UserRecord) -> UserRecord:
        values = record.timeline[name].copy()
        values[0] = value
        return replace(record, timeline={**record.timeline, name: values})

    return change


def with_states(value: float) -> Callable[[UserRecord], UserRecord]:
    def change(record: UserRecord) -> UserRecord:
        assert record.states is not None
        return replace(record, states=replace(record.states, states=np.full_like(record.states.states, value)))

    return change


def with_counters(record: UserRecord) -> UserRecord:
    counters = {view: replace(found, sums=-found.sums - 1) for view, found in record.counters.items()}
    return replace(record, counters=counters)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("timeline", with_timeline("behavior", 77)),
        ("timeline", with_timeline("behavior", -1)),
        ("timeline", with_timeline("time_us", -5)),
        ("timeline", with_timeline("time_us", NOW_US + 10**15)),
        ("states", with_states(np.nan)),
        ("states", with_states(np.inf)),
        ("user_events", with_counters),
    ],
)
def test_impossible_features_are_missing_and_said(
    world: World, store_path: Path, kind: str, change: Callable[[UserRecord], UserRecord]
) -> None:
    scorer = world.scorer(store_path, rule="offline")
    lookup = scorer.lookup = lookup_of(world, store_path)
    with user_record(lookup, change):
        answer = client_of(scorer).post("/rank", json={"user_id": "u1", "top_k": 30})
    assert answer.status_code == 200
    assert answer.json()["degraded"][0] == "store"
    assert kind in lookup._reader._telemetry.kinds  # type: ignore[attr-defined]
    assert all(np.isfinite([ad["score"], ad["p_ctr"]]).all() for ad in answer.json()["ads"])


def test_damaged_pages_never_fail_a_ranking_and_break_nothing_for_others(world: World, store_path: Path) -> None:
    """Of some bytes each, all over the file."""
    with sqlite3.connect(store_path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole, draw, seen = store_path.read_bytes(), random.Random(5), set[str]()
    for attempt in range(40):
        path = store_path.with_name(f"damaged-{attempt}.db")
        content = bytearray(whole)
        for _ in range(3):
            at = draw.randrange(4096, len(content) - 1000)
            content[at : at + 1000] = draw.randbytes(1000)
        path.write_bytes(content)
        scorer = world.scorer(path, lookup_deadline_ms=5000)
        scorer.lookup = lookup_of(world, path, lookup_deadline_ms=5000)
        client = client_of(scorer)
        for user in ("u1", "u2", "u3", "u5"):
            answer = client.post("/rank", json={"user_id": user, "top_k": 30})
            assert answer.status_code == 200, answer.text
            seen |= {*answer.json()["degraded"], "whole" * (not answer.json()["degraded"])}
            assert all(np.isfinite([ad["score"], ad["p_ctr"]]).all() for ad in answer.json()["ads"])
        path.unlink()
    assert {"store", "whole"} <= seen


def test_the_reason_of_a_degraded_answer_is_told(world: World, tmp_path: Path) -> None:
    lookup = lookup_of(world, tmp_path / "none.db")
    assert lookup.read_now(query_of(world, "u1")).degraded == ("store",)
    assert lookup._reader._telemetry.parts == ["store"]  # type: ignore[attr-defined]


def test_another_models_request_is_refused_and_not_answered_cold(world: World, store_path: Path) -> None:
    lookup = lookup_of(world, store_path)
    with pytest.raises(StoreError, match="the model needs other"):
        asyncio.run(lookup.read(replace(query_of(world, "u1"), feature_fingerprint="other")))


def test_a_scorer_of_its_own_threads_answers_many_users_at_once(world: World, store_path: Path) -> None:
    scorer: HybridScorer = world.scorer(store_path, lookup_threads=4)
    alone = {user: asyncio.run(scorer.rank(RankRequest(user_id=user)))["ads"] for user in ("u1", "u2", "u3")}

    async def many() -> list[dict[str, Any]]:
        return await asyncio.gather(*(scorer.rank(RankRequest(user_id=user)) for user in [*alone] * 10))

    answers = asyncio.run(many())
    for user, answer in zip([*alone] * 10, answers, strict=True):
        assert answer["degraded"] == []
        assert answer["ads"] == alone[user]
