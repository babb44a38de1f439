"""A long load: what a process holds must not grow with what it has answered."""

import time

import psutil

from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.live import Live
from rosa_ray.chaos.traffic import Traffic
from rosa_ray.load import Answer

CASES = CaseList("soak")

WARM_S, MEASURED_S = 15.0, 40.0
GROWN_MB, GROWN_HANDLES, GROWN_THREADS = 24.0, 20, 6


@CASES.add(
    f"{WARM_S + MEASURED_S:g} s of requests at half of saturation, the first {WARM_S:g} s to warm up",
    "memory, file handles and threads of every process stay flat after warm-up, and so does the latency",
    "fused",
    150,
)
def flat(live: Live) -> Seen:
    """The service as a whole: replicas, proxy, controller."""
    with Traffic(live.url, live.bodies(), 1.5 * live.rank_per_s, 8.0) as traffic:
        time.sleep(WARM_S)
        before = _held(live)
        time.sleep(MEASURED_S)
        after = _held(live)
    answers = traffic.stop()
    short, text = [], []
    for pid, (name, *was) in before.items():
        if pid not in after:
            short.append(f"{name} ended")
            continue
        grown = [held - former for held, former in zip(after[pid][1:], was, strict=True)]
        for amount, most, unit in zip(grown, (GROWN_MB, GROWN_HANDLES, GROWN_THREADS), _UNITS, strict=True):
            if amount > most:
                short.append(f"{name} has {amount:.0f} {unit} more after {MEASURED_S:g} s")
        text.append((grown[0], name))
    halves = [
        _median_ms(answers, WARM_S, WARM_S + MEASURED_S / 3),
        _median_ms(answers, WARM_S + 2 * MEASURED_S / 3, WARM_S + MEASURED_S),
    ]
    if halves[1] > 1.5 * halves[0] + 2:
        short.append(f"the median went from {halves[0]:.0f} to {halves[1]:.0f} ms")
    most_mb, most_name = max(text, default=(0.0, "nothing"))
    seen = live.seen(traffic, Allowed())
    return seen.also(short, f"most grown {most_name} by {most_mb:.1f} MB; median {halves[0]:.0f} to {halves[1]:.0f} ms")


_UNITS = ("MB", "file handles", "threads")


def _held(live: Live) -> dict[int, tuple[str, float, int, int]]:
    found = {}
    for process in live.service.tree():
        try:
            with process.oneshot():
                title = process.cmdline()[:1] or [process.name()]
                memory = process.memory_info().rss / 1e6
                found[process.pid] = (
                    title[0].rpartition("/")[2][:60],
                    memory,
                    process.num_fds(),
                    process.num_threads(),
                )
        except psutil.Error:
            continue
    return found


def _median_ms(answers: list[Answer], from_s: float, to_s: float) -> float:
    took = sorted(one.latency_ms for one in answers if one.kind == "rank" and from_s <= one.due_s < to_s)
    return took[len(took) // 2] if took else 0.0
