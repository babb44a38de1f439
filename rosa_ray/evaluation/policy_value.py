"""What ranking by a model would earn: exact where the log has a truth, estimated where it has propensities."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.errors import InputError
from rosa_ray.metrics import (
    BUDGET_FRACTIONS,
    OffPolicy,
    Ranking,
    evaluate_policy,
    greedy_policy,
    random_at_budgets,
    serving_curve,
    uniform_policy,
)
from rosa_ray.run_dir import LogDir
from rosa_ray.schema import hash_ids
from rosa_ray.storage import read_parquet

CANDIDATE_COLUMNS = ("request_key", "impression_key", "p_ctr", "p_cvr", "value", "expected_cost")
SHOWN_COLUMNS = ("user_key", "request_key", "impression_key", "propensity", "weight", "click", "revenue", "cost")

TRUE_COLUMNS = ("p_ctr", "p_cvr", "expected_revenue", "expected_cost")
"""What a simulator's `truth/` says of an impression. That of a log from elsewhere may lack the probabilities."""

_EXACT = ("policy_roi", "oracle_policy_roi", "random_policy_roi", "best_policy_roi", "policy_roi_share", "budget")


def policy_value(
    shown: Columns, candidates: Columns, log_dir: str, ranking: Ranking, clip: float | None = None
) -> dict[str, Any]:
    """Value of the model's ranking in the test period.

    Args:
        shown: `SHOWN_COLUMNS` of the impressions the log shows, (m,); a missing propensity is NaN.
        candidates: `CANDIDATE_COLUMNS` of all candidates of the requests, (n,), the shown ones among them.
        log_dir: its `truth/`, where there is one, gives exact values.
        clip: largest importance weight of the estimates; None clips nothing.

    Returns:
        The figures of `evaluate_policy` and `budget`, None with a reason in `policy_skipped`; `off_policy` and
        `off_policy_random`, None with a reason in `off_policy_skipped`.

    Raises:
        InputError: the truth lacks a candidate.
    """
    return exact_value(candidates, log_dir, ranking) | estimated_value(shown, candidates, ranking, clip)


def exact_value(candidates: Columns, log_dir: str, ranking: Ranking) -> dict[str, Any]:
    """Value under the true expectations, of every request and at equal budget."""
    truth = read_truth(log_dir)
    if truth is None:
        return {**dict.fromkeys(_EXACT), "policy_skipped": no_truth(log_dir)}
    if not len(candidates["request_key"]):
        return {**dict.fromkeys(_EXACT), "policy_skipped": "the test period has no candidates"}
    joined = join_truth(truth, candidates["impression_key"], log_dir)
    return evaluate_policy(ranking, candidates, joined) | {"budget": budget_value(candidates, joined, ranking)}


def budget_value(candidates: Columns, truth: Columns, ranking: Ranking) -> dict[str, Any]:
    """What the model, the oracle and random choice earn at equal budgets, and above score thresholds.

    Returns:
        random_cost (currency units, what random choice spends on all requests), fractions of it, and for `policy`,
        `oracle` and `random` one row for each; `thresholds` of `policy` and `oracle`, by falling threshold.
    """
    requests, ties = candidates["request_key"], candidates["impression_key"]
    revenue, cost = truth["expected_revenue"], truth["expected_cost"]
    uniform = uniform_policy(requests)
    random_cost = float(uniform @ cost)
    budgets = [fraction * random_cost for fraction in BUDGET_FRACTIONS]
    scores = {
        "policy": policy_scores(candidates, ranking),
        "oracle": ranking.of_truth.of_revenue(revenue, cost),
    }
    curves = {name: serving_curve(values, revenue, cost, requests, ties) for name, values in scores.items()}
    return {
        "random_cost": random_cost,
        "fractions": list(BUDGET_FRACTIONS),
        **{name: curve.at_budgets(budgets) for name, curve in curves.items()},
        "random": random_at_budgets(float(uniform.sum()), float(uniform @ revenue), random_cost, budgets),
        "thresholds": {name: curve.at_thresholds(curve.thresholds()) for name, curve in curves.items()},
    }


def estimated_value(shown: Columns, candidates: Columns, ranking: Ranking, clip: float | None = None) -> dict[str, Any]:
    """IPS, SNIPS and DR of the model's greedy policy and of random choice.

    A request counts when its shown ad has a propensity and stands among its candidates, and as often as the shown
    row stands for; `left_out` says how many shown ads did not.

    Returns:
        `off_policy` and, of random choice, `off_policy_random`: each as of `OffPolicy.compute`, with `left_out`.
    """
    row, usable = _join_shown(shown, candidates)
    if not usable.any():
        return _skipped(f"the shown ads of the test period {_what_is_missing(shown, candidates)}")
    kept = {name: np.asarray(shown[name])[usable] for name in SHOWN_COLUMNS}
    if len(np.unique(kept["request_key"])) < len(kept["request_key"]):
        return _skipped("requests show more than one ad each; the estimators need one")
    requests, ties = candidates["request_key"], candidates["impression_key"]
    policies = {
        "off_policy": greedy_policy(policy_scores(candidates, ranking), requests, ties),
        "off_policy_random": uniform_policy(requests),
    }
    left_out = {"left_out": int((~usable).sum())}
    try:
        return {
            name: _estimate(kept, candidates, policy, row[usable], clip) | left_out for name, policy in policies.items()
        }
    except ValueError as error:
        return _skipped(str(error))


def _what_is_missing(shown: Columns, candidates: Columns) -> str:
    if not len(candidates["request_key"]):
        return "have no candidates"
    if np.isnan(shown["propensity"]).all():
        return "have no propensities"
    return "are not among the candidates: the candidate that was shown has the impression_id of its impression"


def _estimate(
    shown: Columns, candidates: Columns, policy: np.ndarray, row: np.ndarray, clip: float | None
) -> dict[str, Any]:
    model = {
        "revenue": candidates["p_ctr"] * candidates["p_cvr"] * candidates["value"],
        "cost": candidates["expected_cost"],
        "click": candidates["p_ctr"],
    }
    _, request = np.unique(candidates["request_key"], return_inverse=True)
    expected = {name: np.bincount(request, weights=policy * values) for name, values in model.items()}
    estimate = OffPolicy(clip).update(
        user_key=shown["user_key"],
        propensity=shown["propensity"],
        target=policy[row],
        rewards={name: shown[name] for name in model},
        model_shown={name: values[row] for name, values in model.items()},
        model_target={name: values[request[row]] for name, values in expected.items()},
        stands_for=shown["weight"],
    )
    return estimate.compute()


def _join_shown(shown: Columns, candidates: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Candidate row of each shown ad, (m,), and whether it has one, and a propensity."""
    keys = candidates["impression_key"]
    if not len(keys):
        return np.zeros(len(shown["impression_key"]), np.int64), np.zeros(len(shown["impression_key"]), bool)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys[order], shown["impression_key"]), len(keys) - 1)
    row = order[at]
    return row, (keys[row] == shown["impression_key"]) & ~np.isnan(shown["propensity"])


def policy_scores(predictions: Columns, ranking: Ranking) -> np.ndarray:
    """What the policy ranks by: the score of every row, (n,); see `Ranking`."""
    return ranking.score(*(predictions[name] for name in ("p_ctr", "p_cvr", "value", "expected_cost")))


def _skipped(reason: str) -> dict[str, Any]:
    return {"off_policy": None, "off_policy_random": None, "off_policy_skipped": reason}


def read_truth(log_dir: str) -> Mapping[str, np.ndarray] | None:
    """Impression keys, sorted, with what is true of them, `TRUE_COLUMNS`; None when the log has no truth.

    What was read last is kept: hashing the ids takes seconds, and evaluation and studies ask several times.
    """
    fs, root = fsspec.core.url_to_fs(LogDir(log_dir).truth)
    paths = sorted(fs.glob(f"{root}/*.parquet"))
    if not paths:
        return None
    return _read_truth(tuple((fs.unstrip_protocol(path), str(fs.ukey(path))) for path in paths))


@lru_cache(maxsize=1)
def _read_truth(files: tuple[tuple[str, str], ...]) -> Mapping[str, np.ndarray]:
    """Args: files: path of each, and a key that changes when the file does."""
    tables = [read_parquet(path) for path, _ in files]
    names = [name for name in TRUE_COLUMNS if name in tables[0].column_names]
    table = pa.concat_tables(part.select(["impression_id", *names]) for part in tables)
    key = hash_ids(table["impression_id"])
    order = np.argsort(key, kind="stable")
    return {"impression_key": key[order], **{name: table[name].to_numpy()[order] for name in names}}


def join_truth(truth: Mapping[str, np.ndarray], impression_key: np.ndarray, log_dir: str) -> dict[str, np.ndarray]:
    """Rows of the truth for the given impressions, in their order.

    Raises:
        InputError: the truth lacks one.
    """
    row = np.minimum(np.searchsorted(truth["impression_key"], impression_key), len(truth["impression_key"]) - 1)
    missing = int((truth["impression_key"][row] != impression_key).sum())
    if missing:
        raise InputError(
            f"{LogDir(log_dir).truth} lacks {missing} of {len(row)} candidates; was the data made from this log?"
        )
    return {name: values[row] for name, values in truth.items() if name != "impression_key"}


def no_truth(log_dir: str) -> str:
    """Say why nothing is exact on a log without truth."""
    return f"{log_dir or 'the log'} has no truth: it is not simulated"
