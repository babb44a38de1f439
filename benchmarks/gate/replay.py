"""Requests in order of their time through the service's own scorer and encoder, as Poisson arrivals."""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np

from gate.population import RULES, Bootstrap, Population, answered, interval, written_us
from rosa_ray.features import EVENT_COLUMNS, Split, UserRows
from rosa_ray.features.encoding import owners
from rosa_ray.schema import hash_id
from rosa_ray.serving import hybrid_scorer
from rosa_ray.serving.api import Candidate, Context, RankRequest
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import EncodeQuery, FeatureQuery, Features, OfflineStates
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.offline_weight import LoadMeter
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.units import DAY_US


@dataclass
class Met(Telemetry):
    """What the requests of a slice met."""

    loads: list[float] = field(default_factory=list)
    calls: int = 0
    failed_calls: int = 0

    def decided(self, offline_weight: float, cause: str, load: float) -> None:
        self.loads.append(load)
        self.failed_calls += cause == "encoder_failed"
        self.calls += offline_weight < 1 or cause == "encoder_failed"

    def failed(self, part: str, error: Exception) -> None:
        pass


class Prepared:
    """A lookup that has all answers ready: its time is the same for every rule, and left out."""

    def __init__(self, features: dict[tuple[int, int], Features]) -> None:
        self._features = features

    async def read(self, query: FeatureQuery) -> Features:
        return self._features[query.user_key, query.time_us]


@dataclass(frozen=True)
class Replay:
    """Requests in order of time, and the lookup that knows their features."""

    requests: list[RankRequest]
    lookup: Prepared


def prepare(model: ServedModel, rows: UserRows, population: Population, count: int, materialized: str) -> Replay:
    """The first requests of so many users that there are `count`, in order of time."""
    id_of_key = {hash_id(ad_id): ad_id for ad_id in model.bundle.ads["ad_id"].to_pylist()}
    encoder, shown = Encoder(model), rows.impressions
    policy = np.flatnonzero(shown["split"] == Split.POLICY)
    owner, states = owners(rows.impression_offsets), {}
    chosen, features = [], {}
    _, request = np.unique(shown["request_key"][policy], return_inverse=True)
    by_request = np.split(policy[np.argsort(request, kind="stable")], np.cumsum(np.bincount(request))[:-1])
    for members in sorted(by_request, key=lambda one: owner[one[0]])[:count]:
        user, time_us = int(owner[members[0]]), int(shown["time_us"][members[0]])
        mine = slice(rows.event_offsets[user], rows.event_offsets[user + 1])
        timeline = {name: rows.events[name][mine] for name in EVENT_COLUMNS}
        cut_us = int(written_us(np.array([time_us]), materialized)[0])
        if materialized == "once":
            cut_us = int(shown["time_us"][policy].min() // DAY_US * DAY_US)
        if (user, cut_us) not in states:
            states[user, cut_us] = store_states(model, encoder, timeline, cut_us)
        key = int(rows.user_key[user])
        features[key, time_us] = request_features(model, rows, members, timeline, time_us, cut_us, states[user, cut_us])
        ads = [id_of_key[int(ad)] for ad in shown["ad_key"][members]]
        chosen.append((time_us, key, str(rows.user_id[user]), list(zip(ads, shown["bid"][members], strict=True))))
    return Replay([rank_request(*one) for one in sorted(chosen, key=lambda one: one[0])], Prepared(features))


def store_states(
    model: ServedModel, encoder: Encoder, timeline: dict[str, np.ndarray], cut_us: int
) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    past = int(np.searchsorted(timeline["time_us"], cut_us, side="left"))
    if not past:
        return None
    kept = {name: values[max(past - model.context_events, 0) : past] for name, values in timeline.items()}
    states = encoder.encode_now(EncodeQuery(0, kept)).states
    return {name: kept[name][-len(states) :] for name in EVENT_COLUMNS}, states


def request_features(
    model: ServedModel,
    rows: UserRows,
    members: np.ndarray,
    timeline: dict[str, np.ndarray],
    time_us: int,
    cut_us: int,
    stored: tuple[dict[str, np.ndarray], np.ndarray] | None,
) -> Features:
    past, encoded = np.searchsorted(timeline["time_us"], [time_us, cut_us], side="left")
    offline = None
    if stored is not None:
        offline = OfflineStates(model.version, stored[0], stored[1], stale=False, events_since=int(past - encoded))
    return Features(
        user_known=True,
        events={name: values[max(past - model.context_events, 0) : past] for name, values in timeline.items()},
        offline=offline,
        dense=rows.dense[members],
        expected_cost=rows.impressions["expected_cost"][members],
    )


def rank_request(time_us: int, key: int, user_id: str, ads: list[tuple[str, float]]) -> RankRequest:
    candidates = [Candidate(ad_id=str(ad), bid=float(bid)) for ad, bid in ads]
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
    context = Context(time=moment.isoformat())  # type: ignore[arg-type]
    return RankRequest(user_id=user_id, candidates=candidates, context=context, top_k=1)


async def replay_all(
    model: ServedModel, rows: UserRows, population: Population, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Every rule at every rate, in turns."""
    replay = prepare(model, rows, population, arguments.requests, arguments.materialized)
    base = ServingConfig(
        fused=True,
        encoder_deadline_ms=arguments.encoder_deadline_ms,
        encoder_cache_mb=arguments.encoder_cache_mb,
    )
    capacity = await sustained(model, replay, replace(base, rule="online"))
    rng, slices = np.random.default_rng(7), np.array_split(np.arange(len(replay.requests)), arguments.slices)
    bootstrap, rows_out = Bootstrap(population.user, arguments.replicates), []
    for rate in arguments.rates:
        met = {rule: Met() for rule in RULES}
        took_ms: dict[str, list[float]] = {rule: [] for rule in RULES}
        for part in slices:
            gaps_s = rng.exponential(1 / (rate * capacity), len(part))
            for rule in RULES:
                scorer = scorer_of(model, replay, replace(base, rule=rule), met[rule])
                took_ms[rule] += await open_loop(scorer, [replay.requests[at] for at in part], gaps_s)
        for rule in RULES:
            row = {
                "rate": rate,
                "capacity_rps": capacity,
                **replayed_row(model, population, rule, met[rule], bootstrap),
            }
            rows_out.append(row | latencies(took_ms[rule]))
    return rows_out


def scorer_of(model: ServedModel, replay: Replay, config: ServingConfig, met: Met) -> HybridScorer:
    """The service's scorer, on the clock of the loop."""
    clock_s = asyncio.get_running_loop().time
    hybrid_scorer.time = SimpleNamespace(perf_counter=clock_s, time_ns=time.time_ns)  # type: ignore[assignment]
    encoder = Encoder(model, config.threads, config.encoder_cache_mb)
    scorer = HybridScorer(model, replay.lookup, encoder, config, met)  # type: ignore[arg-type]
    scorer._meter = LoadMeter(config.max_ongoing_requests, config.encoder_deadline_ms, clock_s)
    return scorer


async def sustained(model: ServedModel, replay: Replay, config: ServingConfig) -> float:
    """Requests per second of as many clients as a replica takes at a time, each asking again once it was answered."""
    scorer, asked = scorer_of(model, replay, config, Met()), iter(replay.requests)

    async def client() -> None:
        for request in asked:
            await scorer.rank(request)

    clock_s = asyncio.get_running_loop().time
    began_s = clock_s()
    await asyncio.gather(*(client() for _ in range(config.max_ongoing_requests)))
    return len(replay.requests) / (clock_s() - began_s)


async def open_loop(scorer: HybridScorer, requests: Sequence[RankRequest], gaps_s: np.ndarray) -> list[float]:
    """Latencies, ms, from each arrival to its answer; no more than `max_ongoing_requests` are worked on at a time."""
    loop, places = asyncio.get_running_loop(), asyncio.Semaphore(scorer.config.max_ongoing_requests)
    arrivals_s = (loop.time() + np.cumsum(gaps_s)).tolist()

    async def one(request: RankRequest, arrival_s: float) -> float:
        arrived = loop.create_future()
        loop.call_at(arrival_s, arrived.set_result, None)
        await arrived
        async with places:
            await scorer.rank(request)
        return (loop.time() - arrival_s) * 1000

    return list(await asyncio.gather(*map(one, requests, arrivals_s)))


def replayed_row(
    model: ServedModel, population: Population, rule: str, met: Met, bootstrap: Bootstrap
) -> dict[str, Any]:
    rng, size = np.random.default_rng(7), len(population.user)
    called, sums = answered(model, population, rule, rng.choice(met.loads, size))
    failed = called & (rng.random(size) < met.failed_calls / max(met.calls, 1))
    offline = {"revenue": population.revenue["offline"], "cost": population.cost["offline"]}
    sums = {name: np.where(failed, offline[name], values) for name, values in sums.items()}
    online = {"revenue": population.revenue["online"], "cost": population.cost["online"]}
    roi = bootstrap.roi(sums)
    return {
        "rule": rule,
        "load": float(np.mean(met.loads)),
        "calls": met.calls / len(met.loads),
        "failed_calls": met.failed_calls / len(met.loads),
        "roi": interval(roi),
        "against_online": interval(roi - bootstrap.roi(online)),
    }


def latencies(took_ms: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(took_ms, (0.5, 0.99))
    return {"mean_ms": float(np.mean(took_ms)), "p50_ms": float(p50), "p99_ms": float(p99)}
