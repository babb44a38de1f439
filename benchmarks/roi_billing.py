"""Is the ROI term of the loss unbiased, whoever is billed: impressions or clicks?

A made log whose probabilities are known trains ROSA-Rec under both billings and several weights of the term. Predicted
over true probability (1 is right) on the validation period, before calibration, with 95 % intervals over seeds. Beside
it stands the term as it was: divided by what a row itself has paid.

    python benchmarks/roi_billing.py
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import (
    FeatureConfig,
    FeatureState,
    FitSums,
    Split,
    SplitBounds,
    UserRows,
    build_user_rows,
    fold_events,
    fold_impressions,
    merge_states,
)
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from rosa_ray.units import DAY_US

CATEGORIES, ITEMS = 6, 60
CTR_LIKED, CTR_OTHER, CVR = 0.15, 0.03, 0.3
FEATURES = FeatureConfig(min_count=1)
BOUNDS = SplitBounds(8 * DAY_US, 10 * DAY_US)
MODEL = {"width": 16, "heads": 2, "layers": 1, "window": 10, "match_window": 20, "hidden": (32,)}
T_975 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
"""Student's quantile by the number of seeds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--impressions", type=int, default=60, help="of a user")
    parser.add_argument("--seeds", type=int, default=5, choices=sorted(T_975))
    parser.add_argument("--gammas", type=float, nargs="+", default=[0.0, 1.0, 5.0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/roi_billing.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        {"billed": billed, "gamma": gamma, "divides_by": divides_by, **figures}
        for billed in ("impressions", "clicks")
        for gamma in options.gammas
        for divides_by in ("own cost", "as now")
        for figures in [over_seeds(options, billed, gamma, own_cost=divides_by == "own cost")]
    ]
    Console().print(table(rows))
    law = {"ctr_liked": CTR_LIKED, "ctr_other": CTR_OTHER, "cvr": CVR}
    sizes = {"users": options.users, "impressions": options.impressions, "seeds": options.seeds}
    save(record("roi_billing", law=law, **sizes, rows=rows), options.out)


def over_seeds(options: argparse.Namespace, billed: str, gamma: float, own_cost: bool) -> dict[str, Any]:
    """Mean and half width of the interval of predicted over true, per head."""
    found = [measure(options, seed, billed, gamma, own_cost) for seed in range(options.seeds)]
    width = T_975[options.seeds] / options.seeds**0.5
    return {
        f"{head}{suffix}": round(float(value), 4)
        for head in ("ctr", "cvr")
        for values in [np.array([figures[head] for figures in found])]
        for suffix, value in (("", values.mean()), ("_half_width", width * values.std(ddof=1)))
    }


def measure(options: argparse.Namespace, seed: int, billed: str, gamma: float, own_cost: bool) -> dict[str, float]:
    rows, liked = made_log(options.users, options.impressions, seed, billed)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], FEATURES)
    if own_cost:  # features that do not know what clicks cost are read as those of paid impressions
        known = {name: total for name, total in state.totals.items() if name != "cost_of_clicks"}
        state = dataclasses.replace(state, totals=known)
    training = TrainingConfig(workers=1, epochs=3, users_per_batch=8, learning_rate=2e-3)
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder) / "features")
        job = TrainingJob(ranker_settings("rosa", MODEL), LossConfig(gamma=gamma), training, seed, folder)
        trainer = InProcessTrainer(job, [rows.to_table()])
        while not trainer.finished:
            trainer.run_epoch()
    scorer = UserScorer.load(job.describe_model(state), trainer.best_weights, state)
    scored = scorer.score(scorer.encode(rows.to_table()), Split.VALID)
    order = np.argsort(rows.impressions["impression_key"])
    truly = liked[order][np.searchsorted(rows.impressions["impression_key"][order], scored["impression_key"])]
    p_ctr = np.where(truly, CTR_LIKED, CTR_OTHER)
    return {"ctr": scored["p_ctr"].mean() / p_ctr.mean(), "cvr": scored["p_cvr"].mean() / CVR}


def made_log(users: int, per_user: int, seed: int, billed: str) -> tuple[UserRows, np.ndarray]:
    """Users who like one category, and whether each impression is of it; all chances are known and bids independent."""
    rng = np.random.default_rng(seed)
    user_key = np.arange(1, users + 1)
    favourite = rng.integers(0, CATEGORIES, users)
    events = timelines(user_key, favourite, rng)
    owner = np.repeat(user_key, per_user)
    category = rng.integers(0, CATEGORIES, len(owner))
    liked = category == favourite[owner - 1]
    click = rng.random(len(owner)) < np.where(liked, CTR_LIKED, CTR_OTHER)
    conversion = click & (rng.random(len(owner)) < CVR)
    item = 1 + category * 10 + rng.integers(0, 10, len(owner))
    bid = rng.uniform(0.1, 0.5, len(owner))
    time_us = np.sort(rng.integers(DAY_US, BOUNDS.test_us, (users, per_user)), axis=1).ravel()
    shown = {
        "user_key": owner,
        "user_id": owner.astype(str).astype(object),
        "time_us": time_us,
        "impression_key": np.arange(len(owner)) + 1,
        "request_key": np.arange(len(owner)) + 1,
        **dict.fromkeys(("ad_key", "item_key"), item),
        "category_key": 100 + category,
        "campaign_key": 200 + category,
        "device_key": np.ones(len(owner), np.int64),
        "region_key": np.ones(len(owner), np.int64),
        "position": np.full(len(owner), -1, np.int32),
        "propensity": np.full(len(owner), np.nan, np.float32),
        "bid": bid,
        "price": np.full(len(owner), 20.0),
        "cost": bid * (0.05 if billed == "impressions" else click),
        "click": click.astype(np.int8),
        "conversion": conversion.astype(np.int8),
        "revenue": conversion * 20.0,
        "conversion_time_us": time_us,
    }
    counters = merge_states(fold_events(events, FEATURES), fold_impressions(shown, FEATURES))
    rows = build_user_rows(events, shown, None, counters, FEATURES, BOUNDS)
    return rows, liked[np.argsort(shown["impression_key"])][rows.impressions["impression_key"] - 1]


def timelines(user_key: np.ndarray, favourite: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Twenty events of every user, four in five of the category it likes."""
    owner = np.repeat(user_key, 20)
    category = np.where(rng.random(len(owner)) < 0.8, favourite[owner - 1], rng.integers(0, CATEGORIES, len(owner)))
    return {
        "user_key": owner,
        "user_id": owner.astype(str).astype(object),
        "time_us": np.sort(rng.integers(0, BOUNDS.test_us, (len(user_key), 20)), axis=1).ravel(),
        "item_key": 1 + category * 10 + rng.integers(0, 10, len(owner)),
        "category_key": 100 + category,
        "behavior": np.zeros(len(owner), np.int8),
        "price": np.full(len(owner), np.nan, np.float32),
    }


def table(rows: list[dict[str, Any]]) -> Table:
    found = Table("billed", "gamma", "ROI term divides by", "CTR over truth", "CVR over truth")
    for row in rows:
        heads = [f"{row[head]:.3f} ± {row[f'{head}_half_width']:.3f}" for head in ("ctr", "cvr")]
        found.add_row(row["billed"], f"{row['gamma']:g}", row["divides_by"], *heads)
    return found


if __name__ == "__main__":
    main()
