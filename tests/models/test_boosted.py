"""Trees in a ranker: what they change, what they leave alone, and how they travel with the weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.features import EncodedUsers, FeatureState
from rosa_ray.inference import predict
from rosa_ray.models import Predictions, UserBatch, build_ranker
from rosa_ray.models.boosted import HEADS, Blend, Boosted, Trees
from rosa_ray.training.tree_rows import users_matrix
from tests.models.test_rankers import give_transitions, small, whole_batch
from tests.some_trees import WEIGHTS, give_trees
from tests.synthetic import encoded_users


@pytest.fixture(scope="module")
def world() -> tuple[EncodedUsers, FeatureState]:
    return encoded_users(events=600)


def ranker_of(state: FeatureState, **settings: object) -> nn.Module:
    torch.manual_seed(1)
    ranker = build_ranker("rosa", small("rosa", **settings), state.table_sizes, state.base_rates)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return ranker.eval()


@pytest.fixture(scope="module")
def blended(world: tuple[EncodedUsers, FeatureState]) -> nn.Module:
    users, state = world
    ranker = ranker_of(state)
    give_transitions(ranker, users)
    give_trees(ranker, users)
    return ranker


def logits(ranker: nn.Module, batch: UserBatch) -> Predictions:
    with torch.inference_mode():
        found: Predictions = ranker(batch)
    return found


def test_without_trees_a_ranker_scores_to_the_last_bit_as_one_without_the_part(
    world: tuple[EncodedUsers, FeatureState],
) -> None:
    users, state = world
    found, plain = (predict(ranker_of(state, boosted=part), users) for part in (True, False))
    for name, values in plain.items():
        assert found[name].tobytes() == values.tobytes(), name


def test_logits_are_weighted_means_and_the_value_stays(
    world: tuple[EncodedUsers, FeatureState], blended: nn.Module
) -> None:
    users, state = world
    batch = whole_batch(users)
    own = copy.deepcopy(blended)
    own.boosted.clear()
    found, alone = logits(blended, batch), logits(own, batch)
    row = batch.row[batch.impression_mask].numpy()
    values = users_matrix(users, state.table_sizes, blended.boosted.window, blended.transitions).values[row]
    for head, name in HEADS.items():
        weight, told = WEIGHTS[head], blended.boosted.blends[head].trees.logit(values)
        before = getattr(alone, name)[batch.impression_mask].numpy()
        after = getattr(found, name)[batch.impression_mask].numpy()
        np.testing.assert_allclose(after, (1 - weight) * before + weight * told, rtol=1e-5, atol=1e-5)
        assert np.std(told) > 0.1
    assert found.log_value.equal(alone.log_value)


def test_a_head_without_weight_keeps_its_logits_to_the_last_bit(
    world: tuple[EncodedUsers, FeatureState], blended: nn.Module
) -> None:
    one = copy.deepcopy(blended)
    one.boosted.blends["conversion"] = Blend(blended.boosted.blends["conversion"].trees, 0.0)
    none = copy.deepcopy(blended)
    none.boosted.clear()
    batch = whole_batch(world[0])
    assert logits(one, batch).cvr_logit.equal(logits(none, batch).cvr_logit)
    assert not logits(one, batch).ctr_logit.equal(logits(none, batch).ctr_logit)


def test_the_network_trains_on_its_own_logits(world: tuple[EncodedUsers, FeatureState], blended: nn.Module) -> None:
    trained, none = copy.deepcopy(blended).train(), copy.deepcopy(blended).train()
    none.boosted.clear()
    found = []
    for ranker in (trained, none):
        torch.manual_seed(0)
        found.append(ranker(whole_batch(world[0])).ctr_logit)
    assert found[0].equal(found[1])


def test_trees_travel_with_the_weights(world: tuple[EncodedUsers, FeatureState], blended: nn.Module) -> None:
    users, state = world
    again = ranker_of(state)
    again.load_state_dict(blended.state_dict())
    assert again.boosted.blends == blended.boosted.blends
    assert again.boosted.fitted
    assert predict(again, users)["p_ctr"].tobytes() == predict(blended, users)["p_ctr"].tobytes()
    assert not {name for name, _ in blended.named_parameters() if name.startswith("boosted")}
    assert not {name for name, _ in blended.named_buffers() if name.startswith("boosted")}


def test_weights_without_trees_take_them_away(world: tuple[EncodedUsers, FeatureState], blended: nn.Module) -> None:
    state = world[1]
    for weights in (
        ranker_of(state).state_dict(),
        {name: value for name, value in blended.state_dict().items() if not name.startswith("boosted")},
    ):
        again = copy.deepcopy(blended)
        again.load_state_dict(weights)
        assert not again.boosted.fitted


def test_running_means_of_weights_keep_the_trees(blended: nn.Module) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(
        blended, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.7), use_buffers=True
    )
    for _ in range(3):
        averaged.update_parameters(blended)
    assert averaged.module.boosted.blends == blended.boosted.blends


def test_scores_of_a_log_and_of_a_request_are_the_same_whatever_the_batch(
    world: tuple[EncodedUsers, FeatureState], blended: nn.Module
) -> None:
    """The matrix is the same to the last bit, so no row falls on the other side of a threshold."""
    users, state = world
    sizes, window = state.table_sizes, blended.boosted.window
    whole = users_matrix(users, sizes, window, blended.transitions).values
    for user in range(0, len(users), 3):
        one = users.take(np.array([user]))
        mine = slice(users.impression_offsets[user], users.impression_offsets[user + 1])
        for given in (one, one.trim(blended.context_events)):
            found = users_matrix(given, sizes, window, blended.transitions).values
            assert found.tobytes() == whole[mine].tobytes()


def test_trees_see_as_many_events_as_the_exact_match(world: tuple[EncodedUsers, FeatureState]) -> None:
    state = world[1]
    asked = {"exact_match": False, "transitions": False, "match_window": 40}
    assert ranker_of(state, boosted=True, **asked).score_events == 40
    assert ranker_of(state, boosted=False, **asked).score_events < 40


def test_no_rows_have_no_logits() -> None:
    assert Trees(0.3).logit(np.empty((0, 4), np.float32)).shape == (0,)
    assert Boosted({}, 5).fitted is False
