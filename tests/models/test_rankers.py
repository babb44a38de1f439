"""The contract of every ranker: what it may see, what it must not, and that it learns."""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from rosa_ray.errors import ConfigError
from rosa_ray.features import EncodedUsers, FeatureState, FitSums, collate, cut_long_users, encode_users
from rosa_ray.features.own import ColumnConfig
from rosa_ray.inference import predict
from rosa_ray.models import (
    LossConfig,
    LossScales,
    UserBatch,
    build_ranker,
    config_class,
    loss_terms,
    ranker_names,
    task_weights,
)
from rosa_ray.models.transitions import Transitions
from rosa_ray.schema import fold_of
from tests.models.fitting import fit_clicks
from tests.some_trees import give_trees
from tests.synthetic import BOUNDS, CONFIG, encoded_users, impressions_table, user_rows, user_rows_of
from tests.tiny_users import tiny_users

WINDOW = 6
TODAY_US = 1_800_000_000_000_000
SMALL = {
    "width": 16,
    "layers": 2,
    "heads": 2,
    "window": WINDOW,
    "match_window": WINDOW,
    "hidden": (16,),
    "cross_rows": 64,
    "units": 8,
    "recency": False,
}
ABLATIONS = [
    ("rosa", {part: False}) for part in ("behavior_bias", "decay", "cross_attention", "shared_tables", "learned_value")
]
ADDITIONS = [
    *((name, {"recency": True}) for name in ranker_names()),
    ("rosa", {"match_window": 3 * WINDOW + 5}),
    *(("rosa", {part: True}) for part in ("foresight", "field_attention")),
    ("rosa", {"transitions": True, "exact_match": False}),
    ("rosa", {"transitions": False}),
    ("din", {"exact_match": True, "match_window": 2 * WINDOW}),
    ("wide_deep", {"match_window": 3 * WINDOW + 5}),
]
OUTSIDE = [("examples.my_model", {})]
VARIANTS = [(name, {}) for name in ranker_names()] + ABLATIONS + ADDITIONS + OUTSIDE


def small(name: str, **settings: object) -> dict[str, Any]:
    """Settings of a small model: those of `SMALL` that the ranker has."""
    known = {field.name for field in dataclasses.fields(config_class(name))}
    return {key: value for key, value in SMALL.items() if key in known} | settings


def give_transitions(ranker: nn.Module, users: EncodedUsers) -> None:
    """What the users themselves went on to, where a ranker reads transitions."""
    for part in ranker.modules():
        if isinstance(part, Transitions):
            part.take([part.count(users.events, users.event_offsets, fold_of(users.user_key))] * 9)


def whole_batch(users: EncodedUsers) -> UserBatch:
    return UserBatch.from_numpy(collate(users, np.arange(len(users))))


@pytest.fixture(scope="module", params=VARIANTS, ids=[f"{name}-{'-'.join(off) or 'whole'}" for name, off in VARIANTS])
def trained(request: pytest.FixtureRequest) -> tuple[nn.Module, EncodedUsers]:
    """A ranker whose every weight is random, so that no part is silent at its starting value."""
    name, settings = request.param
    users, state = encoded_users(events=600)
    torch.manual_seed(1)
    ranker = build_ranker(name, small(name, **settings), state.table_sizes, state.base_rates)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        give_transitions(ranker, users)
        give_trees(ranker, users)
        ranker.train()(whole_batch(users))
    return ranker.eval(), users


def scores(ranker: nn.Module, users: EncodedUsers) -> np.ndarray:
    """All three outputs of every impression, (I, 3), all users in one padded batch."""
    batch = whole_batch(users)
    with torch.inference_mode():
        out = ranker(batch)
    stacked = torch.stack([out.ctr_logit, out.cvr_logit, out.log_value], dim=-1)
    assert stacked.shape == (*batch.impression_mask.shape, 3)
    assert stacked.dtype == torch.float32
    flat = np.empty((len(users.dense), 3), np.float32)
    flat[batch.row[batch.impression_mask].numpy()] = stacked[batch.impression_mask].numpy()
    return flat


def history_before(users: EncodedUsers, impression: int) -> EncodedUsers:
    """A request by hand: one user, only the events before the impression, one candidate."""
    user = int(np.searchsorted(users.impression_offsets, impression, side="right") - 1)
    start = users.event_offsets[user]
    stop = start + users.impressions["visible"][impression]
    return EncodedUsers(
        user_key=users.user_key[user : user + 1],
        event_offsets=np.array([0, stop - start]),
        events={name: values[start:stop] for name, values in users.events.items()},
        impression_offsets=np.array([0, 1]),
        impressions={name: values[impression : impression + 1] for name, values in users.impressions.items()},
        dense=users.dense[impression : impression + 1],
    )


def test_scores_of_a_user_in_pieces_are_those_of_the_whole(
    trained: tuple[nn.Module, EncodedUsers], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker, users = trained
    for name, limit in {"WHOLE_CELLS": 300, "PIECE_CELLS": 200, "PIECE_ROWS": 20}.items():
        monkeypatch.setattr(f"rosa_ray.features.pieces.{name}", limit)
    pieces = cut_long_users(users, ranker.context_events)
    assert len(pieces) > 2 * len(users)
    np.testing.assert_allclose(scores(ranker, pieces), scores(ranker, users), atol=2e-5)
    whole = predict(ranker, users)
    assert whole["p_ctr"].tolist() == pytest.approx(predict(ranker, pieces)["p_ctr"].tolist(), abs=1e-6)


def test_user_major_scores_equal_per_request_scores(trained: tuple[nn.Module, EncodedUsers]) -> None:
    ranker, users = trained
    together = scores(ranker, users)
    one_by_one = np.concatenate([scores(ranker, history_before(users, row)) for row in range(len(users.dense))])
    assert (users.impressions["visible"] == 0).any()
    assert users.impressions["visible"].max() > 3 * WINDOW
    np.testing.assert_allclose(together, one_by_one, atol=2e-5)


def test_a_later_event_changes_no_earlier_score(trained: tuple[nn.Module, EncodedUsers]) -> None:
    ranker, users = trained
    before = scores(ranker, users)
    cut = int(np.median(users.impressions["time_us"]))
    changed = users.events["time_us"] >= cut
    replaced = np.where(changed, (users.events["item"] + 7) % 30, users.events["item"])
    behavior = np.where(changed, 3 - users.events["behavior"], users.events["behavior"])
    after = scores(ranker, dataclasses.replace(users, events={**users.events, "item": replaced, "behavior": behavior}))
    early = users.impressions["time_us"] <= cut
    np.testing.assert_array_equal(before[early], after[early])
    assert np.abs(before[~early] - after[~early]).max() > 1e-3


def test_trimming_events_no_impression_needs_changes_no_score(trained: tuple[nn.Module, EncodedUsers]) -> None:
    ranker, users = trained
    late = users.keep_impressions(users.impressions["time_us"] > np.median(users.impressions["time_us"]))
    trimmed = late.trim(ranker.context_events)
    assert len(trimmed.events["item"]) < len(late.events["item"])
    np.testing.assert_allclose(scores(ranker, trimmed), scores(ranker, late), atol=2e-5)


def test_permuting_candidates_permutes_scores(trained: tuple[nn.Module, EncodedUsers]) -> None:
    ranker, users = trained
    bounds = zip(users.impression_offsets[:-1], users.impression_offsets[1:], strict=True)
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(np.arange(start, stop)) for start, stop in bounds])
    impressions = {name: values[order] for name, values in users.impressions.items()}
    shuffled = dataclasses.replace(users, impressions=impressions, dense=users.dense[order])
    np.testing.assert_allclose(scores(ranker, shuffled), scores(ranker, users)[order], atol=2e-5)


def test_padding_and_company_change_no_score(trained: tuple[nn.Module, EncodedUsers]) -> None:
    ranker, users = trained
    together = scores(ranker, users)
    alone = np.concatenate([scores(ranker, users.take(np.array([user]))) for user in range(len(users))])
    np.testing.assert_allclose(together, alone, atol=2e-5)


@pytest.mark.parametrize("name", ranker_names())
def test_padding_stays_finite_in_half_precision(name: str) -> None:
    """Times are those of today: padding, at time 0, lies half a century before every real event."""
    users, state = tiny_users(users=12, per_user=10)
    moved = {"time_us": users.events["time_us"] + TODAY_US}, {"time_us": users.impressions["time_us"] + TODAY_US}
    users = dataclasses.replace(users, events=users.events | moved[0], impressions=users.impressions | moved[1])
    assert len(set(np.diff(users.event_offsets).tolist())) > 3
    torch.manual_seed(0)
    ranker, batch = build_ranker(name, small(name), state.table_sizes, state.base_rates), whole_batch(users)
    with torch.autocast("cpu", dtype=torch.float16):
        predictions = ranker(batch)
    terms = loss_terms(predictions, batch, LossConfig(), LossScales.of(state.base_rates))
    sum(total for total, _ in terms.values()).backward()
    assert all(torch.isfinite(total) for total, _ in terms.values())
    assert all(torch.isfinite(parameter.grad).all() for parameter in ranker.parameters() if parameter.grad is not None)


def test_users_without_any_event_are_scored(trained: tuple[nn.Module, EncodedUsers]) -> None:
    ranker, users = trained
    new = users.take(np.flatnonzero(np.diff(users.event_offsets) == 0))
    assert len(new)
    assert np.isfinite(scores(ranker, new)).all()


def test_gradients_reach_every_parameter(trained: tuple[nn.Module, EncodedUsers]) -> None:
    ranker, users = trained
    batch = whole_batch(users)
    terms = loss_terms(ranker(batch), batch, LossConfig(), LossScales(2.0, 10.0, 0.05))
    ranker.zero_grad()
    torch.stack([loss for loss, _ in terms.values()]).sum().backward()
    silent = [name for name, weight in ranker.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


@pytest.mark.parametrize("name", [*ranker_names(), *(name for name, _ in OUTSIDE)])
def test_predictions_start_at_the_base_rates_and_training_lowers_every_loss(name: str) -> None:
    users, state = tiny_users()
    torch.manual_seed(0)
    ranker = build_ranker(name, small(name, dropout=0.0), state.table_sizes, state.base_rates)
    batch, scales = whole_batch(users), LossScales.of(state.base_rates)
    with torch.no_grad():
        start = ranker(batch)
    assert start.p_ctr[batch.impression_mask].mean().item() == pytest.approx(state.base_rates["ctr"], abs=1e-4)
    optimizer = torch.optim.Adam(ranker.parameters(), 1e-2)
    history = []
    for _ in range(40):
        terms = loss_terms(ranker(batch), batch, LossConfig(), scales)
        means = {task: loss / weight.clamp_min(1) for task, (loss, weight) in terms.items() if weight > 0}
        history.append({task: mean.item() for task, mean in means.items()})
        optimizer.zero_grad()
        torch.stack([task_weights(LossConfig())[task] * mean for task, mean in means.items()]).sum().backward()
        optimizer.step()
    assert history[-1]["ctr"] < 0.8 * history[0]["ctr"]
    assert all(history[-1][task] < history[0][task] for task in ("cvr", "roi", "value"))


@pytest.mark.parametrize("name", [*ranker_names(), *(name for name, _ in OUTSIDE)])
@pytest.mark.parametrize("count", [1, 5])
def test_every_ranker_takes_as_many_behaviours_as_there_are(name: str, count: int) -> None:
    behaviors = {f"b{code}": code for code in range(count)}
    config = dataclasses.replace(CONFIG, behaviors=behaviors)
    rows = user_rows(config=config, behaviors=config.behavior_names, events=600)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], config)
    users = encode_users(rows, state)
    torch.manual_seed(1)
    ranker = build_ranker(name, small(name, dropout=0.0), state.table_sizes, state.base_rates)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    batch, optimizer = whole_batch(users), torch.optim.SGD(ranker.parameters(), 1e-3)
    before = ranker.events.behavior.weight.detach().clone()
    terms = loss_terms(ranker(batch), batch, LossConfig(), LossScales(2.0, 10.0, 0.05))
    torch.stack([loss for loss, _ in terms.values()]).sum().backward()
    optimizer.step()
    assert before.shape[0] == count
    assert (ranker.events.behavior.weight != before).any(dim=1).all()
    turned = dataclasses.replace(users, events={**users.events, "behavior": count - 1 - users.events["behavior"]})
    assert (count == 1) == np.array_equal(scores(ranker.eval(), users), scores(ranker, turned))


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'model\.unit'; did you mean 'model\.units'"):
        build_ranker("din", {"unit": 3}, {}, {})


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"model.name is 'dien'; known models are deepfm, din, rosa, sasrec, wide_deep"
    ):
        build_ranker("dien", {}, {}, {})


@pytest.mark.parametrize("name", ["din", "rosa", "wide_deep"])
def test_a_match_window_below_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.match_window is 0; it must be at least 1"):
        config_class(name)(match_window=0)


@pytest.mark.parametrize("name", [*ranker_names(), *(name for name, _ in OUTSIDE)])
@pytest.mark.parametrize("kind", ["category", "number"])
def test_every_ranker_finds_what_a_declared_column_says(name: str, kind: str) -> None:
    rng = np.random.default_rng(5)
    columns = {"request.plain": ColumnConfig(), "request.told": ColumnConfig(type=kind)}
    config = dataclasses.replace(CONFIG, columns=columns)
    click = impressions_table(np.random.default_rng(0), impressions=3000)["click"].to_numpy()
    told = np.where(click, rng.integers(4, 8, 3000), rng.integers(0, 4, 3000))
    own = {
        "request.plain": pa.array([f"p{at}" for at in rng.integers(0, 9, 3000)]),
        "request.told": pa.array(told.astype(np.float64) if kind == "number" else [f"t{at}" for at in told]),
    }
    rows = user_rows_of(config, own, impressions=3000)
    assert (rows.impressions["click"] == 1).sum() == click.sum()
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config)
    batch = whole_batch(encode_users(rows, state))
    torch.manual_seed(0)
    ranker = build_ranker(name, small(name, dropout=0.0), state.table_sizes, state.base_rates)
    assert fit_clicks(ranker, batch, steps=40) > 0.75
