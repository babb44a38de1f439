"""The loss of every ranker takes a row of weight k as k rows, and so does what follows from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rosa_ray.features import EncodedUsers, collate, encode_users
from rosa_ray.models import (
    TASKS,
    LossConfig,
    LossScales,
    UserBatch,
    build_ranker,
    loss_terms,
    ranker_names,
    ranker_settings,
)
from rosa_ray.models.balance import UncertaintyBalance
from rosa_ray.settings.plain import to_plain
from rosa_ray.training.step import global_loss, mean_losses
from tests.tiny_users import tiny_rows, tiny_state
from tests.weighted import repeat_rows

SMALL = {"width": 8, "hidden": (8,), "window": 6, "dropout": 0.0}


def weighted_and_repeated() -> tuple[EncodedUsers, EncodedUsers, dict]:
    rows = tiny_rows(users=6, per_user=8)
    weight = np.random.default_rng(0).integers(1, 4, len(rows.impressions["click"])).astype(np.float64)
    rows = replace(rows, impressions={**rows.impressions, "weight": weight})
    state = tiny_state(rows)
    users = encode_users(rows, state), encode_users(repeat_rows(rows), state)
    return *users, {"sizes": state.table_sizes, "base_rates": state.base_rates}


def terms_of(ranker: torch.nn.Module, users: EncodedUsers, scales: LossScales) -> tuple[dict, list[torch.Tensor]]:
    """Loss terms and the gradient of the whole loss, but for the next event: it is drawn at random."""
    batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
    ranker.zero_grad()
    config = LossConfig(next_event=0.0)
    terms = loss_terms(replace(ranker(batch), next_event=None), batch, config, scales)
    global_loss(terms, config, 1, lambda tensor: tensor)[0].backward()
    return terms, [parameter.grad for parameter in ranker.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("name", ranker_names())
def test_loss_and_gradient_of_a_ranker_take_a_weight_as_so_many_rows(name: str) -> None:
    one, other, model = weighted_and_repeated()
    known = to_plain(ranker_settings(name, {}).settings)
    torch.manual_seed(0)
    ranker = build_ranker(name, {key: value for key, value in SMALL.items() if key in known}, **model).eval()
    scales = LossScales.of(model["base_rates"])
    (mine, my_slopes), (theirs, their_slopes) = (terms_of(ranker, users, scales) for users in (one, other))
    for task in TASKS:
        for side in (0, 1):
            assert mine[task][side].item() == pytest.approx(theirs[task][side].item(), rel=1e-4), task
    assert len(my_slopes) == len(their_slopes) > 0
    for slope, expected in zip(my_slopes, their_slopes, strict=True):
        torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-6)


def test_learned_task_weights_follow_what_rows_stand_for() -> None:
    one, other, model = weighted_and_repeated()
    torch.manual_seed(0)
    ranker = build_ranker("wide_deep", SMALL, **model).eval()
    found = []
    for users in (one, other):
        terms, _ = terms_of(ranker, users, LossScales.of(model["base_rates"]))
        balance = UncertaintyBalance(LossConfig())
        balance.observe(terms, lambda tensor: tensor)
        totals = [[float(terms[task][side].detach()) for task in TASKS] for side in (0, 1)]
        found.append((balance.weights().tolist(), mean_losses(totals, LossConfig())))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-4)


def test_without_weights_every_impression_weighs_one() -> None:
    users = encode_users(tiny_rows(users=4), tiny_state(tiny_rows(users=4)))
    batch = UserBatch.from_numpy(collate(users, np.arange(4)))
    assert torch.equal(batch.labels["weight"], batch.impression_mask.float())


def test_a_row_whose_conversion_is_not_known_teaches_clicks_alone() -> None:
    rows = tiny_rows(users=6, per_user=8)
    known = np.random.default_rng(0).random(len(rows.impressions["click"])) < 0.5
    users = encode_users(rows, tiny_state(rows))
    masked = replace(users, impressions={**users.impressions, "conversion_weight": known.astype(np.float64)})
    turned = {name: np.where(known, users.impressions[name], 1.0) for name in ("conversion", "revenue")}
    other = replace(masked, impressions={**masked.impressions, **turned})
    torch.manual_seed(0)
    state = tiny_state(rows)
    ranker = build_ranker("wide_deep", SMALL, sizes=state.table_sizes, base_rates=state.base_rates).eval()
    scales = LossScales.of(state.base_rates)
    (whole, _), (mine, slopes), (theirs, same) = (terms_of(ranker, one, scales) for one in (users, masked, other))
    for task in TASKS:
        assert [side.item() for side in mine[task]] == [side.item() for side in theirs[task]], task
    assert mine["ctr"][1].item() == whole["ctr"][1].item() == len(known)
    assert mine["cvr"][1].item() < whole["cvr"][1].item()
    for slope, expected in zip(slopes, same, strict=True):
        torch.testing.assert_close(slope, expected)
