"""More than the service can answer."""

import time

from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.judging import Allowed, Fault, judge
from rosa_ray.chaos.live import Live, figures_of
from rosa_ray.chaos.traffic import Traffic

CASES = CaseList("overload")

_BUSY = frozenset({503, 429})


@CASES.add(
    "ten times what it can answer, for 20 s",
    "200 whole, or 503 that says when to come again; never cold; whole 2 s later",
    "fused",
    90,
)
def ten_times(live: Live) -> Seen:
    """Requests come by the clock, whether the earlier ones are answered or not."""
    rate = 30 * live.rank_per_s
    with Traffic(live.url, live.bodies(20), rate, 2.0) as flood:
        flood.fault()
        time.sleep(20.0)
        flood.over()
    answers = flood.stop()
    with live.traffic() as calm:
        calm.settle(3.0)
    fault = Fault((0.0,), flood.marked.over_s)
    verdict = judge(answers, fault, Allowed(rank=_BUSY, events=_BUSY, recovery_s=11.0))
    later = judge(calm.stop())
    served = sum(answer.ok for answer in answers)
    seen = Seen(verdict.text, verdict.shortfalls, {**figures_of(verdict), "served": served}, verdict.recovery_s)
    return seen.also([*(f"2 s later: {one}" for one in later.shortfalls), *live.settled(flood), *live.settled(calm)])


@CASES.add(
    "200 callers at once, twice in a row", "200 whole, or 503 that says when to come again; never cold", "fused", 60
)
def burst(live: Live) -> Seen:
    """A page that everybody opens on the hour."""
    found = []
    for _ in range(2):
        with Traffic(live.url, live.bodies(20), 2000.0, 0.0) as flood:
            flood.fault()
            time.sleep(0.1)
            flood.over()
        fault = Fault((0.0,), flood.marked.over_s)
        found.append(judge(flood.stop(), fault, Allowed(rank=_BUSY, recovery_s=11.0)))
        time.sleep(1.0)
    short = [one for verdict in found for one in verdict.shortfalls]
    return Seen("; ".join(verdict.text for verdict in found), short)
