"""How much pre-training on events is enough: gain in clicks against passes over the events, and against events.

A run's data is trained on without pre-training, and after each number of passes. The same then with passes over the
events of fewer users, while clicks are learned from all users. Everything is measured on the validation period: AUC
of clicks, and AUC* against the true probabilities where the log is simulated. Beside it stand the loss on held-out
users and the seconds it took.

    rosa simulate CONFIG.yaml && rosa preprocess CONFIG.yaml
    python benchmarks/pretraining_curve.py CONFIG.yaml --epochs 1 2 4 8 16 --shares 0.25 0.5 1
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from record import record, save
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from rosa_ray.config import load_config
from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.evaluation.policy_value import join_truth, read_truth
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import Split
from rosa_ray.metrics import TrueHead
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import read_parquet
from rosa_ray.training.in_process import InProcessTrainer, in_one_process
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig, pretrain_in_one_process
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.pretrained import place_of, planned, write_result

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of a run whose data is preprocessed")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings instead of the config's")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0], help="of the users whose events are learned")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pretraining_curve.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(options.config, options.set)
    run_dir = RunDir(config.run_dir)
    rows = [row for seed in options.seeds for row in measure(config, run_dir, seed, options)]
    Console().print(table(rows))
    settings = {"objective": dict(config.pretrain.objective), "learning_rate": config.pretrain.learning_rate}
    save(record("pretraining_curve", seeds=options.seeds, pretrain=settings, rows=rows), options.out)


def measure(config: Any, run_dir: RunDir, seed: int, options: argparse.Namespace) -> Iterator[Row]:
    """Figures without pre-training, then after each number of passes over the events of each share of the users."""
    pretrain = pretrain_in_one_process(config.pretrain, config.training.workers)
    training = in_one_process(config.training)
    job = TrainingJob(config.model, config.loss, training, seed, run_dir.data.root, pretrain=pretrain)
    tables = [read_parquet(path) for path, _ in list_user_files(run_dir.data.users)]
    yield {"seed": seed, "share": 0.0, "epochs": 0, **fit(job, tables, run_dir)}
    for share in options.shares:
        shared = replace(job, training=replace(training, user_share=share))
        with tempfile.TemporaryDirectory() as scratch:
            for row, start in pretrained(shared, tables, options.epochs, scratch):
                found = fit(replace(start, training=training), tables, run_dir)
                yield {"seed": seed, "share": share, **row, **found}


def pretrained(job: TrainingJob, tables: list[pa.Table], epochs: list[int], scratch: str) -> Iterator[tuple[Row, Any]]:
    """Yield what a pre-training of each length took and gave, and the training that starts from it."""
    most = max(epochs)
    trainer = InProcessTrainer(PretrainJob(with_epochs(job, most, patience=most)), tables)
    for passes in sorted(epochs):
        while len(trainer.history) < passes:
            trainer.run_epoch()
        before = PretrainJob(with_epochs(job, passes, patience=most))
        place = place_of(before, scratch)
        write_result(before, place, {"model": trainer.best_weights, "touched": trainer.touched}, trainer.history)
        best = min(trainer.history, key=lambda one: float(one["valid_loss"]))
        row = {
            "epochs": passes,
            "events": trainer.history[0]["samples"],
            "held_out_loss": round(best["valid_loss"], 4),
            "pretrain_seconds": round(sum(one["train_seconds"] for one in trainer.history), 1),
        }
        yield row, planned(before.job, scratch)


def with_epochs(job: TrainingJob, epochs: int, patience: int) -> TrainingJob:
    """The same training after so many passes."""
    pretrain: PretrainConfig = replace(job.pretrain, epochs=epochs, patience=patience)
    return replace(job, pretrain=pretrain)


def fit(job: TrainingJob, tables: list[pa.Table], run_dir: RunDir) -> Row:
    """Train on clicks, and measure the best epoch on the validation period."""
    began = time.perf_counter()
    trainer = InProcessTrainer(job, tables)
    while not trainer.finished:
        trainer.run_epoch()
    seconds = time.perf_counter() - began
    state = read_feature_state(job.layout.features)
    scorer = UserScorer.load(job.describe_model(state), trainer.best_weights, state)
    parts = [scorer.score(scorer.encode(rows), Split.VALID) for rows in tables]
    scored = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    figures = {"auc": float(roc_auc_score(scored["click"], scored["p_ctr"])), **against_truth(scored, run_dir)}
    rounded = {name: None if value is None else round(value, 5) for name, value in figures.items()}
    return {"click_epochs": len(trainer.history), "click_seconds": round(seconds, 1), **rounded}


def against_truth(scored: dict[str, np.ndarray], run_dir: RunDir) -> dict[str, float | None]:
    """AUC* of clicks and of conversions; none on a log without truth."""
    truth = read_truth(run_dir.log.root)
    if truth is None:
        return {}
    true = join_truth(truth, scored["impression_key"], run_dir.log.root)
    clicks = TrueHead().update(scored["p_ctr"], true["p_ctr"])
    conversions = TrueHead().update(scored["p_cvr"], true["p_cvr"], true["p_ctr"])
    return {"true_auc": clicks.auc(), "true_cvr_auc": conversions.auc()}


def table(rows: list[Row]) -> Table:
    """Means over the seeds, and the gain over no pre-training."""
    found = Table("users", "passes", "events", "held out", "s", "AUC", "AUC*", "CVR*", "gain")
    name = "true_auc" if "true_auc" in rows[0] else "auc"
    without = mean([row for row in rows if not row["epochs"]], name)
    for share, epochs in dict.fromkeys((row["share"], row["epochs"]) for row in rows):
        same = [row for row in rows if (row["share"], row["epochs"]) == (share, epochs)]
        figures = [mean(same, one) for one in ("auc", "true_auc", "true_cvr_auc")]
        cells = ["–" if figure is None else f"{figure:.4f}" for figure in figures]
        gain = mean(same, name)
        last = "–" if gain is None or without is None else f"{gain - without:+.4f}"
        loss, seconds = mean(same, "held_out_loss"), mean(same, "pretrain_seconds")
        spent = ["–" if value is None else f"{value:.{digits}f}" for value, digits in ((loss, 3), (seconds, 0))]
        found.add_row(f"{share:g}", str(epochs), str(same[0].get("events", 0)), *spent, *cells, last)
    return found


def mean(rows: list[Row], name: str) -> float | None:
    """Mean of a figure; None where a row lacks it."""
    values = [row.get(name) for row in rows]
    return None if not values or None in values else float(np.mean(values))


if __name__ == "__main__":
    main()
