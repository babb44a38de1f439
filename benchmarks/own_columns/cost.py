"""What declared columns cost a training step and a request, beside the same without them, in one process.

The user rows of a run with many declared columns are read with none of them, with ten, and with all. Users, batches and
weights are the same otherwise. The three take turns, so that whatever else the machine does falls on all alike.

A request is one user with 100 candidates: user rows are encoded and scored by an untrained ROSA-Rec on stored states,
as the service does; reading the store is left out. A step is forward, backward and the optimizer on 64 users.

    python benchmarks/own_columns/cost.py runs/planted/sixty/run --out benchmarks/results/own_columns_cost.json
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.features import FeatureState, FitSums, UserRows, batch_users, collate, encode_users
from rosa_ray.models import UserBatch, build_ranker
from rosa_ray.storage import read_json, read_parquet

sys.path.append(str(Path(__file__).parents[1]))
from record import record, save

TYPES = ("category", "number", "categories", "vector")
CANDIDATES, USERS = 100, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory with preprocessed data and many declared columns")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = UserRows.from_table(read_parquet(str(options.run / "data" / "users" / "part-00000.parquet")))
    whole = read_feature_state(str(options.run / "data" / "features"))
    until_us = read_json(str(options.run / "data" / "spec.json"))["bounds"]["valid_us"]
    states = {count: state_of(whole, rows, until_us, count) for count in (0, 10, len(whole.config.columns))}
    steps = {count: step_of(state, rows) for count, state in states.items()}
    requests = {count: request_of(state, rows) for count, state in states.items()}
    timed = {"step": in_turns(steps, options.turns), "request": in_turns(requests, options.turns * 5)}
    found = [
        {"what": what, "columns": count, "p50_ms": p50_ms, "ratio": round(p50_ms / times[0], 3)}
        for what, times in timed.items()
        for count, p50_ms in times.items()
    ]
    for entry in found:
        print(f"{entry['what']:<8} {entry['columns']:>3} columns {entry['p50_ms']:>9.2f} ms {entry['ratio']:>6.2f}")
    save(record("own_columns_cost", rows=found), options.out)


def state_of(whole: FeatureState, rows: UserRows, until_us: int, count: int) -> FeatureState:
    """Features with some of the columns, of all types in turn as far as there are."""
    by_type = {kind: [n for n, c in whole.config.columns.items() if c.type == kind] for kind in TYPES}
    shares = {"category": 4, "number": 3, "categories": 2, "vector": 1}
    chosen = {name for kind, names in by_type.items() for name in names[: shares[kind] * count // 10]}
    if count == len(whole.config.columns):
        chosen = set(whole.config.columns)
    columns = {name: column for name, column in whole.config.columns.items() if name in chosen}
    config = replace(whole.config, columns=columns)
    return FeatureState.fit([FitSums.of(rows, until_us, config)], config, vectors=whole.vectors)


def step_of(state: FeatureState, rows: UserRows) -> Callable[[], None]:
    """One training step on a batch of users; the same users whatever is read of them."""
    users = encode_users(rows, state).select(0)
    chosen = next(batch_users(users, USERS, np.random.default_rng(0)))
    batch = UserBatch.from_numpy(collate(users, chosen))
    torch.manual_seed(0)
    ranker = build_ranker("rosa", {}, state.table_sizes, state.base_rates)
    optimizer = torch.optim.AdamW(ranker.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(ranker(batch).ctr_logit, batch.labels["click"])
        loss.backward()
        optimizer.step()

    return step


def request_of(state: FeatureState, rows: UserRows) -> Callable[[], None]:
    """One request: the candidates are impressions of many users, seen by one of them."""
    ranker = build_ranker("rosa", {}, state.table_sizes, state.base_rates).eval()
    user = int(np.argmax(np.diff(rows.event_offsets)))
    low, high = (int(at) for at in rows.event_offsets[user : user + 2])
    low = max(low, high - ranker.context_events)
    events = {name: values[low:high] for name, values in rows.events.items()}
    shown = {name: values[:CANDIDATES].copy() for name, values in rows.of_known_ads().impressions.items()}
    shown["time_us"][:] = events["time_us"][-1] + 1
    one = UserRows(
        user_id=np.array([""], object),
        user_key=np.array([1]),
        event_offsets=np.array([0, high - low]),
        events=events,
        impression_offsets=np.array([0, CANDIDATES]),
        impressions=shown,
        dense=rows.dense[:CANDIDATES],
    )

    @torch.inference_mode()
    def request() -> None:
        batch = UserBatch.from_numpy(collate(encode_users(one, state), np.arange(1)))
        states_BTD = torch.zeros((1, batch.event_mask.shape[1], ranker.config.width))
        ranker.score(states_BTD, batch)

    return request


def in_turns(of: dict[int, Callable[[], None]], turns: int) -> dict[int, float]:
    """Median milliseconds of CPU of each, after three turns to warm up: one thread does all of it."""
    took_ms = {count: np.zeros(turns) for count in of}
    for turn in range(-3, turns):
        for count, call in of.items():
            began_s = time.thread_time()
            call()
            if turn >= 0:
                took_ms[count][turn] = (time.thread_time() - began_s) * 1e3
    return {count: round(float(np.median(times)), 3) for count, times in took_ms.items()}


if __name__ == "__main__":
    main()
