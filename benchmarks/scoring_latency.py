"""One request through each trained model of a study, side by side in one process.

Models take turns, request by request, so that whatever else the machine does falls on all of them alike.

    rosa compare simulator && python benchmarks/scoring_latency.py runs/simulator
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from record import record, save
from torch import nn

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.features import EncodedUsers, UserRows, encode_users
from rosa_ray.inference import context_events, load_ranker, predict
from rosa_ray.storage import read_parquet
from rosa_ray.studies.compare.latency import requests_of
from rosa_ray.studies.trees.config import TREES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="directory of a study")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked = load(arguments.run, arguments.candidates)
    took_ms = {name: np.zeros(arguments.requests) for name in asked}
    for turn in range(-20, arguments.requests):
        for name, (ranker, requests) in asked.items():
            began = time.perf_counter()
            predict(ranker, requests[turn % len(requests)], 1)
            if turn >= 0:
                took_ms[name][turn] = (time.perf_counter() - began) * 1e3
    rows = [row(name, times) for name, times in took_ms.items()]
    print(f"{'model':<12}{'p50 ms':>9}{'p99 ms':>9}{'requests/s':>12}{'of the slowest':>16}")
    slowest = max(entry["p50_ms"] for entry in rows)
    for entry in rows:
        print(
            f"{entry['model']:<12}{entry['p50_ms']:>9.2f}{entry['p99_ms']:>9.2f}{entry['requests_per_s']:>12.0f}"
            f"{entry['p50_ms'] / slowest:>16.2f}"
        )
    save(record("scoring_latency", candidates=arguments.candidates, models=rows), arguments.out)


def load(run: Path, candidates: int) -> dict[str, tuple[nn.Module, list[EncodedUsers]]]:
    """First trial of each ranker with the requests it is asked; boosted trees are none."""
    document = json.loads((run / "comparison.json").read_text())
    state = read_feature_state(str(run / "data" / "features"))
    users = encode_users(UserRows.from_table(read_parquet(str(run / "data" / "users" / "part-00000.parquet"))), state)
    asked = {}
    for variant in (each for each in document["variants"] if each["model"] != TREES):
        name, seed = variant["name"], document["seeds"][0]
        folder = run / "trials" / f"{name}-lr{variant['learning_rate']:g}-s{seed}"
        description = {
            "name": variant["model"],
            "config": variant["settings"],
            "sizes": state.table_sizes,
            "base_rates": state.base_rates,
        }
        ranker = load_ranker(description, torch.load(folder / "weights.pt", weights_only=True))
        asked[name] = (ranker, requests_of(users, candidates, context_events(ranker)))
    return asked


def row(name: str, took_ms: np.ndarray) -> dict[str, float | str]:
    return {
        "model": name,
        "p50_ms": round(float(np.quantile(took_ms, 0.5)), 3),
        "p99_ms": round(float(np.quantile(took_ms, 0.99)), 3),
        "requests_per_s": round(1e3 / float(took_ms.mean()), 1),
    }


if __name__ == "__main__":
    main()
