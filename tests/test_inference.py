from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.errors import BundleError
from rosa_ray.features import EncodedUsers, Split
from rosa_ray.inference import SCORES, load_ranker, predict
from rosa_ray.models import build_ranker
from tests.described import described
from tests.tiny_users import tiny_users

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 6, "hidden": (16,), "dropout": 0.5}


@pytest.fixture(scope="module")
def users() -> EncodedUsers:
    return tiny_users(users=12, per_user=7)[0]


@pytest.fixture(scope="module")
def ranker() -> nn.Module:
    state = tiny_users(users=12, per_user=7)[1]
    torch.manual_seed(0)
    model = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    nn.init.normal_(model.heads.ctr.weight)
    nn.init.normal_(model.heads.cvr.weight)
    return model


def test_scores_stand_at_their_rows_whatever_the_batches(users: EncodedUsers, ranker: nn.Module) -> None:
    """Every user alone, in the users' order, is the plain way to get flat rows."""
    together = predict(ranker, users, users_per_batch=5)
    alone = [predict(ranker, users.take(np.array([user])), users_per_batch=1) for user in range(len(users))]
    for name in SCORES:
        assert together[name] == pytest.approx(np.concatenate([part[name] for part in alone]), abs=1e-6)
    assert len(np.unique(together["p_ctr"])) > 50
    assert together["p_ctcvr"] == pytest.approx(together["p_ctr"] * together["p_cvr"])


def test_dropout_is_off_and_the_mode_is_restored(users: EncodedUsers, ranker: nn.Module) -> None:
    ranker.train()
    first, second = predict(ranker, users), predict(ranker, users)
    assert ranker.training
    assert np.array_equal(first["p_ctr"], second["p_ctr"])


def test_no_users_give_no_scores(users: EncodedUsers, ranker: nn.Module) -> None:
    assert len(predict(ranker, users.select(Split.POLICY))["p_ctr"]) == 0


def test_a_ranker_is_rebuilt_from_its_description(users: EncodedUsers, ranker: nn.Module) -> None:
    state = tiny_users(users=12, per_user=7)[1]
    description = described("rosa", SETTINGS, state)
    rebuilt = load_ranker(description, ranker.state_dict())
    assert np.array_equal(predict(rebuilt, users)["p_cvr"], predict(ranker, users)["p_cvr"])
    with pytest.raises(BundleError, match="do not fit model 'rosa'"):
        load_ranker({**description, "config": {**description["config"], "width": 8}}, ranker.state_dict())


def test_labels_change_no_score(users: EncodedUsers, ranker: nn.Module) -> None:
    relabelled = replace(users, impressions={**users.impressions, "click": 1 - users.impressions["click"]})
    assert np.array_equal(predict(ranker, users)["p_ctr"], predict(ranker, relabelled)["p_ctr"])


def test_a_model_of_before_a_setting_scores_as_it_did(users: EncodedUsers) -> None:
    """Descriptions of models of version 0.1 name neither transitions nor trees nor the scale of states."""
    state = tiny_users(users=12, per_user=7)[1]
    former = build_ranker(
        "rosa",
        SETTINGS | {"transitions": False, "boosted": False, "state_scale": 1.0},
        state.table_sizes,
        state.base_rates,
    )
    nn.init.normal_(former.heads.ctr.weight)
    description = {"name": "rosa", "config": SETTINGS, "sizes": state.table_sizes, "base_rates": state.base_rates}
    loaded = load_ranker(description, former.state_dict())
    assert np.array_equal(predict(loaded, users)["p_ctr"], predict(former, users)["p_ctr"])
