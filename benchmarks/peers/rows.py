"""What both peers' runners share: exported rows, the search on the validation period, and the files that come out.

Runs in the peers' environment: NumPy, torch, pandas and scikit-learn, nothing of ROSA-Rec.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

CONTEXT = ("campaign", "hour", "weekday")
EVENT = ("item", "category", "behavior", "gap")
GRID = ("learning_rates", "l2", "spreads", "threads", "out", "zoo")
"""Options that trials of one search may differ in."""
Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """One point of the search.

    Attributes:
        l2: regularisation of the embedding tables, as the peer defines it.
        spread: standard deviation that embeddings start with.
    """

    learning_rate: float
    l2: float
    spread: float


@dataclass(frozen=True)
class Fit:
    """What a fit leaves: click probabilities of a split's rows, and how many epochs it took."""

    predict: Callable[[Rows], np.ndarray]
    epochs: int


def arguments(description: str, models: tuple[str, ...]) -> argparse.ArgumentParser:
    """Arguments of both runners."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=models)
    parser.add_argument("data", type=Path, help="what export.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=32, help="embedding size")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=30, help="at most; early stopping comes sooner")
    parser.add_argument("--patience", type=int, default=2, help="epochs without a better validation AUC")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-3, 5e-4])
    parser.add_argument("--l2", type=float, nargs="+", default=[0.0, 1e-5])
    parser.add_argument("--spreads", type=float, nargs="+", default=[1e-4, 0.1, 0.3], help="of embeddings at the start")
    parser.add_argument("--fields", nargs="+", choices=EVENT, default=list(EVENT), help="what an event says")
    parser.add_argument("--train-rows", type=int, default=0, help="only so many training rows, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def load(directory: Path, train_rows: int, seed: int) -> tuple[dict[str, Any], dict[str, Rows]]:
    """The specification and the rows of each split."""
    splits = {name: dict(np.load(directory / f"{name}.npz")) for name in ("train", "valid", "test")}
    rng = np.random.default_rng(seed)
    if train_rows and train_rows < len(splits["train"]["click"]):
        kept = np.sort(rng.choice(len(splits["train"]["click"]), train_rows, replace=False))
        splits["train"] = {name: values[kept] for name, values in splits["train"].items()}
    return json.loads((directory / "spec.json").read_text()), splits


class Batches:
    """Batches of rows, built by index instead of row by row; shuffled anew in every pass if asked to."""

    def __init__(self, rows: Rows, batch: int, make: Callable[[Rows], Any], shuffle_seed: int | None = None) -> None:
        self.rows, self.batch, self.make = rows, batch, make
        self.rng = None if shuffle_seed is None else np.random.default_rng(shuffle_seed)

    def __len__(self) -> int:
        return -(-len(self.rows["click"]) // self.batch)

    def __iter__(self) -> Iterator[Any]:
        count = len(self.rows["click"])
        order = np.arange(count) if self.rng is None else self.rng.permutation(count)
        for start in range(0, count, self.batch):
            chosen = order[start : start + self.batch]
            yield self.make({name: values[chosen] for name, values in self.rows.items()})


def spread_embeddings(model: nn.Module, spread: float) -> None:
    """Start every embedding table of a peer's model anew; rows of padding stay zero."""
    for table in model.modules():
        if isinstance(table, nn.Embedding):
            nn.init.normal_(table.weight, std=spread)
            if table.padding_idx is not None:
                nn.init.zeros_(table.weight[table.padding_idx])


def search(
    options: argparse.Namespace, peer: str, fit: Callable[[Trial, dict[str, Any], dict[str, Rows]], Fit]
) -> None:
    """Fit every point of the grid, keep the one of best validation AUC, and write its test predictions.

    Writes `predictions.parquet` (impression_key, user_key, p_ctr of the test rows) and `result.json` after every point
    that is the best so far. Points that an earlier run into the same folder has fitted are not fitted again, so a
    search goes on after a stop, and a wider grid adds to a narrower one.
    """
    torch.set_num_threads(options.threads)
    spec, splits = load(options.data, options.train_rows, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    trials = earlier_trials(options)
    for point in itertools.product(options.learning_rates, options.l2, options.spreads):
        trial = Trial(*point)
        if any(asdict(trial).items() <= known.items() for known in trials):
            continue
        torch.manual_seed(options.seed)
        started = time.perf_counter()
        fitted = fit(trial, spec, splits)
        seconds = time.perf_counter() - started
        valid = metrics(splits["valid"], fitted.predict(splits["valid"]))
        trials.append({**asdict(trial), "epochs": fitted.epochs, "seconds": round(seconds, 1), "valid": valid})
        print(peer, options.model, json.dumps(trials[-1]), flush=True)
        if best(trials) is trials[-1]:
            write_predictions(options.out, splits["test"], fitted.predict(splits["test"]))
        write_result(options, peer, trials, splits)


def best(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The trial of best validation AUC."""
    return max(trials, key=lambda trial: trial["valid"]["auc"])


def earlier_trials(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Trials of an earlier run into the same folder.

    Raises:
        SystemExit: it ran with other settings than the grid's.
    """
    path = options.out / "result.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    now = settings(options)
    if other := [name for name in now if name not in GRID and found["settings"].get(name) != now[name]]:
        raise SystemExit(f"{path} is of another {', '.join(other)}; give another --out")
    return list(found["trials"])


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options, ready for JSON."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}


def write_predictions(folder: Path, test: Rows, p_ctr: np.ndarray) -> None:
    """Write the click probabilities of the test rows."""
    keys = {name: test[name] for name in ("impression_key", "user_key")}
    pd.DataFrame({**keys, "p_ctr": p_ctr}).to_parquet(folder / "predictions.parquet")


def write_result(
    options: argparse.Namespace, peer: str, trials: list[dict[str, Any]], splits: Mapping[str, Rows]
) -> None:
    """Write what was tried and what the best of it reached on the test rows."""
    test = splits["test"]
    result = {
        "peer": peer,
        "model": options.model,
        "settings": settings(options),
        "cores": os.cpu_count(),
        "train_rows": len(splits["train"]["click"]),
        "trials": trials,
        "chosen": best(trials),
        "test": metrics(test, pd.read_parquet(options.out / "predictions.parquet")["p_ctr"].to_numpy()),
    }
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def metrics(rows: Rows, p_ctr: np.ndarray) -> dict[str, float]:
    """AUC and log loss of clicks."""
    clipped = np.clip(p_ctr.astype(np.float64), 1e-7, 1 - 1e-7)
    return {"auc": float(roc_auc_score(rows["click"], p_ctr)), "logloss": float(log_loss(rows["click"], clipped))}
