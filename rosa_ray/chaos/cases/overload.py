"""More than the service can answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.judging import Allowed, Fault, Verdict, judge
from rosa_ray.chaos.live import Live, figures_of
from rosa_ray.chaos.traffic import Bodies, Traffic, saturation

CASES = CaseList("overload")

_BUSY = frozenset({503, 429})
_OWN_DELAY_S = 1.0
"""What the client of a case sent later than this says more of the client than of the service."""

_LATEST_S = 11.0


@dataclass(frozen=True)
class Heavy(Bodies):
    """Rankings of all ads, made before they are sent, so that a client can send many more than can be answered."""

    made: Sequence[bytes] = ()

    @classmethod
    def of(cls, bodies: Bodies, count: int = 64) -> "Heavy":
        """Make some rankings of all ads of the run."""
        whole = Bodies(bodies.user_ids, bodies.ad_ids, bodies.items, bodies.behaviors, len(bodies.ad_ids))
        made = [whole.rank(number) for number in range(count)]
        return cls(bodies.user_ids, bodies.ad_ids, bodies.items, bodies.behaviors, made=made)

    def rank(self, number: int) -> bytes:
        """See `Bodies.rank`."""
        return self.made[number % len(self.made)]


def flooded(live: Live, bodies: Bodies, rank_per_s: float, seconds: float) -> tuple[Traffic, Verdict, int]:
    """Send more than can be answered; the load, what is explained of it, and how many the client itself sent late."""
    with Traffic(live.url, bodies, rank_per_s, 2.0) as flood:
        time.sleep(seconds)
        flood.over()
    answers = flood.stop()
    on_time = [one for one in answers if one.sent_s - one.due_s < _OWN_DELAY_S]
    allowed = Allowed(rank=_BUSY, events=_BUSY, recovery_s=_LATEST_S)
    return flood, judge(on_time, Fault((0.0,), flood.marked.over_s), allowed), len(answers) - len(on_time)


@CASES.add(
    "ten times what it can answer, for 20 s",
    "200 whole, or 503 that says when to come again; never cold; whole 2 s later",
    "fused",
    90,
)
def ten_times(live: Live) -> Seen:
    """Requests come by the clock, whether the earlier ones are answered or not."""
    bodies = Heavy.of(live.bodies())
    most = saturation(live.url, bodies)
    flood, verdict, late = flooded(live, bodies, 10 * most, 20.0)
    with live.traffic() as calm:
        calm.settle(3.0)
    later = judge(calm.stop())
    seen = Seen(verdict.text, verdict.shortfalls, figures_of(verdict), verdict.recovery_s)
    short = [*(f"afterwards: {one}" for one in later.shortfalls), *live.settled(flood, calm)]
    return seen.also(short, f"{10 * most:.0f} a second; {late} that the client sent late do not count")


@CASES.add(
    "200 callers at once, twice in a row", "200 whole, or 503 that says when to come again; never cold", "fused", 60
)
def burst(live: Live) -> Seen:
    """A page that everybody opens on the hour."""
    found, short = [], list[str]()
    for _ in range(2):
        flood, verdict, _ = flooded(live, Heavy.of(live.bodies()), 2000.0, 0.1)
        found.append(verdict.text)
        short += [*verdict.shortfalls, *live.settled(flood)]
        time.sleep(1.0)
    return Seen("; ".join(found), short)
