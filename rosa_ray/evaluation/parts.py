"""Where return is lost: what ranking would earn with one part of the score swapped for the truth, or for less.

Every policy shows one ad per request of the test period and is valued at the true expectations, so the rows differ in
one part alone. What a swap gains is what the part costs now; a swap for something simpler that gains says that the
part is worse than nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from rosa_ray.arrays import Columns, Floats
from rosa_ray.errors import InputError
from rosa_ray.evaluation.policy_value import join_truth, policy_scores, read_truth
from rosa_ray.evaluation.predictions import list_predictions, read_predictions
from rosa_ray.features import Split
from rosa_ray.metrics import (
    BootstrapConfig,
    PolicyValue,
    Ranking,
    fit_spread,
    gap_statistic,
    greedy_policy,
    interval,
    ratio_statistic,
    respread,
    uniform_policy,
)
from rosa_ray.run_dir import EvaluationDir, LogDir
from rosa_ray.storage import write_json
from rosa_ray.words import gap_verdict

_SCORES = ("p_ctr", "p_cvr", "value", "expected_cost")
_CANDIDATES = ("user_key", "request_key", "impression_key", *_SCORES, "price", "bid")
_SHOWN = ("user_key", "request_key", "click", "weight", "p_ctr", "cost", "bid")
_BOOTSTRAP = BootstrapConfig()


@dataclass(frozen=True)
class Swap:
    """One way to score: the model's parts but for those that are swapped.

    Attributes:
        name: of the row.
        words: what is swapped, for people.
        columns: in the place of the model's, each (n,).
    """

    name: str
    words: str
    columns: Columns


def require_truth(log_dir: str) -> None:
    """Raise InputError where the log has no truth that names probabilities."""
    truth = read_truth(log_dir)
    if truth is None or not {"p_ctr", "p_cvr"} <= truth.keys():
        raise InputError(
            f"{LogDir(log_dir).truth}: no true probabilities; --parts needs a simulated log; leave it out on others"
        )


def measure_parts(metrics: Mapping[str, Any], log_dir: str, place: EvaluationDir) -> dict[str, Any]:
    """Value every swap on the test period, and write the document to `parts.json`.

    Args:
        metrics: what `evaluate` returned; its predictions are read again.

    Returns:
        model_version, score_kind, requests, users, level; exponent, see `Spread`, and what its groups were; `rows`,
        each with name, words, roi, profit, revenue and cost (currency units, over the test requests), and gap, low,
        high and verdict of its ROI less that of the model as it is.

    Raises:
        InputError: the log has no truth, or the test period no candidates.
    """
    require_truth(log_dir)
    files = list_predictions(place.predictions)
    rows = read_predictions(files, Split.POLICY, _CANDIDATES)
    if not len(rows["request_key"]):
        raise InputError(f"{place.predictions}: the test period has no candidates to choose from")
    truth = read_truth(log_dir)
    assert truth is not None
    joined = join_truth(truth, rows["impression_key"], log_dir)
    shown = read_predictions(files, Split.VALID, _SHOWN)
    ranking = Ranking.told(metrics["test"])
    exponent = spread_of(shown)
    document = {
        "model_version": metrics["model_version"],
        "score_kind": ranking.kind,
        "requests": len(np.unique(rows["request_key"])),
        "users": len(np.unique(rows["user_key"])),
        "level": _BOOTSTRAP.level,
        "exponent": exponent,
        "rows": value_swaps(ranking, rows, joined, list(swaps(rows, joined, shown, exponent["exponent"]))),
    }
    write_json(document, place.parts)
    return document


def spread_of(shown: Columns) -> dict[str, Any]:
    """What exponent the clicks of a labelled period ask for within requests that show several ads, else within users.

    Returns:
        `Spread` as plain values, and `within`, `request` or `user`.
    """
    several = len(np.unique(shown["request_key"])) < len(shown["request_key"])
    key = shown["request_key"] if several else shown["user_key"]
    found = fit_spread(shown["p_ctr"], shown["click"], key, shown["weight"] if len(key) else None)
    return asdict(found) | {"within": "request" if several else "user"}


def swaps(rows: Columns, truth: Columns, shown: Columns, exponent: float) -> Iterator[Swap]:
    """Yield the model as it is, each part true, all true, and parts made simpler.

    Args:
        rows: candidates with the model's scores, price and bid, (n,).
        truth: p_ctr, p_cvr, expected_revenue and expected_cost of the same rows.
        shown: labelled impressions of the validation period, on which constants are fitted.
        exponent: for the spread within a request.
    """
    clicked = truth["p_ctr"] * truth["p_cvr"]
    value = np.divide(truth["expected_revenue"], clicked, out=np.zeros(len(clicked)), where=clicked > 0)
    true = {"p_ctr": truth["p_ctr"], "p_cvr": truth["p_cvr"], "value": value, "expected_cost": truth["expected_cost"]}
    words = {"p_ctr": "true p_ctr", "p_cvr": "true p_cvr", "value": "true value", "expected_cost": "true cost"}
    yield Swap("none", "the model as it is", {})
    for name, columns in true.items():
        yield Swap(name, words[name], {name: columns})
    yield Swap("all", "all true", true)
    spread = respread(rows["p_ctr"], rows["request_key"], exponent)
    yield Swap("spread", f"p_ctr^{exponent:.2f} in a request", {"p_ctr": spread})
    clicks = float(rows["p_ctr"].sum())
    constant = float(rows["p_ctr"] @ rows["p_cvr"]) / clicks if clicks else 0.0
    yield Swap("constant_cvr", f"p_cvr {constant:.4f} for all", {"p_cvr": np.full(len(clicked), constant)})
    if np.isfinite(rows["price"]).all():
        yield Swap("price", "value from the catalogue", {"value": rows["price"]})
    per_bid = _cost_per_bid(shown)
    if per_bid and (rows["bid"] > 0).all():
        yield Swap("bid", f"cost {per_bid:.3f} times the bid", {"expected_cost": per_bid * rows["bid"]})


def _cost_per_bid(shown: Columns) -> float:
    usable = np.isfinite(shown["bid"]) & np.isfinite(shown["cost"])
    weight = shown["weight"][usable]
    bids = float(weight @ shown["bid"][usable])
    return float(weight @ shown["cost"][usable]) / bids if bids else 0.0


def value_swaps(ranking: Ranking, rows: Columns, truth: Columns, found: list[Swap]) -> list[dict[str, Any]]:
    """Value each swap and random choice at the true expectations, with paired intervals over users.

    Args:
        found: the first is what the others are compared with.
    """
    requests, ties = rows["request_key"], rows["impression_key"]
    policies: dict[str, tuple[str, Floats]] = {
        swap.name: (
            swap.words,
            greedy_policy(policy_scores({**rows, **swap.columns}, _of(swap, ranking)), requests, ties),
        )
        for swap in found
    }
    policies["random"] = ("random choice", uniform_policy(requests))
    revenue, cost = truth["expected_revenue"], truth["expected_cost"]
    roas = {
        name: ratio_statistic(policy * revenue, policy * cost, rows["user_key"])
        for name, (_, policy) in policies.items()
    }
    base, users = roas[found[0].name]
    valued = []
    for name, (words, policy) in policies.items():
        value = PolicyValue().update(policy, revenue, cost)
        gap = interval(gap_statistic(roas[name][0], base), users, _BOOTSTRAP)
        low, high = (gap.low, gap.high) if gap and name != found[0].name else (None, None)
        valued.append(
            {
                "name": name,
                "words": words,
                **{figure: getattr(value, figure) for figure in ("roi", "profit", "revenue", "cost")},
                "gap": gap.estimate if gap else None,
                "low": low,
                "high": high,
                "verdict": gap_verdict(low, high),
            }
        )
    return valued


def _of(swap: Swap, ranking: Ranking) -> Ranking:
    """True click probabilities need no level."""
    return ranking.of_truth if swap.name in ("p_ctr", "all") else ranking


def parts_table(document: Mapping[str, Any]) -> Table:
    """The document of `measure_parts` for a terminal."""
    title = f"one ad for each of {document['requests']:,} test requests, by {document['score_kind']}, at true values"
    table = Table("swapped", "ROI", "profit", "revenue", "cost", "ROI gained", "95 %", "verdict", title=title)
    for row in document["rows"]:
        ends = "" if row["low"] is None else f"{row['low']:+.3f} … {row['high']:+.3f}"
        gap = "" if row["name"] == "none" or row["gap"] is None else f"{row['gap']:+.3f}"
        money = (f"{row[name]:,.0f}" for name in ("profit", "revenue", "cost"))
        roi = "–" if row["roi"] is None else f"{row['roi']:.3f}"
        table.add_row(row["words"], roi, *money, gap, ends, row["verdict"] or "")
    return table
