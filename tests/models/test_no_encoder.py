"""ROSA-Rec without its encoder: what happened reaches a score by counts alone."""

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.features import EncodedUsers, collate
from rosa_ray.models import UserBatch, build_ranker
from tests.tiny_users import tiny_users

SETTINGS = {"width": 8, "layers": 2, "heads": 2, "window": 6, "match_window": 20, "hidden": (8,), "dropout": 0.0}


def ranker_of(exact_match: bool, users: EncodedUsers, state: object) -> tuple[nn.Module, UserBatch]:
    torch.manual_seed(1)
    off = {"encoder": False, "cross_attention": False, "exact_match": exact_match, "recency": False}
    ranker = build_ranker("rosa", SETTINGS | off, state.table_sizes, state.base_rates)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return ranker.eval(), UserBatch.from_numpy(collate(users, np.arange(len(users))))


def test_states_are_zero_at_once_as_one_by_one() -> None:
    users, state = tiny_users(users=6, per_user=5)
    ranker, batch = ranker_of(True, users, state)
    with torch.no_grad():
        assert not ranker.encode(batch.events).any()
        one = {name: tensor[:1, :1] for name, tensor in batch.events.items()}
        states, cache = ranker.extend(one, ranker.empty_cache())
    assert not states.any()
    assert cache.time_us_BC.shape == (1, 1)


@pytest.mark.parametrize("exact_match", [True, False])
def test_which_items_a_user_met_matters_to_the_exact_match_alone(exact_match: bool) -> None:
    users, state = tiny_users(users=6, per_user=5)
    ranker, batch = ranker_of(exact_match, users, state)
    with torch.no_grad():
        before = ranker(batch).ctr_logit
        for name in ("item", "item_key", "category", "category_key"):
            batch.events[name].zero_()
        after = ranker(batch).ctr_logit
    assert torch.equal(before, after) is not exact_match
