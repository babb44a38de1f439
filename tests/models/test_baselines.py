"""Parts of the baselines by hand: factorization machine, Dice, DIN's sum without softmax, SASRec's distances."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from rosa_ray.features import EncodedUsers, collate
from rosa_ray.models import UserBatch, build_ranker
from rosa_ray.models.dice import Dice
from rosa_ray.models.history import window_mask
from rosa_ray.models.rankers import din
from rosa_ray.models.rankers.deepfm import pairwise_products
from rosa_ray.models.rankers.sasrec import PositionBias
from rosa_ray.models.rankers.wide_deep import shared_counts
from tests.synthetic import encoded_users

SETTINGS = {"width": 8, "window": 5, "hidden": (8,), "units": 4, "dropout": 0.0}


def random_din(users: EncodedUsers, state: object, *, exact_match: bool = False) -> din.Ranker:
    torch.manual_seed(0)
    settings = {**SETTINGS, "exact_match": exact_match}
    ranker = build_ranker("din", settings, state.table_sizes, state.base_rates)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert isinstance(ranker, din.Ranker)
    return ranker


def test_the_factorization_machine_equals_the_sum_over_pairs() -> None:
    fields = list(torch.randn(5, 3, 4, dtype=torch.float64))
    naive = sum((a * b for a, b in itertools.combinations(fields, 2)), torch.zeros(3, 4, dtype=torch.float64))
    torch.testing.assert_close(pairwise_products(fields), naive)


def test_dice_by_hand() -> None:
    """Rows 1 and 5: mean 3, variance 4, so p = σ(∓1); with α = 0.5, f(s) = s · (0.5 + 0.5 p)."""
    dice = Dice(1)
    with torch.no_grad():
        dice.alpha_U.fill_(0.5)
    out = dice(torch.tensor([[1.0], [5.0]])).flatten().tolist()
    sigmoid = 1 / (1 + math.exp(-1))
    assert out == pytest.approx([0.5 + 0.5 * (1 - sigmoid), 5 * (0.5 + 0.5 * sigmoid)], rel=1e-5)


def test_dice_evaluates_with_the_mean_of_the_batches_it_was_trained_on() -> None:
    dice = Dice(2)
    batches = [torch.randn(50, 2) * scale + shift for scale, shift in ((1.0, 0.0), (2.0, 3.0), (0.5, -1.0))]
    for batch in batches:
        dice(batch)
    dice(torch.empty(0, 2))
    mean = torch.stack([batch.mean(0) for batch in batches]).mean(0)
    variance = torch.stack([batch.var(0, correction=0) for batch in batches]).mean(0)
    row = torch.tensor([[1.0, -2.0]])
    expected = row * torch.sigmoid((row - mean) / torch.sqrt(variance + 1e-8))
    torch.testing.assert_close(dice.eval()(row), expected)


def test_din_adds_up_behaviours_without_softmax() -> None:
    """The interest is the plain loop over the window; so a history told twice counts twice."""
    users, state = encoded_users()
    ranker = random_din(users, state).eval()
    batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
    with torch.no_grad():
        events, ads = ranker._side_by_side(batch)
        interest, strength = ranker._interest(events, ads, batch)
        user, row = (index.item() for index in (batch.impressions["visible"] >= 8).nonzero()[0])
        visible, ad = batch.impressions["visible"][user, row], ads[user, row][None]
        total, weights = torch.zeros(3 * SETTINGS["width"]), torch.zeros(())
        for event in range(visible - SETTINGS["window"], visible):
            gap_s = (batch.impressions["time_us"][user, row] - batch.events["time_us"][user, event]).item() / 1e6
            behavior = events[user, event].clone()
            behavior[2 * SETTINGS["width"] :] += ranker.elapsed.weight[1 + int(math.log2(1 + gap_s))]
            weight = ranker.activation(behavior[None], ad, ranker.activation.ad(ad))[0, 0]
            total, weights = total + weight * behavior, weights + weight
    torch.testing.assert_close(interest[user, row], total, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(strength[user, row, 0], weights, atol=1e-5, rtol=1e-5)
    assert abs(weights.item() - 1) > 0.1


def test_din_compares_item_with_item_and_category_with_category() -> None:
    """Changing the category of an event and an ad leaves their items' part of the product as it was."""
    users, state = encoded_users()
    ranker = random_din(users, state).eval()
    batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
    other = dataclasses.replace(
        batch,
        events={**batch.events, "category": 1 - batch.events["category"].clamp_max(1)},
        impressions={**batch.impressions, "category": 1 - batch.impressions["category"].clamp_max(1)},
    )
    width = SETTINGS["width"]
    for one, two in zip(ranker._side_by_side(batch), ranker._side_by_side(other), strict=True):
        assert torch.equal(one[..., :width], two[..., :width])
        assert not torch.isclose(one[..., width : 2 * width], two[..., width : 2 * width]).all(-1).any()
        assert torch.equal(one[..., 2 * width :], two[..., 2 * width :])


def test_din_in_parts_gives_the_same_scores_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    users, state = encoded_users()
    batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
    ranker = random_din(users, state).eval()
    results = []
    for pairs in (1 << 18, 100):
        monkeypatch.setattr(din, "PAIRS_AT_ONCE", pairs)
        ranker.zero_grad()
        logit = ranker(batch).ctr_logit
        logit.sum().backward()
        results.append([logit.detach(), *(p.grad.clone() for p in ranker.parameters() if p.grad is not None)])
    for whole, parts in zip(*results, strict=True):
        torch.testing.assert_close(parts, whole, atol=1e-3, rtol=1e-4)


def test_positions_are_distances_whatever_the_block() -> None:
    bias = PositionBias(heads=1, window=3)
    with torch.no_grad():
        bias.position_HW.copy_(torch.tensor([[10.0, 11.0, 12.0]]))
    out = bias(
        torch.zeros(2, 4, dtype=torch.long), torch.zeros(4, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool)
    )
    assert out[0].tolist() == [[12.0, 11.0, 10.0, 10.0], [12.0, 12.0, 11.0, 10.0]]


def test_the_wide_part_counts_the_window_s_events_of_the_same_item_and_category() -> None:
    """Three visible events, a window of two: a view of the ad's item, a cart of its category; the rest is no match."""
    users, _ = encoded_users()
    one = UserBatch.from_numpy(collate(users.take(np.array([1])), np.array([0])))
    events = {"item": [[7, 7, 8, 7]], "category": [[1, 1, 1, 1]], "behavior": [[3, 0, 2, 3]]}
    batch = dataclasses.replace(
        one,
        events={name: torch.tensor(values) for name, values in events.items()},
        impressions={"item": torch.tensor([[7]]), "category": torch.tensor([[1]])},
    )
    item, category = shared_counts(batch, window_mask(torch.tensor([[3]]), 4, 2), 4)
    assert item.expm1().round().tolist() == [[[1, 0, 0, 0]]]
    assert category.expm1().round().tolist() == [[[1, 0, 1, 0]]]


def test_din_reads_exact_matches_only_when_given_them() -> None:
    users, state = encoded_users()
    batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
    ranker = random_din(users, state, exact_match=True)
    ranker(batch).ctr_logit.sum().backward()
    assert ranker.exact_match is not None
    assert ranker.exact_match.log_rate_H.grad.abs().max() > 0
    assert random_din(users, state).exact_match is None
