"""What the walk by the clock costs beside the walk in lockstep, and whether both have the same marginals.

Both walk the same users through the same moments under the logging policy, and keep what happened. Times are of this
process on its processor. They hold everything from drawing the users to the columns of the log.

    python benchmarks/arena.py simulator --out benchmarks/results/arena.json
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.arena import Arena, ArenaConfig, parse_player
from rosa_ray.config import load_config
from rosa_ray.schema import Behavior
from rosa_ray.simulation import SimulationConfig, build_world, simulate_chunk
from rosa_ray.simulation.clockwork import Recorder
from workloads.command_line import find_config

Columns = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key")
    parser.add_argument("--tick-minutes", type=int, nargs="+", default=[5])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", default="")
    arguments = parser.parse_args()
    config = load_config(find_config(arguments.config), arguments.set).simulation
    walks: dict[str, Callable[[SimulationConfig], tuple[Columns, Columns]]] = {"lockstep": lockstep}
    for minutes in arguments.tick_minutes:
        walks[f"arena, ticks of {minutes} min"] = lambda config, minutes=minutes: arena(config, minutes)
    seconds: dict[str, list[float]] = {name: [] for name in walks}
    marginals: dict[str, list[dict[str, float]]] = {name: [] for name in walks}
    for turn in range(arguments.repeats):
        for name, walk in walks.items():
            seeded = replace(config, seed=config.seed + turn)
            started = time.process_time()
            events, requests = walk(seeded)
            seconds[name].append(time.process_time() - started)
            marginals[name].append(marginals_of(seeded, events, requests))
    rows = [summary(name, seconds, marginals) for name in walks]
    show(rows)
    save(record("arena", config=arguments.config, users=config.users, days=config.days, rows=rows), arguments.out)


def lockstep(config: SimulationConfig) -> tuple[Columns, Columns]:
    """Events and requests of the walk of `rosa simulate`, all chunks."""
    world = build_world(config)
    logs = [simulate_chunk(config, world, chunk) for chunk in range(config.chunks)]
    return _joined([log.events for log in logs]), _joined([log.requests for log in logs])


def arena(config: SimulationConfig, tick_minutes: int) -> tuple[Columns, Columns]:
    """Events and requests of the walk by the clock: all days but one before policies choose, and one after."""
    before, last = Recorder(), Recorder()
    played = Arena(config, ArenaConfig(days=1, tick_minutes=tick_minutes), recorder=before)
    played.play(parse_player("logging"), recorder=last)
    parts = before.columns(), last.columns()
    return _joined([part[0] for part in parts]), _joined([part[1] for part in parts])


def marginals_of(config: SimulationConfig, events: Columns, requests: Columns) -> dict[str, float]:
    """Rates of a log, true and drawn, and how much users do."""
    every, slot = np.arange(len(requests["row"])), requests["shown_N"]
    p_ctr, p_cvr = (requests[name][every, slot] for name in ("p_ctr_NK", "p_cvr_NK"))
    clicks = requests["click_N"].sum()
    organic = events["behavior"][events["behavior"] != int(Behavior.CLICK)]
    return {
        "requests a user": len(every) / config.users,
        "events a user": len(events["row"]) / config.users,
        "CTR": clicks / len(every),
        "true CTR": p_ctr.mean(),
        "CVR": requests["conversion_N"].sum() / clicks,
        "true CVR": (p_ctr * p_cvr).sum() / p_ctr.sum(),
        "carts": (organic == int(Behavior.CART)).mean(),
        "purchases": (organic == int(Behavior.PURCHASE)).mean(),
    }


def summary(name: str, seconds: dict[str, list[float]], marginals: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means over the repeats, and the time over that of lockstep."""
    means = {key: float(np.mean([row[key] for row in marginals[name]])) for key in marginals[name][0]}
    spent = float(np.mean(seconds[name]))
    ratio = spent / float(np.mean(seconds["lockstep"]))
    figures = {"seconds": round(spent, 2), "over_lockstep": round(ratio, 3)}
    return {"walk": name, **figures, **{key: round(value, 5) for key, value in means.items()}}


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], title="The same users under the logging policy")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=160).print(table)


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if not name.startswith("oracle")}


if __name__ == "__main__":
    main()
