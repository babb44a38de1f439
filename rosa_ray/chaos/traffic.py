"""Requests in the background: rankings of known users, and records of every kind, sent by the clock."""

import json
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np

from rosa_ray.chaos.judging import Fault, is_whole
from rosa_ray.load import Answer, OpenLoop, Plan

LONGEST_S = 600.0
"""A load ends by itself after so long, whoever forgot to stop it."""

TIMEOUT_S = 10.0
GRACE_S = 2.0
"""How long after its last answer a load may take to end."""


@dataclass(frozen=True)
class Bodies:
    """Rankings for known users, and events, impressions and clicks that happen now.

    Attributes:
        items: item and category of each ad, by place.
        session: first part of the ids of records, different for each load.
    """

    user_ids: Sequence[str]
    ad_ids: Sequence[str]
    items: Sequence[tuple[str, str | None]]
    behaviors: Sequence[str]
    candidates: int = 50
    session: str = field(default_factory=lambda: f"chaos-{uuid.uuid4().hex[:12]}")
    seed: int = 0

    def rank(self, number: int) -> bytes:
        """Body of one ranking."""
        draw = np.random.default_rng([self.seed, number])
        user_id = self.user_ids[int(draw.integers(len(self.user_ids)))]
        chosen = draw.choice(len(self.ad_ids), min(self.candidates, len(self.ad_ids)), replace=False)
        return json.dumps({"user_id": user_id, "candidates": [self.ad_ids[at] for at in chosen.tolist()]}).encode()

    def event(self, number: int, now: datetime | None = None) -> dict[str, Any]:
        """One record; two of three are events, the others impressions and clicks in turn."""
        draw = np.random.default_rng([self.seed, number, 1])
        moment = (now or datetime.now(UTC)) - timedelta(seconds=1)
        user_id, at = self.user_ids[int(draw.integers(len(self.user_ids)))], int(draw.integers(len(self.ad_ids)))
        if number % 3:
            item_id, category = self.items[at]
            behavior = self.behaviors[int(draw.integers(len(self.behaviors)))]
            said = {"item_id": item_id, "behavior": behavior, "event_time": moment.isoformat()}
            return {"event_id": f"{self.session}-{number}", "user_id": user_id, "category": category, **said}
        shown = {"user_id": user_id, "ad_id": self.ad_ids[at], "request_time": moment.isoformat()}
        if number % 2:
            return {"type": "click", "impression_id": f"{self.session}-{number - 3}", **shown}
        return {"type": "impression", "impression_id": f"{self.session}-{number}", "cost": 0.001, **shown}


class Traffic:
    """A load on a service that runs until it is stopped.

    Args:
        rank_per_s, events_per_s: requests a second.
    """

    def __init__(self, url: str, bodies: Bodies, rank_per_s: float, events_per_s: float = 2.0) -> None:
        self._loop = OpenLoop(url, TIMEOUT_S, on_answer=self._keep)
        self._plan = Plan(rank_per_s, LONGEST_S, events_per_s, arrivals="even")
        self._bodies, self._stopped = bodies, threading.Event()
        self._last_bad_s, self._moments, self._over_s = 0.0, list[float](), 0.0
        self._thread = threading.Thread(target=self._run, name="chaos-traffic", daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        deadline_s = time.monotonic() + GRACE_S
        while not self._loop.began_s and time.monotonic() < deadline_s:
            time.sleep(0.005)
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def now_s(self) -> float:
        """Seconds since the begin."""
        return time.monotonic() - self._loop.began_s

    def fault(self) -> None:
        """Note that the fault is done now; each of several is noted."""
        self._moments.append(self.now_s)
        self._over_s = max(self._over_s, self.now_s)

    def over(self) -> None:
        """Note that the cause of the fault is gone now."""
        self._over_s = self.now_s

    def settle(self, calm_s: float = 3.0, limit_s: float = 30.0) -> None:
        """Wait until all answers were whole for some seconds, or for the limit."""
        began_s = self.now_s
        while self.now_s - max(self._last_bad_s, began_s) < calm_s and self.now_s - began_s < limit_s:
            time.sleep(0.05)

    def stop(self) -> list[Answer]:
        """Send no more, wait for what is under way, and return all answers."""
        self._stopped.set()
        self._thread.join(TIMEOUT_S + GRACE_S)
        return self.answers

    @property
    def answers(self) -> list[Answer]:
        """What came so far, by the time it was due."""
        return sorted(self._loop.answers, key=lambda answer: answer.due_s)

    @property
    def marked(self) -> Fault:
        """When the fault was."""
        return Fault(tuple(self._moments), self._over_s)

    def posted(self) -> list[tuple[dict[str, Any], bool]]:
        """Records that were sent, each with whether it was answered as taken. Call it after `stop`."""
        events = [answer for answer in self.answers if answer.kind == "events"]
        return [(record, answer.ok) for record, answer in zip(self._loop.posted, events, strict=False)]

    def _run(self) -> None:
        self._loop.run(self._plan, self._bodies, self._stopped.is_set)  # type: ignore[arg-type]

    def _keep(self, answer: Answer) -> None:
        if not is_whole(answer):
            self._last_bad_s = answer.done_s


def saturation(url: str, bodies: Bodies, seconds: float = 3.0, callers: int = 8) -> float:
    """Rankings a second that a service answers when some callers ask without a pause."""
    counts = [0] * callers
    deadline_s = time.monotonic() + seconds

    def ask(caller: int) -> None:
        with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as http:
            while time.monotonic() < deadline_s:
                answer = http.post("/rank", content=bodies.rank(1000 * caller + counts[caller]), headers=_JSON)
                counts[caller] += answer.status_code == 200

    threads = [threading.Thread(target=ask, args=(caller,), daemon=True) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + TIMEOUT_S)
    return sum(counts) / seconds


_JSON = {"Content-Type": "application/json"}
