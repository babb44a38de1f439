"""What every process of a service holds while it answers for minutes: memory, file handles, threads.

    rosa serve runs/demo/config.yaml                                   # in another terminal
    python benchmarks/soak.py runs/demo/config.yaml --requests 20000 --per-second 50

Rankings and events are sent by the clock. A process is flat when the last quarter of the samples holds no more than
the second, but for a little: the first quarter warms up.
"""

import statistics
import threading
from dataclasses import dataclass, field

import psutil
from record import record, save
from rollouts import load_of, load_options

from rosa_ray.load import OpenLoop, Plan, figures_of

SAMPLE_S = 5.0
UNITS = ("mb", "handles", "threads")
_KEPT = ("ray::", "raylet", "gcs_server", "haproxy")


@dataclass
class Held:
    """Samples of one process."""

    name: str
    samples: list[tuple[float, float, float]] = field(default_factory=list)

    def quarters(self) -> dict[str, list[float]]:
        """Median of each unit in the second and in the last quarter of the samples."""
        size = max(len(self.samples) // 4, 1)
        parts = zip(*self.samples[size : 2 * size], strict=True), zip(*self.samples[-size:], strict=True)
        pairs = zip(UNITS, *parts, strict=True)
        return {unit: [round(statistics.median(part), 1) for part in pair] for unit, *pair in pairs}


def main() -> None:
    arguments = load_options(__doc__).parse_args()
    _, url, bodies, model = load_of(arguments.config, arguments.overrides, "soak")
    held: dict[int, Held] = {}
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(held, ended))
    sampler.start()
    seconds = arguments.requests / arguments.per_second
    answers = OpenLoop(url).run(Plan(arguments.per_second, seconds, arguments.events_per_second), bodies)
    ended.set()
    sampler.join()
    figures = figures_of(answers)
    whole = {pid: one for pid, one in held.items() if len(one.samples) >= 0.9 * seconds / SAMPLE_S}
    rows = [{"process": one.name, **one.quarters()} for one in whole.values()]
    print("\n".join([*figures.lines(), *map(str, rows)]))
    save(record("soak", model=model, seconds=seconds, processes=rows, kinds=figures.as_json()["kinds"]), arguments.out)


def _sample(held: dict[int, Held], ended: threading.Event) -> None:
    """Every process of Ray and of the proxy, every few seconds."""
    while not ended.wait(SAMPLE_S):
        for process in psutil.process_iter(["cmdline", "name"]):
            title = " ".join(process.info["cmdline"] or []) or process.info["name"]
            name = next((part for part in _KEPT if part in title.split(" ")[0]), None)
            if name is None:
                continue
            try:
                amounts = process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()
            except psutil.Error:
                continue
            short = title.split(" ")[0].rsplit("/", 1)[-1][:40]
            held.setdefault(process.pid, Held(short)).samples.append(amounts)


if __name__ == "__main__":
    main()
