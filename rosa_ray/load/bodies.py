"""What is sent: bodies of rankings and of events, drawn from the users and ads of a run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rosa_ray.errors import InputError


@dataclass(frozen=True)
class Bodies:
    """Makes bodies; equal seeds make equal rankings.

    Attributes:
        user_ids: whom to rank for, and whose events to post.
        ad_ids: candidates are drawn from these.
        item_ids: events are of these.
        behavior: of the events.
        candidates: ads of a ranking; 0 leaves the choice to the service.
        unknown_share: share of rankings for a user whom no log knows, in [0, 1].
        time: `context.time` of rankings, RFC 3339; empty is now.
        given: bodies of rankings to send in turn, instead of drawn ones.
        session: first part of the ids of events; no two loads may share it, since repeated ids are not counted.
    """

    user_ids: Sequence[str]
    ad_ids: Sequence[str] = ()
    item_ids: Sequence[str] = ()
    behavior: str = "view"
    candidates: int = 100
    unknown_share: float = 0.0
    time: str = ""
    given: Sequence[bytes] = ()
    session: str = "load"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.given and not len(self.user_ids):
            raise InputError("there are no users to rank for; give a run with data, or bodies")
        if not self.given and self.candidates > len(self.ad_ids):
            raise InputError(f"{self.candidates} candidates are asked for and the run has {len(self.ad_ids)} ads")

    def rank(self, number: int) -> bytes:
        """Body of one ranking.

        Args:
            number: which one; equal numbers give equal bodies.
        """
        if self.given:
            return self.given[number % len(self.given)]
        draw = np.random.default_rng([self.seed, number])
        known = draw.random() >= self.unknown_share
        user_id = self.user_ids[int(draw.integers(len(self.user_ids)))] if known else f"{self.session}-unknown-{number}"
        body: dict[str, Any] = {"user_id": user_id}
        if self.candidates:
            chosen = draw.choice(len(self.ad_ids), self.candidates, replace=False)
            body["candidates"] = [self.ad_ids[at] for at in chosen.tolist()]
        if self.time:
            body["context"] = {"time": self.time}
        return json.dumps(body).encode()

    def event(self, number: int, now: datetime | None = None) -> dict[str, Any]:
        """One event, that happens now unless said otherwise."""
        draw = np.random.default_rng([self.seed, number, 1])
        return {
            "event_id": f"{self.session}-{number}",
            "user_id": self.user_ids[int(draw.integers(len(self.user_ids)))],
            "item_id": self.item_ids[int(draw.integers(len(self.item_ids)))],
            "behavior": self.behavior,
            "event_time": (now or datetime.now(UTC)).isoformat(),
        }
