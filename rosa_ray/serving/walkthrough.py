"""A visit to a running ranking service: its latency, a ranking, events posted, and the ranking after them."""

import json
import shlex
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.run_dir import DataDir
from rosa_ray.serving.client import RankingClient
from rosa_ray.serving.latency import measure_latency
from rosa_ray.storage import read_json, read_parquet

CANDIDATES = 100
REQUESTS = 200
SHOWN = 5


@dataclass(frozen=True)
class Guest:
    """Who asks, and what for, drawn from the preprocessed data: users with a history, and ads to rank.

    Attributes:
        user_ids: users with events, in a fixed order.
        ads: the catalogue, ads contract.
        log_end: the last request of the log; the visit takes place after it.
    """

    user_ids: list[str]
    ads: pa.Table
    log_end: datetime

    @classmethod
    def of(cls, data: DataDir) -> "Guest":
        """Read the guests of a run."""
        users = read_parquet(data.user_rows(0)).select(["user_id", "event_time_us"])
        lengths = np.diff(users["event_time_us"].combine_chunks().offsets.to_numpy())
        with_history = users["user_id"].to_numpy()[lengths > 0]
        end_us = read_json(data.spec)["end_us"]
        return cls(with_history[:50].tolist(), read_parquet(data.ads), datetime.fromtimestamp(end_us / 1e6, UTC))

    @property
    def candidates(self) -> list[str]:
        """At most `CANDIDATES` ads, spread evenly over the catalogue."""
        count = min(CANDIDATES, self.ads.num_rows)
        rows = np.linspace(0, self.ads.num_rows - 1, count).astype(int)
        return self.ads["ad_id"].take(pa.array(rows)).to_pylist()

    def body(self, user_id: str, minutes_later: int, **fields: Any) -> dict[str, Any]:
        """A body of `POST /rank`, some minutes after the log's end."""
        return {
            "user_id": user_id,
            "candidates": self.candidates,
            "context": {"time": _iso(self.log_end + timedelta(minutes=minutes_later))},
            "top_k": SHOWN,
            **fields,
        }

    def events(self, user_id: str, ad_id: str) -> list[dict[str, Any]]:
        """A view and a cart of an advertised item, just after the log's end."""
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
            for minute, behavior in enumerate(("view", "cart"))
        ]


def visit(url: str, guest: Guest) -> dict[str, Any]:
    """Measure the service and walk through one user's ranking before and after two events.

    Returns:
        requests, failed, p50_ms, p99_ms, candidates and the like; `request`, `ranked`, `events`, and
        `ranked_after_events`, the bodies that went over the wire.
    """
    user_id = guest.user_ids[0]
    latency = measure_latency(url, [guest.body(user, 1) for user in guest.user_ids], REQUESTS)
    with RankingClient(url) as client:
        request = guest.body(user_id, 5, explain=True)
        everything = client.rank(**{**request, "top_k": len(guest.candidates)})
        watched = everything["ads"][len(everything["ads"]) // 2]["ad_id"]
        events = guest.events(user_id, watched)
        accepted = client.post_events(events)
        after = client.rank(**{**request, "top_k": len(guest.candidates)})
    return {
        **asdict(latency),
        "request": request,
        "ranked": {**everything, "ads": everything["ads"][:SHOWN]},
        "events": events,
        "events_answer": accepted,
        "ranked_after_events": {**after, "ads": after["ads"][:SHOWN]},
        "watched_ad": {
            "ad_id": watched,
            "rank_before": _rank(everything, watched),
            "rank_after": _rank(after, watched),
        },
    }


def curl(url: str, path: str, body: dict[str, Any]) -> str:
    """The shell command that sends a body."""
    return f"curl -s {url}{path} -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"


def _rank(answer: dict[str, Any], ad_id: str) -> int:
    return [ad["ad_id"] for ad in answer["ads"]].index(ad_id) + 1


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
