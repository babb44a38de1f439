"""What each rule for λ earns, and what it costs in time: the simulator's test period, replayed.

First all requests of some users, at once: what showing the top ad of the offline, the online and the gate's score
earns, exactly, and how often each rule calls the encoder. The gate stands beside calling for the same share of the
requests at random, which is the straight line between the rules, and beside calling from k new events on (`count k`).

Then the same requests in order of their time through the service's own scorer and encoder, in one process, without
Ray, HTTP and store: arrivals are Poisson, at multiples of the rate that the rule online just sustains, and rules take
turns in slices. The clock is the CPU time of the process, and waiting for nothing is skipped: latencies are those of
one core that does nothing else, whatever else the machine does. The ROI of a row is that of all requests, each under a
load that a request of the row met.

    rosa demo && python benchmarks/gate_frontier.py runs/demo --out benchmarks/results/gate_frontier.json
"""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import torch
from gate.one_core import OneCore
from gate.plot import plot
from gate.population import evaluate, read_users, static_rows
from gate.replay import replay_all
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.serving.model import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="directory of a run on a simulated log, with its bundle")
    parser.add_argument("--users", type=int, default=1500, help="users whose requests count")
    parser.add_argument("--requests", type=int, default=400, help="replayed per rule and rate")
    parser.add_argument("--slices", type=int, default=1, help="turns that each rule's requests are cut into")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.3, 0.6, 0.9, 1.2], help="of what online sustains")
    parser.add_argument("--materialized", choices=("daily", "once"), default="daily", help="when states are written")
    parser.add_argument("--encoder-deadline-ms", type=int, default=500)
    parser.add_argument("--encoder-cache-mb", type=int, default=64, help="0 encodes every timeline from the start")
    parser.add_argument("--replicates", type=int, default=400, help="bootstrap draws of users")
    parser.add_argument("--out", type=Path, help="JSON; the plot goes beside it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began_s = time.perf_counter()
    model = load_model(arguments.run / "bundle")
    rows = read_users(arguments.run / "data" / "users", arguments.users)
    population = evaluate(model, rows, str(arguments.run / "log"), arguments.materialized)
    static = static_rows(model, population, arguments.replicates)
    show(f"all {len(population.user):,} requests of {len(rows):,} users", static)
    with asyncio.Runner(loop_factory=OneCore) as runner:
        replayed = runner.run(replay_all(model, rows, population, arguments))
    show(f"replayed, online sustains {replayed[0]['capacity_rps']:.0f} requests/s", replayed)
    print(f"{time.perf_counter() - began_s:.0f} s in all")
    if arguments.out:
        document = record(
            "gate_frontier",
            materialized=arguments.materialized,
            requests=len(population.user),
            users=len(rows),
            encoder_deadline_ms=arguments.encoder_deadline_ms,
            encoder_cache_mb=arguments.encoder_cache_mb,
            threshold=model.gate.threshold if model.gate else None,
            static=static,
            replayed=replayed,
        )
        save(document, arguments.out)
        plot(document, arguments.out.with_suffix(".svg"))


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table; intervals as value [low, high]."""
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    Console(width=180).print(table)


def cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
