"""Off-policy estimates against reality: one policy's click rate from the other policy's log, in both directions.

The Open Bandit data (Saito et al. 2020, arXiv 2008.07146) hold logs of two policies that ran side by side on one page
of three positions: uniform random choice among 80 items, and Bernoulli Thompson sampling (BTS). The mean click rate in
a policy's own log is what estimates of it from the other log must agree with.

- random from the BTS log: the target shows every item with 1/80; the propensity of each row is logged.
- BTS from the random log: the logged propensity is 1/80. What BTS would have shown in a request is not logged, and it
  changes as it learns; taken is the share of each item at each position in its own log, its mean policy of the week.
  The error of these shares (10,000 rows, 240 cells) is not in the interval.

The model of DR is the item's click rate, shrunk to the mean, from the other half of the log (two folds). The sample has
no user id, so every row is its own cluster.

    python benchmarks/open_bandit.py ../shared/data/open_bandit --out benchmarks/results/open_bandit.json
"""

import argparse
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.metrics import ESTIMATORS, OffPolicy, ratio_of_sums

PRIOR_ROWS = 500
"""Rows of the mean click rate that an item's own is shrunk with: about one click in this log."""


@dataclass(frozen=True)
class BanditLog:
    """One policy's log of n rows: item and position (from 0), click, and the propensity of the item shown."""

    item: np.ndarray
    position: np.ndarray
    click: np.ndarray
    propensity: np.ndarray


def main() -> None:
    arguments = _arguments()
    folder = Path(arguments.folder)
    logs = {"random": read_log(folder / "random_all.csv.gz"), "bts": read_log(folder / "bts_all.csv.gz")}
    rows = [compare(logs, target) for target in ("random", "bts")]
    show(rows)
    save(record("open_bandit", rows=rows), arguments.out)


def read_log(path: Path) -> BanditLog:
    """Read one `*_all.csv.gz`."""
    with gzip.open(path, "rt") as lines:
        names = lines.readline().strip().split(",")
        wanted = [names.index(name) for name in ("item_id", "position", "click", "propensity_score")]
        item, position, click, propensity = np.loadtxt(lines, delimiter=",", usecols=wanted, unpack=True)
    return BanditLog(item.astype(int), position.astype(int) - 1, click, propensity)


def target_policy(logs: dict[str, BanditLog], target: str) -> np.ndarray:
    """Probability of each item at each position, (positions, items), under the target policy."""
    own = logs[target]
    shape = tuple(max(int(getattr(log, name).max()) for log in logs.values()) + 1 for name in ("position", "item"))
    if target == "random":
        return np.full(shape, 1 / shape[1])
    shown = np.zeros(shape)
    np.add.at(shown, (own.position, own.item), 1)
    return shown / shown.sum(axis=1, keepdims=True)


def fitted_rates(log: BanditLog, items: int) -> np.ndarray:
    """Expected click of each item for each row, (n, items), fitted on the rows of the other fold."""
    fold = np.arange(len(log.item)) % 2
    rates = np.empty((2, items))
    for held_out in (0, 1):
        other = fold != held_out
        clicks = np.bincount(log.item[other], log.click[other], items)
        rows = np.bincount(log.item[other], minlength=items)
        rates[held_out] = (clicks + PRIOR_ROWS * log.click[other].mean()) / (rows + PRIOR_ROWS)
    return rates[fold]


def compare(logs: dict[str, BanditLog], target: str) -> dict[str, Any]:
    """Estimates of the target's click rate from the other log, beside the mean of its own."""
    log, own = logs["bts" if target == "random" else "random"], logs[target]
    policy = target_policy(logs, target)
    rates = fitted_rates(log, policy.shape[1])
    rows = np.arange(len(log.item))
    estimate = OffPolicy().update(
        user_key=rows,
        propensity=log.propensity,
        target=policy[log.position, log.item],
        rewards={"click": log.click},
        model_shown={"click": rates[rows, log.item]},
        model_target={"click": (policy[log.position] * rates).sum(axis=1)},
    )
    found = estimate.compute()
    mean = ratio_of_sums(own.click, np.ones(len(own.click)))
    assert mean is not None
    estimates = {name: found[name]["click"] for name in ESTIMATORS}
    for one in estimates.values():
        error = np.hypot(one["standard_error"], mean.standard_error)
        one["errors_from_on_policy"] = float((one["estimate"] - mean.estimate) / error)
    return {
        "target": target,
        "from_log": "bts" if target == "random" else "random",
        "on_policy": {"estimate": mean.estimate, "low": mean.low, "high": mean.high, "clicks": int(own.click.sum())},
        "logged_mean": float(log.click.mean()),
        "effective_sample_size": found["effective_sample_size"],
        "mean_weight": found["mean_weight"],
        **estimates,
    }


def show(rows: list[dict[str, Any]]) -> None:
    columns = ("target", "from log", "estimator", "click rate, %", "95 % interval", "errors from on-policy", "ESS")
    table = Table(*columns, title="Open Bandit, campaign 'all'")
    for row in rows:
        own = row["on_policy"]
        table.add_row(row["target"], row["target"], "on-policy mean", *_figures(own), "", "")
        for name in ESTIMATORS:
            errors, size = f"{row[name]['errors_from_on_policy']:+.2f}", f"{row['effective_sample_size']:.0f}"
            table.add_row(row["target"], row["from_log"], name, *_figures(row[name]), errors, size)
    Console(width=120).print(table)


def _figures(one: dict[str, float]) -> tuple[str, str]:
    return f"{100 * one['estimate']:.3f}", f"{100 * one['low']:.3f} – {100 * one['high']:.3f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="with random_all.csv.gz and bts_all.csv.gz")
    parser.add_argument("--out", default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
