"""What one user with thousands of events and impressions costs: a training step, scoring, and encoding for the store.

Each figure is of a process of its own: seconds, and the memory above what the process held before. `whole` is the user
as one row of a batch, `pieces` what training and scoring do with it. Quadratic cases whose memory would not fit are
left out and printed as –.

    python benchmarks/long_users.py
    python benchmarks/long_users.py --sizes 1000 4000 --most-whole 4000
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from record import record, save
from rich.console import Console
from rich.table import Table
from torch import nn
from train_throughput import make, synthetic_users

from rosa_ray.data.user_encoding import UserEncoder
from rosa_ray.features import (
    EVENT_COLUMNS,
    EncodedUsers,
    FeatureConfig,
    FeatureState,
    batch_users,
    collate,
    cut_long_users,
)
from rosa_ray.features.fit_sums import TABLES
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.inference import context_events, put_scores
from rosa_ray.models import LossConfig, LossScales, UserBatch
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.step import Stepper

SETTINGS = {"width": 64, "layers": 2, "heads": 4, "window": 50}
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000, 20_000], help="events, and impressions")
    parser.add_argument("--most-whole", type=int, default=6000, help="longest user that is also run whole")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/long_users.json"))
    options = parser.parse_args()
    # What is imported here, every forked process has at once.
    training(make(SETTINGS, torch.device("cpu")), log_with(8, 8), cut=False)
    rows = [
        {"work": work, "events": events, "impressions": impressions, **ways}
        for work in WORK
        for events, impressions in shapes(work, options.sizes)
        for ways in [both_ways(work, events, impressions, options.most_whole)]
    ]
    Console().print(table(rows))
    save(record("long_users", model=SETTINGS, rows=rows), options.out)


def shapes(work: str, sizes: list[int]) -> list[tuple[int, int]]:
    """Long in both; a training step also in events or impressions alone; timelines are encoded without impressions."""
    if work == "encoding":
        return [(size, 1) for size in sizes]
    alone = [pair for size in sizes for pair in ((size, 100), (100, size))] if work == "training step" else []
    return [*((size, size) for size in sizes), *alone]


def both_ways(work: str, events: int, impressions: int, most_whole: int) -> dict[str, Any]:
    """Seconds and MiB, whole and in pieces, in turns."""
    fits = min(events, impressions) <= most_whole
    found: dict[str, Any] = {}
    for way in ("whole", "pieces"):
        figures = in_own_process(work, way, events, impressions) if fits or way == "pieces" else (None, None)
        found |= {f"{way}_seconds": figures[0], f"{way}_mib": figures[1]}
    return found


def in_own_process(work: str, way: str, events: int, impressions: int) -> tuple[float, float]:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(measure, (work, way, events, impressions))


def measure(work: str, way: str, events: int, impressions: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    model = make(SETTINGS, torch.device("cpu"))
    users = log_with(events, impressions)
    run = WORK[work](model, users, way == "pieces")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    return round(seconds, 3), round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / MIB, 1)


def log_with(events: int, impressions: int) -> EncodedUsers:
    """One user of that length."""
    long = synthetic_users(1, impressions, events, seed=1)
    visible = np.sort(long.impressions["visible"] * events // np.diff(long.event_offsets))
    return replace(
        long,
        event_offsets=np.array([0, events]),
        events={name: values[:events] for name, values in long.events.items()},
        impressions={**long.impressions, "visible": visible},
    )


def training(model: nn.Module, users: EncodedUsers, cut: bool) -> Callable[[], None]:
    """All steps of an epoch of that user, eight pieces at a time."""
    scales = LossScales(revenue_per_cost=2.0, median_price=20.0, ctcvr=0.01)
    stepper = Stepper(
        model.train(), training=TrainingConfig(), loss=LossConfig(), scales=scales, device=torch.device("cpu")
    )

    def run() -> None:
        pieces = cut_long_users(users, context_events(model)) if cut else users
        rng = np.random.default_rng(0)
        for chosen in batch_users(pieces, 8, rng) if cut else [np.arange(len(users))]:
            stepper(UserBatch.from_numpy(collate(pieces, chosen)), 1e-3)

    return run


def scoring(model: nn.Module, users: EncodedUsers, cut: bool) -> Callable[[], None]:
    """Evaluation of the same user."""

    def run() -> None:
        pieces = cut_long_users(users, context_events(model)) if cut else users
        scores = {name: np.zeros(len(users.dense)) for name in ("p_ctr", "p_cvr", "p_ctcvr", "value")}
        for chosen in batch_users(pieces, 64, None) if cut else [np.arange(len(users))]:
            batch = UserBatch.from_numpy(collate(pieces, chosen))
            with torch.inference_mode():
                put_scores(scores, batch, model.eval()(batch))

    return run


def encoding(model: nn.Module, users: EncodedUsers, cut: bool) -> Callable[[], None]:
    """States for the store, which keeps every event; before, states were encoded from all that the store keeps."""
    nothing = np.empty(0)
    state = FeatureState(
        config=FeatureConfig(views=()),
        vocabularies={name: Vocabulary(np.arange(1, 5), 3) for name in TABLES},
        **dict.fromkeys(("dense_mean", "dense_scale", "log_money_mean", "log_money_scale"), nothing),
        totals={},
    )
    events = int(np.diff(users.event_offsets).max())
    encoder = UserEncoder(model.eval(), state, context_events=events, as_of_us=1 << 60, seen_from_us=0)
    if not cut:
        model.__class__ = type("Whole", (model.__class__,), {"context_events": events})
    lists = {name: [column[-events:].tolist()] for name, column in users.events.items()}
    stored = {
        "user_key": pa.array([1]),
        "event_id": pa.array([[str(row) for row in range(events)]], pa.large_list(pa.string())),
        **{
            f"event_{name}": pa.array(lists.get(name, [[0.0] * events]), pa.large_list(type_))
            for name, type_ in EVENT_COLUMNS.items()
        },
        **{
            f"impression_{name}": pa.array([[]], pa.large_list(pa.int64()))
            for name in ("impression_key", "time_us", "split", "click", "conversion")
        },
    }
    table = pa.table(stored)
    return lambda: print(end="") if encoder(table) is None else None


WORK = {"training step": training, "scoring": scoring, "encoding": encoding}


def table(rows: list[dict[str, Any]]) -> Table:
    found = Table("work", "events", "impressions", "whole, s", "pieces, s", "whole, MiB", "pieces, MiB")
    for row in rows:
        names = ("whole_seconds", "pieces_seconds", "whole_mib", "pieces_mib")
        figures = ["–" if row[name] is None else f"{row[name]:,.2f}" for name in names]
        found.add_row(row["work"], f"{row['events']:,}", f"{row['impressions']:,}", *figures)
    return found


if __name__ == "__main__":
    main()
