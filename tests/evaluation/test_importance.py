"""What each input is worth: the one that matters is named first, and what is not read is worth exactly nothing."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from rosa_ray.calibration import Calibration
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.importance import (
    PermutationScorer,
    by_importance,
    heads_document,
    importance_lines,
    importance_tables,
    of_period,
    ordered,
    scorings,
)
from rosa_ray.evaluation.importance_job import draw_users
from rosa_ray.evaluation.predictions import calibrated_columns
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import Split
from rosa_ray.features.input_fields import HISTORY, Field, impression_field, input_fields
from rosa_ray.features.own_inputs import OWN
from rosa_ray.inference import context_events, predict
from rosa_ray.metrics import evaluate_predictions
from rosa_ray.models import Predictions, UserBatch, build_ranker
from tests.tiny_users import BOUNDS, tiny_users

NOISE = 20
CONFIG = EvaluationConfig(importance_repeats=4, importance_replicates=60, users_per_batch=32)
FIELDS = [
    impression_field("signal", within={OWN: (0,)}),
    *(impression_field(f"noise {at}", within={OWN: (at,)}) for at in range(1, NOISE + 1)),
    impression_field("region", ("region",)),
]
SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 8, "hidden": (16,), "dropout": 0.1, "match_window": 8}


class TokenRanker(nn.Module):
    """Clicks by declared tokens alone: the first one is the truth, the others are noise that it took for one."""

    context_events = 1

    def __init__(self) -> None:
        super().__init__()
        noise = torch.tensor(np.random.default_rng(5).normal(0, 0.15, NOISE), dtype=torch.float32)
        self.weights_K = nn.Parameter(torch.cat([torch.tensor([2.0]), noise]))

    def forward(self, batch: UserBatch) -> Predictions:
        ctr: Tensor = batch.impressions[OWN].float() @ self.weights_K - 1.5
        return Predictions(ctr, torch.zeros_like(ctr), torch.zeros_like(ctr))


@pytest.fixture(scope="module")
def made_up() -> PermutationScorer:
    """Impressions whose clicks follow the first of 21 tokens; no conversions."""
    users, state = tiny_users(users=120, per_user=25)
    rng, count = np.random.default_rng(2), len(users.dense)
    tokens = rng.integers(0, 2, (count, NOISE + 1))
    click = rng.random(count) < 1 / (1 + np.exp(1.5 - 2.0 * tokens[:, 0]))
    labels = {"click": click.astype(float), "conversion": np.zeros(count), "revenue": np.zeros(count)}
    sample = ordered(replace(users, impressions={**users.impressions, **labels, OWN: tokens}))
    return PermutationScorer(UserScorer(TokenRanker(), state, 32), Calibration(), sample, CONFIG)


@pytest.fixture(scope="module")
def trained() -> PermutationScorer:
    """A ranker that reads everything, with weights at random, over the test period."""
    users, state = tiny_users(users=60, per_user=40)
    torch.manual_seed(1)
    ranker = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    for head in (ranker.heads.ctr, ranker.heads.cvr, ranker.heads.value):
        nn.init.normal_(head.weight)
    calibration = Calibration(value_factor=1.5)
    return PermutationScorer(UserScorer(ranker, state, 32), calibration, ordered(users), CONFIG)


def measured(scorer: PermutationScorer, fields: list[Field]) -> dict[str, Any]:
    by_name = {field.name: field for field in fields}
    readings = {
        (name, repeat): scorer.read(by_name[name] if name else None, repeat)
        for name, repeat in scorings(list(by_name), scorer.config)
    }
    return heads_document(scorer.sample, list(by_name), readings, scorer.config)


@pytest.fixture(scope="module")
def document(made_up: PermutationScorer) -> dict[str, Any]:
    return measured(made_up, FIELDS)


def test_the_one_field_that_matters_is_named_first(document: dict[str, Any]) -> None:
    name, figures = by_importance(document["clicks"])[0]
    assert name == "signal"
    assert figures["finding"] == "matters"
    assert figures["auc_lost"]["low"] > 0.1
    assert figures["logloss_added"]["low"] > 0


def test_useless_fields_are_mostly_within_chance(document: dict[str, Any]) -> None:
    noise = [figures for name, figures in document["clicks"]["fields"].items() if name.startswith("noise")]
    within = [figures for figures in noise if figures["finding"] == "within chance"]
    assert len(within) >= NOISE - 3
    assert all(figures["auc_lost"]["low"] <= 0 <= figures["auc_lost"]["high"] for figures in within)
    assert max(abs(figures["auc_lost"]["mean"]) for figures in noise) < 0.02


def test_what_a_ranker_does_not_read_is_worth_exactly_nothing(document: dict[str, Any]) -> None:
    nothing = {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert document["clicks"]["fields"]["region"] == {
        "auc_lost": nothing,
        "logloss_added": nothing,
        "finding": "within chance",
    }


def test_the_mean_is_that_of_permuting_by_hand(made_up: PermutationScorer, document: dict[str, Any]) -> None:
    tokens, click = made_up.sample.impressions[OWN], made_up.sample.impressions["click"]
    weights = made_up.scorer.ranker.weights_K.detach().double().numpy()
    lost, added = [], []
    for repeat in range(CONFIG.importance_repeats):
        order = np.random.default_rng([CONFIG.importance_seed, repeat]).permutation(len(click))
        mixed = np.column_stack([tokens[order, 0], tokens[:, 1:]])
        before, after = (1 / (1 + np.exp(1.5 - of @ weights)) for of in (tokens, mixed))
        lost.append(_auc(before, click) - _auc(after, click))
        added.append(_loss(after, click) - _loss(before, click))
    figures = document["clicks"]["fields"]["signal"]
    assert figures["auc_lost"]["mean"] == pytest.approx(np.mean(lost), abs=1e-4)
    assert figures["logloss_added"]["mean"] == pytest.approx(np.mean(added), abs=1e-6)


def _auc(p: np.ndarray, labels: np.ndarray) -> float:
    above = p[labels == 1][:, None] - p[labels == 0][None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def _loss(p: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.mean(np.where(labels == 1, np.log(p), np.log1p(-p))))


def test_equal_seeds_give_equal_figures(made_up: PermutationScorer, document: dict[str, Any]) -> None:
    again = measured(made_up, FIELDS[:2])["clicks"]["fields"]
    assert again == {name: document["clicks"]["fields"][name] for name in again}
    other = replace(made_up, config=replace(CONFIG, importance_seed=1))
    assert measured(other, FIELDS[:1])["clicks"]["fields"]["signal"] != again["signal"]


def test_the_order_of_the_users_changes_nothing(made_up: PermutationScorer, document: dict[str, Any]) -> None:
    shuffled = made_up.sample.take(np.random.default_rng(9).permutation(len(made_up.sample)))
    again = measured(replace(made_up, sample=ordered(shuffled)), FIELDS[:3])["clicks"]["fields"]
    assert again == {name: document["clicks"]["fields"][name] for name in again}


def test_heads_without_enough_labels_say_why(made_up: PermutationScorer, document: dict[str, Any]) -> None:
    clicks = document["clicks"]["positives"]
    assert document["clicks"]["undefined"] is None
    assert document["conversions"]["undefined"] == f"no conversion among {clicks:,} clicks"
    assert document["value"]["undefined"] == "no conversion with revenue"
    assert document["value"]["fields"] == {}
    sample = made_up.sample
    few = sample.impressions["click"] * (np.cumsum(sample.impressions["click"]) <= 7)
    scarce = replace(sample, impressions={**sample.impressions, "click": few})
    found = heads_document(scarce, [], {(None, 0): {}}, CONFIG)
    assert found["clicks"]["undefined"] == "7 clicks, an interval needs 10"
    nine = replace(sample, impressions={**sample.impressions}).take(np.arange(9))
    assert heads_document(nine, [], {(None, 0): {}}, CONFIG)["clicks"]["undefined"] == "9 users, an interval needs 10"


def test_permuting_nothing_is_exactly_zero_for_every_head(trained: PermutationScorer) -> None:
    found = measured(trained, [Field("nothing", lambda users, rng: users)])
    for head in found.values():
        assert head["undefined"] is None
        figures = head["fields"]["nothing"]
        assert figures["finding"] == "within chance"
        changes = [value for name, value in figures.items() if name != "finding"]
        assert changes == [{"mean": 0.0, "low": 0.0, "high": 0.0}] * len(changes)


def test_heads_are_measured_as_evaluation_measures_them(trained: PermutationScorer) -> None:
    found = measured(trained, [])
    raw = trained.scorer.score(trained.sample, Split.TRAIN, Split.VALID, Split.TEST)
    columns = calibrated_columns(raw, trained.calibration)
    metrics = evaluate_predictions(columns)
    for name, prefix in (("clicks", ""), ("conversions", "cvr_"), ("click and conversion", "ctcvr_")):
        for measure in ("auc", "logloss"):
            assert found[name]["baseline"][measure] == pytest.approx(metrics[f"{prefix}{measure}"], abs=1e-6)
    bought = columns["revenue"] > 0
    error = np.log(columns["value"][bought] / columns["revenue"][bought]) ** 2
    assert found["value"]["baseline"]["log_error"] == pytest.approx(error.mean())
    assert found["value"]["rows"] == bought.sum()


def test_what_the_ranker_reads_is_missed(trained: PermutationScorer) -> None:
    """Every input of a ranker with random weights moves its scores; a permuted price moves the value by far most."""
    for field in input_fields(trained.scorer.state):
        moved = field.permute(trained.sample, np.random.default_rng(0))
        before, after = trained.scores(trained.sample), trained.scores(moved)
        assert not np.array_equal(before["p_ctr"], after["p_ctr"]), field.name
    value = measured(trained, input_fields(trained.scorer.state))["value"]
    assert by_importance(value)[0][0] == "price"


def test_equal_timelines_are_encoded_once_and_scores_stay_the_same(
    trained: PermutationScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker, encoded = trained.scorer.ranker, []
    encode = type(ranker).encode
    monkeypatch.setattr(type(ranker), "encode", lambda self, events: encoded.append(1) or encode(self, events))
    scorer = replace(trained, config=replace(CONFIG, importance_repeats=1))
    fields = {field.name: field for field in input_fields(scorer.scorer.state)}
    first, _, again = scorer.read(None, 0), scorer.read(fields["item"], 0), scorer.read(None, 0)
    batches = len(encoded)
    assert all(np.array_equal(first[head][name], again[head][name]) for head in first for name in first[head])
    scorer.read(fields[HISTORY], 0)
    assert len(encoded) == 2 * batches
    predict(ranker, scorer.sample, 32)
    assert len(encoded) == 3 * batches


def test_only_events_that_the_period_can_see_are_kept() -> None:
    users, state = tiny_users(users=40, per_user=20)
    ranker = build_ranker(
        "rosa", SETTINGS | {"within_category": False, "prices": False}, state.table_sizes, state.base_rates
    )
    test = users.select(Split.TEST)
    context, time_us = context_events(ranker), test.impressions["time_us"]
    fewer = of_period(test, BOUNDS.test_us, int(time_us.max()) + 1, context)
    assert len(fewer.events["time_us"]) < len(test.events["time_us"])
    assert fewer.events["time_us"].max() <= time_us.max()
    assert predict(ranker, fewer)["p_ctr"] == pytest.approx(predict(ranker, test)["p_ctr"], abs=1e-6)


def test_whole_users_are_drawn_whatever_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    user_key = rng.integers(0, 500, 4_000)
    chosen = draw_users(user_key, 1_000, seed=0)
    assert 900 < np.isin(user_key, chosen).sum() <= 1_000
    assert np.array_equal(chosen, draw_users(rng.permutation(user_key), 1_000, seed=0))
    assert not np.array_equal(chosen, draw_users(user_key, 1_000, seed=1))
    assert len(draw_users(user_key, 1, seed=0)) == 1


def test_a_terminal_shows_the_most_important_first_and_what_is_undefined(document: dict[str, Any]) -> None:
    told = {"heads": document, "repeats": 4, "rows": 3000, "of_rows": 9000, "users": 120, "seconds": 2.0}
    tables = importance_tables(told)
    assert [table.title for table in tables] == ["clicks: what is lost without a field"]
    assert next(iter(tables[0].columns[0].cells)) == "signal"
    console = Console(record=True, width=140, file=io.StringIO())
    console.print(tables[0])
    assert "-0.0000" not in console.export_text()
    lines = importance_lines(told)
    assert lines[0] == ("importance: 22 fields permuted 4 times in 3,000 of 9,000 test impressions (120 users), 2.0 s")
    assert lines[-1] == "importance for value: no conversion with revenue"
    assert len(importance_tables(told, every=True)) == 1
