"""Behaviour bias and time decay as additive logits."""

import math

import pytest
import torch

from rosa_ray.models.decay import BehaviorDecayBias
from rosa_ray.units import HOUR_US

OPEN = torch.tensor(True)


def test_adding_minus_lambda_dt_equals_multiplying_weights_by_exp_and_renormalising() -> None:
    bias = BehaviorDecayBias(heads=3, behavior_bias=False)
    elapsed_h = torch.tensor([[0.0, 1.0, 5.0, 30.0]])
    logits = torch.randn(3, 1, 4)
    added = torch.softmax(logits + bias((elapsed_h * HOUR_US).long(), torch.zeros(4, dtype=torch.long), OPEN), dim=-1)
    weights = torch.softmax(logits, dim=-1) * torch.exp(-bias.lambda_per_hour_H[:, None, None] * elapsed_h)
    torch.testing.assert_close(added, weights / weights.sum(-1, keepdim=True))


def test_a_bias_of_the_query_cancels_and_a_bias_of_the_key_does_not() -> None:
    logits = torch.randn(2, 5, 7)
    query_bias, key_bias = torch.randn(2, 5, 1), torch.randn(2, 1, 7)
    plain = torch.softmax(logits, dim=-1)
    torch.testing.assert_close(torch.softmax(logits + query_bias, dim=-1), plain)
    assert (torch.softmax(logits + key_bias, dim=-1) - plain).abs().max() > 1e-2


def test_the_bias_of_each_key_is_the_omega_of_its_behaviour() -> None:
    bias = BehaviorDecayBias(heads=2, decay=False)
    with torch.no_grad():
        bias.omega_BhH.copy_(torch.tensor([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0], [3.0, 13.0]]))
    out = bias(torch.zeros(1, 3, dtype=torch.long), torch.tensor([3, 0, 2]), OPEN)
    torch.testing.assert_close(out[:, 0], torch.tensor([[3.0, 0.0, 2.0], [13.0, 10.0, 12.0]]))


def test_half_lives_start_between_an_hour_and_ninety_days_and_one_head_hardly_decays() -> None:
    half_lives = BehaviorDecayBias(heads=4).half_life_hours_H
    assert half_lives[0].item() == pytest.approx(1.0, rel=1e-3)
    assert half_lives[2].item() == pytest.approx(90 * 24, rel=1e-2)
    assert half_lives[3].item() > 50 * 365 * 24
    assert BehaviorDecayBias(heads=1).half_life_hours_H.item() == pytest.approx(1.0, rel=1e-3)


def test_after_one_half_life_the_weight_is_half() -> None:
    bias = BehaviorDecayBias(heads=1, behavior_bias=False)
    out = bias(torch.tensor([[HOUR_US, 0]]), torch.zeros(2, dtype=torch.long), OPEN)
    assert math.exp(out[0, 0, 0].item()) == pytest.approx(0.5, rel=1e-3)
    assert out[0, 0, 1] == 0


def test_gradients_reach_omega_and_lambda() -> None:
    bias = BehaviorDecayBias(heads=2)
    out = bias(torch.tensor([[HOUR_US, 2 * HOUR_US]]), torch.tensor([1, 3]), OPEN)
    torch.softmax(out, dim=-1)[..., 0].sum().backward()
    assert bias.omega_BhH.grad.abs().sum() > 0
    assert bias.raw_lambda_H.grad.abs().sum() > 0
