"""Read your writes: events are posted to a running service, and the rankings after them are looked at.

`walk_through` shows one user's ranking before and after two events. `measure_freshness` measures how long after a post
a ranking reflects it, as a client sees it.
"""

import json
import shlex
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.data.catalogue import ads_at
from rosa_ray.errors import ServingError
from rosa_ray.features.config import behaviors_of
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import BEHAVIORS
from rosa_ray.serving.client import RankingClient, measure_latency
from rosa_ray.storage import read_json, read_parquet

RANKED_ADS = 100
"""Candidates of each request of the walk-through, at most."""

MEASURED_REQUESTS = 200
"""Requests whose latency the walk-through measures."""

SHOWN_ADS = 5
"""Ads of each ranking that the walk-through shows."""

GIVE_UP_S = 10.0
"""A posted event without effect for so long is an error."""


@dataclass(frozen=True)
class SampleRequests:
    """Bodies of requests about the users and ads of a run: users with a history, and ads to rank.

    Attributes:
        user_ids: users with events, in a fixed order.
        ads: the catalogue at the log's end, ads contract.
        log_end: the last request of the log; all bodies are of moments after it.
        behaviors: of the run's features, in rising strength.
    """

    user_ids: list[str]
    ads: pa.Table
    log_end: datetime
    behaviors: tuple[str, ...] = BEHAVIORS

    @classmethod
    def of(cls, data: DataDir) -> "SampleRequests":
        """From the preprocessed data of a run."""
        users = read_parquet(data.user_rows(0)).select(["user_id", "event_time_us"])
        lengths = np.diff(users["event_time_us"].combine_chunks().offsets.to_numpy())
        with_history = users["user_id"].to_numpy()[lengths > 0]
        spec = read_json(data.spec)
        end_us = spec["end_us"]
        ads = ads_at(read_parquet(data.ads), end_us)
        log_end, behaviors = datetime.fromtimestamp(end_us / 1e6, UTC), behaviors_of(spec["feature_config"])
        return cls(with_history[:50].tolist(), ads, log_end, behaviors)

    @property
    def candidates(self) -> list[str]:
        """At most `RANKED_ADS` ads, spread evenly over the catalogue."""
        count = min(RANKED_ADS, self.ads.num_rows)
        rows = np.linspace(0, self.ads.num_rows - 1, count).astype(int)
        ad_ids: list[str] = self.ads["ad_id"].take(pa.array(rows)).to_pylist()
        return ad_ids

    def rank_body(self, user_id: str, minutes_later: int, **fields: Any) -> dict[str, Any]:
        """A body of `POST /rank`, some minutes after the log's end."""
        return {
            "user_id": user_id,
            "candidates": self.candidates,
            "context": {"time": _iso(self.log_end + timedelta(minutes=minutes_later))},
            "top_k": SHOWN_ADS,
            **fields,
        }

    def events(self, user_id: str, ad_id: str) -> list[dict[str, Any]]:
        """A view and a cart of an advertised item, just after the log's end: the weakest and the second strongest."""
        done = self.behaviors[0], self.behaviors[max(len(self.behaviors) - 2, 0)]
        ad = self.ads.filter(pa.compute.equal(self.ads["ad_id"], ad_id)).to_pylist()[0]
        return [
            {
                "event_id": f"visit-{uuid.uuid4().hex}",
                "user_id": user_id,
                "item_id": ad["item_id"] or ad_id,
                "category": ad["category"],
                "behavior": behavior,
                "event_time": _iso(self.log_end + timedelta(minutes=2 + minute)),
                "price": ad["price"],
            }
            for minute, behavior in enumerate(done)
        ]


def walk_through(url: str, samples: SampleRequests, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Measure the latency of a service, then rank for one user before and after two events.

    Args:
        headers: of every request, such as a writer's token.

    Returns:
        requests, failed, p50_ms, p99_ms, candidates and the like; `request`, `ranked`, `events`, and
        `ranked_after_events`, the bodies that went over the wire.
    """
    user_id = samples.user_ids[0]
    latency = measure_latency(url, [samples.rank_body(user, 1) for user in samples.user_ids], MEASURED_REQUESTS)
    with RankingClient(url, headers=headers) as client:
        request = samples.rank_body(user_id, 5, explain=True)
        everything = client.rank(**{**request, "top_k": len(samples.candidates)})
        watched = everything["ads"][len(everything["ads"]) // 2]["ad_id"]
        events = samples.events(user_id, watched)
        accepted = client.post_events(events)
        after = client.rank(**{**request, "top_k": len(samples.candidates)})
    return {
        **asdict(latency),
        "request": request,
        "ranked": {**everything, "ads": everything["ads"][:SHOWN_ADS]},
        "events": events,
        "events_answer": accepted,
        "ranked_after_events": {**after, "ads": after["ads"][:SHOWN_ADS]},
        "watched_ad": {
            "ad_id": watched,
            "rank_before": _place_of(everything, watched),
            "rank_after": _place_of(after, watched),
        },
    }


def curl(url: str, path: str, body: dict[str, Any]) -> str:
    """The shell command that sends a body."""
    return f"curl -s {url}{path} -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"


def _place_of(answer: dict[str, Any], ad_id: str) -> int:
    return [ad["ad_id"] for ad in answer["ads"]].index(ad_id) + 1


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="seconds")


@dataclass(frozen=True)
class FreshnessReport:
    """What N posts took until they had an effect.

    Attributes:
        p50_ms, p99_ms: from sending the event until the answer of the first ranking that reflects it.
        post_p50_ms, post_p99_ms: of the post alone.
        at_once: share of events that the first ranking after the answer reflected.
    """

    events: int
    p50_ms: float
    p99_ms: float
    post_p50_ms: float
    post_p99_ms: float
    at_once: float


def measure_freshness(url: str, events: int, candidates: list[str]) -> FreshnessReport:
    """Post events one by one, each of a user who was never seen, and rank until the history holds the event.

    Users `freshness-...` stay in the store.

    Args:
        candidates: ad ids to rank.

    Raises:
        ServingError: the service refused, did not answer, or an event had no effect within `GIVE_UP_S`.
    """
    effect_ms, post_ms, rankings = np.zeros(events), np.zeros(events), np.zeros(events)
    with RankingClient(url) as client:
        for number in range(events):
            effect_ms[number], post_ms[number], rankings[number] = _measure_one(client, candidates)
    p50_ms, p99_ms = _quantiles(effect_ms)
    post_p50_ms, post_p99_ms = _quantiles(post_ms)
    return FreshnessReport(events, p50_ms, p99_ms, post_p50_ms, post_p99_ms, float((rankings == 1).mean()))


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return round(float(p50), 3), round(float(p99), 3)


def _measure_one(client: RankingClient, candidates: list[str]) -> tuple[float, float, int]:
    user_id = f"freshness-{uuid.uuid4().hex}"
    if _history(client, user_id, candidates):
        raise ServingError(f"{client.url}: a user who was never seen has a history")
    began_s = time.perf_counter()
    answer = client.post_events([_event(user_id)])
    posted_s = time.perf_counter()
    if answer["accepted"] != 1:
        raise ServingError(f"{client.url}: did not take an event: {answer}")
    for turn in range(1, 1_000_000):
        found = _history(client, user_id, candidates)
        now_s = time.perf_counter()
        if found:
            return (now_s - began_s) * 1000, (posted_s - began_s) * 1000, turn
        if now_s - began_s > GIVE_UP_S:
            break
    raise ServingError(f"{client.url}: an event had no effect on rankings within {GIVE_UP_S:g} s")


def _history(client: RankingClient, user_id: str, candidates: list[str]) -> int:
    answer: dict[str, Any] = client.rank(user_id, candidates, explain=True, top_k=1)
    return int(answer["explanation"]["history_events"])


def _event(user_id: str) -> dict[str, Any]:
    return {
        "event_id": uuid.uuid4().hex,
        "user_id": user_id,
        "item_id": "freshness",
        "behavior": "view",
        "event_time": datetime.now(UTC).isoformat(),
    }
