"""What it is worth that a training process keeps the memory that it frees, on a CPU.

Fresh processes take turns: one trains as `rosa train` does, the other gives freed memory back, as glibc does by itself.

    python benchmarks/kept_memory.py --out benchmarks/results/kept_memory.json
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np
import torch
from record import record, save
from rich.console import Console
from rich.table import Table
from train_throughput import Trainer, synthetic_users

from rosa_ray.training.process import keep_freed_memory

WAYS = ("kept", "given back")
SETTINGS = {"width": 64, "layers": 2, "heads": 4, "window": 50}
PER_USER, PER_BATCH = 28, 16


def main() -> None:
    arguments = _arguments()
    if arguments.way:
        print(json.dumps(train(arguments.way, arguments.seconds)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            found[way].append(in_a_fresh_process(way, arguments.seconds))
    rows = [
        {"way": way, **{name: float(np.median([each[name] for each in rounds])) for name in rounds[0]}}
        for way, rounds in found.items()
    ]
    kept, given = (row["impressions_per_s"] for row in rows)
    document = record("kept_memory", rounds=arguments.rounds, rows=rows, ratio=round(kept / given, 2))
    show(document)
    save(document, arguments.out)


def train(way: str, seconds: float) -> dict[str, float]:
    """Train for about `seconds` after a warm-up of a quarter; impressions per second, and the system's share of CPU."""
    torch.set_num_threads(1)
    if way == "kept" and not keep_freed_memory():
        raise SystemExit("this C library has no mallopt: nothing can be kept")
    trainer = Trainer(SETTINGS, synthetic_users(256, PER_USER, SETTINGS["window"]), PER_BATCH, torch.device("cpu"))
    trainer.run(seconds / 4)
    before = os.times()
    rate = trainer.run(seconds)
    after = os.times()
    user, system = after.user - before.user, after.system - before.system
    return {"impressions_per_s": round(rate, 1), "system_share": round(system / (user + system), 3)}


def in_a_fresh_process(way: str, seconds: float) -> dict[str, float]:
    """What `train` gives in a process that has freed nothing yet."""
    command = [sys.executable, __file__, "--way", way, "--seconds", str(seconds)]
    told: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return told


def show(document: dict[str, object]) -> None:
    """Print the table."""
    table = Table("freed memory is", "impressions/s", "system's share of CPU", title="training on one core")
    for row in document["rows"]:  # type: ignore[attr-defined]
        table.add_row(row["way"], f"{row['impressions_per_s']:,.0f}", f"{row['system_share']:.1%}")
    Console().print(table)
    print(f"kept over given back: {document['ratio']}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind")
    parser.add_argument("--seconds", type=float, default=15.0, help="that each process trains")
    parser.add_argument("--way", choices=WAYS, help="train in this process, in one way")
    parser.add_argument("--out", help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
