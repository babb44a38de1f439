"""Settings of calibration against the truth of a simulated log: what each costs, and what it gains.

Labels of the validation period are drawn anew from the true probabilities, so that one lucky draw does not decide.
Divergences are those of the calibrated from the true probabilities, in 1e-4 nats a row.

    rosa simulate demo && rosa preprocess demo && rosa train demo && rosa evaluate demo
    python benchmarks/calibration_choices.py runs/demo             # which rows probabilities are right for
    python benchmarks/calibration_choices.py runs/demo --slopes    # a model whose logits lie too far apart
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from rosa_ray.calibration import CalibrationConfig, CalibrationSums, fit_calibration
from rosa_ray.calibration.curve import logit, sigmoid
from rosa_ray.features import Split
from rosa_ray.metrics import Ranking, evaluate_policy
from rosa_ray.schema import hash_ids

CHOICES = {
    "none": {"method": "none"},
    "default": {},
    "slope_caution=1": {"slope_caution": 1.0},
    "cvr_slope=0.5": {"cvr_slope": 0.5},
    "value=shrunk": {"value": "shrunk"},
    "day_spread=0.1": {"day_spread": 0.1},
    "population=candidates": {"population": "candidates"},
}
CAUTIONS = (10.0, 4.0, 2.0, 1.0, 0.4, 0.04)
TRUE_SLOPES = (1.0, 0.85, 0.7, 0.5)
VALUE_LOG_SD = 0.25
"""Spread of log revenue about the price, as in the simulator."""

KEYS = ("impression_key", "request_key", "split", "time_us")
USED = (*KEYS, "price", "propensity", "expected_cost", "raw_p_ctr", "raw_p_cvr", "raw_value")
Columns = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory of `rosa evaluate` on a simulated log")
    parser.add_argument("--draws", type=int, default=20, help="draws of the validation period's labels")
    parser.add_argument("--slopes", action="store_true", help="stretch the logits instead, and vary slope_caution")
    options = parser.parse_args()
    rows = read_rows(options.run)
    Console().print(slopes_table(rows, options.draws) if options.slopes else choices_table(rows, options.draws))


def read_rows(run: Path) -> Columns:
    """Raw scores of all rows beside their true probabilities."""
    scored = pq.read_table(run / "evaluation" / "predictions", columns=list(USED))
    rows = {name.removeprefix("raw_"): scored[name].to_numpy() for name in USED}
    truth = pq.read_table(run / "log" / "truth")
    key = hash_ids(truth["impression_id"])
    order = np.argsort(key)
    at = order[np.searchsorted(key[order], rows["impression_key"])]
    known = {"true_ctr": "p_ctr", "true_cvr": "p_cvr", "revenue": "expected_revenue", "true_cost": "expected_cost"}
    return rows | {name: truth[column].to_numpy()[at] for name, column in known.items()}


def choices_table(rows: Columns, draws: int) -> Table:
    """A row per choice: divergence and predicted over true, of the shown test rows and of all candidates, and ROI."""
    valid, shown, every = (of_split(rows, split) for split in (Split.VALID, Split.TEST, Split.POLICY))
    heads = (f"{head} {of}" for of in ("shown", "candidates") for head in ("CTR", "PCOC", "CVR"))
    table = Table("calibration", *heads, "ROI")
    for name, settings in CHOICES.items():
        config = CalibrationConfig(**settings)
        fits = [fit_calibration(CalibrationSums().update(drawn), config) for drawn in draw_labels(valid, draws)]
        cells = []
        for part in (shown, every):
            scores = [fit.apply(part) for fit in fits]
            ctr = np.mean([divergence(part["true_ctr"], one["p_ctr"]) for one in scores])
            cvr = np.mean([divergence(part["true_cvr"], one["p_cvr"], part["true_ctr"]) for one in scores])
            pcoc = np.mean([one["p_ctr"].sum() for one in scores]) / part["true_ctr"].sum()
            cells += [f"{1e4 * ctr:.1f}", f"{pcoc:.3f}", f"{1e4 * cvr:.1f}"]
        roi = [evaluate_policy(Ranking("roi"), every | one, truth_of(every))["policy_roi"] for one in scores]
        table.add_row(name, *cells, f"{np.mean(roi):.3f}")
    return table


def truth_of(rows: Columns) -> Columns:
    return {"expected_revenue": rows["revenue"], "expected_cost": rows["true_cost"]}


def slopes_table(rows: Columns, draws: int) -> Table:
    """Divergence above that of the best line, of validation rows: a row per head, share of them and true slope."""
    valid = of_split(rows, Split.VALID)
    table = Table("head", "true slope", "positives", *(f"caution {caution:g}" for caution in CAUTIONS))
    for head in ("ctr", "cvr"):
        for slope in TRUE_SLOPES:
            stretched = stretch(valid, head, slope)
            best = divergence_of(stretched, head, stretched[f"best_{head}"])
            for share in (1.0, 0.25):
                drawn = list(draw_labels(stretched, draws, share))
                positives = np.mean(
                    [(one["click"] * (one["conversion"] if head == "cvr" else 1)).sum() for one in drawn]
                )
                table.add_row(head, f"{slope:g}", f"{positives:.0f}", *_excess(stretched, head, drawn, best))
    return table


def _excess(rows: Columns, head: str, drawn: list[Columns], best: float) -> Iterator[str]:
    for caution in CAUTIONS:
        config = CalibrationConfig(method="platt", slope_caution=caution)
        scores = [fit_calibration(CalibrationSums().update(one), config).apply(rows)[f"p_{head}"] for one in drawn]
        yield f"{1e4 * (np.mean([divergence_of(rows, head, p) for p in scores]) - best):.2f}"


def stretch(rows: Columns, head: str, slope: float) -> Columns:
    """Rows whose logits of one head would have to be multiplied by the slope to be right on average."""
    from sklearn.linear_model import LogisticRegression

    x, true = logit(rows[f"p_{head}"]), rows[f"true_{head}"]
    weight = np.ones(len(x)) if head == "ctr" else rows["true_ctr"]
    twice = np.r_[x, x][:, None]
    labels, weights = np.r_[np.ones(len(x)), np.zeros(len(x))], np.r_[weight * true, weight * (1 - true)]
    line = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(twice, labels, weights)
    right = line.decision_function(x[:, None])
    centre = np.average(right, weights=weight * true * (1 - true))
    return rows | {f"p_{head}": sigmoid(centre + (right - centre) / slope), f"best_{head}": sigmoid(right)}


def draw_labels(rows: Columns, draws: int, share: float = 1.0) -> Iterator[Columns]:
    """Rows, or a share of them, with labels drawn from the true probabilities."""
    rng = np.random.default_rng(0)
    for _ in range(draws):
        kept = rng.random(len(rows["split"])) < share
        part = {name: values[kept] for name, values in rows.items()}
        click = (rng.random(kept.sum()) < part["true_ctr"]).astype(np.int8)
        conversion = click * (rng.random(kept.sum()) < part["true_cvr"]).astype(np.int8)
        paid = part["price"] * np.exp(rng.normal(-(VALUE_LOG_SD**2) / 2, VALUE_LOG_SD, kept.sum()))
        yield part | {"click": click, "conversion": conversion, "revenue": conversion * paid}


def of_split(rows: Columns, split: Split) -> Columns:
    return {name: values[rows["split"] == split] for name, values in rows.items()}


def divergence_of(rows: Columns, head: str, p: np.ndarray) -> float:
    return divergence(rows[f"true_{head}"], p, None if head == "ctr" else rows["true_ctr"])


def divergence(true: np.ndarray, p: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean Kullback-Leibler divergence of predicted from true probabilities, in nats."""
    q = np.clip(p, 1e-9, 1 - 1e-9)
    each = true * np.log(true / q) + (1 - true) * np.log((1 - true) / (1 - q))
    return float(np.average(each, weights=weights))


if __name__ == "__main__":
    main()
