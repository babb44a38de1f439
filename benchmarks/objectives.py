"""What objectives of pre-training know of clicks, before a ranker has learned any.

Each set of objectives is pre-trained on the events of a run. Then a logistic regression learns the training period's
clicks from the usual scalars: dense features, exact matches and the time since the last event. Beside these it gets
what the objectives say of each ad. Validation period: AUC of clicks; on a simulated log AUC* as well, and how much of
the variance of the log of the true probabilities such scalars explain in a ridge regression over four folds of users.
It has far less noise than a fit, which ends on other grounds in another epoch.

    rosa simulate CONFIG.yaml && rosa preprocess CONFIG.yaml
    python benchmarks/objectives.py CONFIG.yaml --sets next_category day_category next_category+day_category
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import record, save
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from rosa_ray.arrays import Columns
from rosa_ray.config import RunConfig, load_config
from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.evaluation.policy_value import join_truth, read_truth
from rosa_ray.features import EncodedUsers, Split, UserRows, batch_users, collate, concat_users, encode_users
from rosa_ray.features.encoding import owners
from rosa_ray.inference import context_events
from rosa_ray.metrics import TrueHead
from rosa_ray.models import UserBatch
from rosa_ray.models.embedding import GAP_BUCKETS, recency_buckets
from rosa_ray.models.event_model import EventModel
from rosa_ray.models.exact_match import ExactMatch
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import read_parquet
from rosa_ray.training.event_worker import EventWorker
from rosa_ray.training.in_process import in_one_process
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.ranks import Ranks

MATCH_WINDOW, FOLDS, RIDGE = 150, 4, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of a run whose data is preprocessed")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings instead of the config's")
    parser.add_argument("--sets", nargs="+", default=["next_category", "day_category", "next_category+day_category"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the users whose events are learned")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/objectives.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(options.config, options.set)
    rows = list(measure(config, options))
    Console().print(table(rows))
    sizes = {"epochs": options.epochs, "share": options.share, "seed": options.seed}
    save(record("objectives", **sizes, learning_rate=config.pretrain.learning_rate, rows=rows), options.out)


def measure(config: RunConfig, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Figures of the usual scalars alone, then with each set of objectives."""
    run_dir = RunDir(config.run_dir)
    tables = [read_parquet(path) for path, _ in list_user_files(run_dir.data.users)]
    state = read_feature_state(run_dir.data.features)
    users = concat_users([encode_users(UserRows.from_table(rows), state) for rows in tables])
    for name in options.sets:
        pretrain = replace(config.pretrain, epochs=options.epochs, objective=dict.fromkeys(name.split("+"), 1.0))
        training = replace(in_one_process(config.training), user_share=options.share)
        job = TrainingJob(config.model, config.loss, training, options.seed, run_dir.data.root, pretrain=pretrain)
        worker = EventWorker(PretrainJob(job), tables, Ranks("cpu"))
        while not worker.finished:
            worker.run_epoch()
        model = worker.averaged.module.eval()
        learned, judged = (scalars(model, users.select(split)) for split in (Split.TRAIN, Split.VALID))
        if name == options.sets[0]:
            yield {"objectives": "", **figures(learned, judged, ("usual",), run_dir)}
        seconds = round(sum(one["train_seconds"] for one in worker.history), 1)
        loss = round(min(float(one["valid_loss"]) for one in worker.history), 4)
        told = figures(learned, judged, ("usual", "told"), run_dir)
        yield {"objectives": name, "seconds": seconds, "held_out_loss": loss, **told}


def scalars(model: EventModel, users: EncodedUsers) -> Columns:
    """Of every impression `usual` and `told` scalars, float64 (I, columns); click, impression_key and user."""
    users = users.trim(context_events(model.ranker))  # type: ignore[arg-type]
    exact, found = ExactMatch(MATCH_WINDOW), []
    with torch.inference_mode():
        for chosen in batch_users(users, 32, None):
            batch = UserBatch.from_numpy(collate(users, chosen))
            shown, mask, states_BTD = batch.impressions, batch.impression_mask, model.ranker.encode(batch.events)
            away = functional.one_hot(recency_buckets(batch), GAP_BUCKETS + 1).float()
            usual = torch.cat([batch.dense, exact(shown, batch.events), away], dim=-1)
            said = [
                one.scores(states_BTD, batch.events, shown, model.ranker.tables)  # type: ignore[operator]
                for one in model.objectives.values()
                if hasattr(one, "scores")
            ]
            told = torch.cat(said, dim=-1) if said else usual[..., :0]
            found.append((batch.row[mask], usual[mask], told[mask]))
    row, usual, told = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    order = np.argsort(row)
    columns = {"usual": usual[order].astype(np.float64), "told": told[order].astype(np.float64)}
    kept = {name: users.impressions[name] for name in ("click", "impression_key")}
    return columns | kept | {"user": users.user_key[owners(users.impression_offsets)]}


def figures(learned: Columns, judged: Columns, names: tuple[str, ...], run_dir: RunDir) -> dict[str, float]:
    """AUC of clicks learned from some scalars; with a truth AUC* and the share of variance explained as well."""
    before, after = (np.hstack([columns[name] for name in names]) for columns in (learned, judged))
    mean, spread = before.mean(0), before.std(0) + 1e-6
    model = LogisticRegression(C=0.01, max_iter=300).fit((before - mean) / spread, learned["click"])
    p_ctr = model.predict_proba((after - mean) / spread)[:, 1]
    found = {"auc": float(roc_auc_score(judged["click"], p_ctr))}
    truth = read_truth(run_dir.log.root)
    if truth is not None:
        true = join_truth(truth, judged["impression_key"], run_dir.log.root)["p_ctr"]
        found["true_auc"] = TrueHead().update(p_ctr, true).auc() or 0.0
        found["explained"] = explained((after - mean) / spread, np.log(true), judged["user"])
    return {name: round(value, 4) for name, value in found.items()}


def explained(scalars_IC: np.ndarray, target: np.ndarray, user: np.ndarray) -> float:
    """Share of the target's variance that a ridge regression explains for users it has not seen."""
    inputs = np.c_[scalars_IC, np.ones(len(target))]
    fold, told = np.unique(user, return_inverse=True)[1] % FOLDS, np.zeros(len(target))
    for each in range(FOLDS):
        known, asked = inputs[fold != each], inputs[fold == each]
        gram = known.T @ known + RIDGE * np.eye(inputs.shape[1])
        told[fold == each] = asked @ np.linalg.solve(gram, known.T @ target[fold != each])
    return float(1 - ((target - told) ** 2).mean() / target.var())


def table(rows: list[dict[str, Any]]) -> Table:
    found = Table("objectives", "seconds", "held-out loss", "AUC", "AUC*", "explained")
    for row in rows:
        cells = [row.get(name) for name in ("seconds", "held_out_loss", "auc", "true_auc", "explained")]
        found.add_row(row["objectives"] or "none", *("–" if cell is None else f"{cell:.4g}" for cell in cells))
    return found


if __name__ == "__main__":
    main()
