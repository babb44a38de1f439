"""A row of weight k counts as k rows, in every metric; and a thinned log gives the figures of the whole one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.metrics import (
    AucHistogram,
    BootstrapConfig,
    Ece,
    LogLoss,
    OffPolicy,
    Pcoc,
    auc_interval,
    evaluate_predictions,
    group_auc,
    judge_head,
)
from rosa_ray.metrics.segments import Segments

Rows = dict[str, np.ndarray]

OF_ROWS = ("n", "clicks", "conversions")
"""Figures that count rows, not what they stand for."""


def drawn(seed: int, rows: int = 60, users: int = 8) -> Rows:
    """Labelled impressions with ties among the scores and users of one class."""
    rng = np.random.default_rng(seed)
    p_ctr, p_cvr = rng.integers(1, 9, rows) / 10, rng.integers(1, 9, rows) / 10
    click = (rng.random(rows) < p_ctr).astype(np.int64)
    conversion = click * (rng.random(rows) < p_cvr)
    user = np.sort(rng.integers(0, users, rows))
    return {
        "user_key": user,
        "request_key": user * 100 + np.arange(rows) % 3,
        "p_ctr": p_ctr,
        "p_cvr": p_cvr,
        "p_ctcvr": p_ctr * p_cvr,
        "value": rng.uniform(1, 5, rows),
        "expected_cost": rng.uniform(0.1, 1, rows),
        "cost": rng.uniform(0.1, 1, rows),
        "click": click,
        "conversion": conversion,
        "revenue": conversion * rng.uniform(1, 5, rows),
        "weight": rng.integers(1, 5, rows).astype(np.float64),
    }


def repeated(rows: Rows) -> Rows:
    """Every row as often as it weighs."""
    times = rows["weight"].astype(np.int64)
    return {name: np.repeat(values, times) for name, values in rows.items() if name != "weight"}


def flat(figures: Any, name: str = "") -> dict[str, Any]:
    if isinstance(figures, dict):
        return {key: value for part, inner in figures.items() for key, value in flat(inner, f"{name}/{part}").items()}
    return {name: figures}


def require_same(one: dict[str, Any], other: dict[str, Any], but: tuple[str, ...] = ()) -> None:
    mine, theirs = flat(one), flat(other)
    assert mine.keys() == theirs.keys()
    for name in mine:
        if name.rsplit("/", 1)[-1] not in but:
            assert mine[name] == (theirs[name] if isinstance(theirs[name], str) else pytest.approx(theirs[name])), name


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_all_figures_of_an_evaluation_take_a_weight_as_so_many_rows(seed: int) -> None:
    rows = drawn(seed)
    require_same(evaluate_predictions(rows), evaluate_predictions(repeated(rows)), OF_ROWS)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_segments_take_a_weight_as_so_many_rows(seed: int) -> None:
    rows, again = drawn(seed), repeated(drawn(seed))
    one, other = (
        Segments().update(part["user_key"] % 3, part).compute(lambda key: f"s{key}") for part in (rows, again)
    )
    require_same(one, other, OF_ROWS)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_single_metrics_take_a_weight_as_so_many_rows(seed: int) -> None:
    rows, again = drawn(seed), repeated(drawn(seed))
    p, y, w = rows["p_ctr"], rows["click"], rows["weight"]
    for metric in (LogLoss, Pcoc, AucHistogram, Ece, lambda: Ece(5, "equal_width")):
        assert metric().update(p, y, w).compute() == pytest.approx(
            metric().update(again["p_ctr"], again["click"]).compute()
        )
    whole = LogLoss().update(again["p_ctr"], again["click"]).normalised_entropy()
    assert LogLoss().update(p, y, w).normalised_entropy() == pytest.approx(whole)
    one = group_auc(rows["user_key"], p, y, w)
    other = group_auc(again["user_key"], again["p_ctr"], again["click"])
    np.testing.assert_allclose(one.auc, other.auc)
    np.testing.assert_allclose(one.impressions, other.impressions)
    np.testing.assert_allclose(one.clicks, other.clicks)


def test_a_users_auc_with_weights_is_the_share_of_weighted_pairs() -> None:
    rows = drawn(3)
    found = group_auc(rows["user_key"], rows["p_ctr"], rows["click"], rows["weight"])
    for key, auc in zip(found.keys, found.auc, strict=True):
        mine = {name: values[rows["user_key"] == key] for name, values in rows.items()}
        won = pairs = 0.0
        for a in np.flatnonzero(mine["click"]):
            for b in np.flatnonzero(mine["click"] == 0):
                weight = mine["weight"][a] * mine["weight"][b]
                pairs += weight
                won += weight * ((mine["p_ctr"][a] > mine["p_ctr"][b]) + 0.5 * (mine["p_ctr"][a] == mine["p_ctr"][b]))
        assert auc == pytest.approx(won / pairs if pairs else np.nan, nan_ok=True)


def test_intervals_and_verdicts_take_a_weight_as_so_many_rows() -> None:
    rows, again, config = drawn(5, 400, 40), repeated(drawn(5, 400, 40)), BootstrapConfig(replicates=40)
    one = auc_interval(rows["p_ctr"], rows["click"], rows["user_key"], config, rows["weight"])
    other = auc_interval(again["p_ctr"], again["click"], again["user_key"], config)
    assert one is not None
    assert other is not None
    assert vars(one) == pytest.approx(vars(other))
    judged = [
        judge_head(
            *("clicks", ("impression", "click"), 0.3, part["p_ctr"], part["click"], part["user_key"], config),
            weights=part.get("weight"),
        ).to_dict()
        for part in (rows, again)
    ]
    require_same(*judged, ("rows", "positives"))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_off_policy_estimates_take_a_weight_as_so_many_requests(seed: int) -> None:
    rows = drawn(seed)
    rng = np.random.default_rng(seed)
    logged = {**rows, "propensity": rng.uniform(0.2, 1, 60), "target": (rng.random(60) < 0.5).astype(float)}
    for clip in (None, 2.0):
        estimates = [
            OffPolicy(clip)
            .update(
                user_key=part["user_key"],
                propensity=part["propensity"],
                target=part["target"],
                rewards={"revenue": part["revenue"], "cost": part["cost"]},
                model_shown={"revenue": part["value"], "cost": part["expected_cost"]},
                model_target={"revenue": part["value"] / 2, "cost": part["expected_cost"]},
                stands_for=part.get("weight"),
            )
            .compute(BootstrapConfig(replicates=20))
            for part in (logged, repeated(logged))
        ]
        require_same(*estimates, ("effective_sample_size",))
        assert estimates[0]["effective_sample_size"] <= (logged["target"] > 0).sum() + 1e-9


def test_a_thinned_log_gives_the_figures_of_the_whole_one() -> None:
    whole = {name: values for name, values in drawn(7, 60_000, 600).items() if name != "weight"}
    rng = np.random.default_rng(8)
    kept = (whole["click"] == 1) | (rng.random(60_000) < 0.1)
    thinned = {name: values[kept] for name, values in whole.items()}
    thinned["weight"] = np.where(thinned["click"] == 1, 1.0, 10.0)
    of_whole, of_kept = evaluate_predictions(whole), evaluate_predictions(thinned)
    assert of_kept["n"] < 0.6 * of_whole["n"]
    assert of_kept["clicks"] == of_whole["clicks"]
    for name in ("weight", "ctr", "auc", "gauc", "logloss", "normalised_entropy", "pcoc", "revenue_pcoc", "cost_pcoc"):
        assert of_kept[name] == pytest.approx(of_whole[name], rel=0.03), name
    assert of_kept["ece"] == pytest.approx(of_whole["ece"], abs=0.01)


def test_off_policy_estimates_of_a_thinned_log_are_those_of_the_whole_one() -> None:
    rng, rows = np.random.default_rng(9), 40_000
    click = rng.random(rows) < 0.05
    log = {
        "user_key": rng.integers(0, 4000, rows),
        "propensity": rng.uniform(0.3, 1, rows),
        "target": (rng.random(rows) < 0.5).astype(float),
        "revenue": click * rng.uniform(1, 3, rows),
        "cost": rng.uniform(0.01, 0.1, rows),
    }
    kept = click | (rng.random(rows) < 0.2)
    weight = np.where(click, 1.0, 5.0)
    whole, thinned, as_it_is = (
        OffPolicy()
        .update(
            **{name: log[name][chosen] for name in ("user_key", "propensity", "target")},
            rewards={name: log[name][chosen] for name in ("revenue", "cost")},
            stands_for=stands_for,
        )
        .compute(BootstrapConfig(replicates=20))
        for chosen, stands_for in ((slice(None), None), (kept, weight[kept]), (kept, None))
    )
    for estimator in ("ips", "snips"):
        for figure in ("revenue", "cost"):
            expected = whole[estimator][figure]["estimate"]
            assert thinned[estimator][figure]["estimate"] == pytest.approx(expected, rel=0.05)
        assert as_it_is[estimator]["revenue"]["estimate"] > 3 * whole[estimator]["revenue"]["estimate"]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_a_weight_that_is_none_is_refused_by_name(bad: float) -> None:
    with pytest.raises(ValueError, match="metric input 'weight': 1 of 2 values are"):
        LogLoss().update([0.5, 0.5], [0, 1], [1.0, bad])
