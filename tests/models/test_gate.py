"""λ keeps the direction an operator relies on, whatever the weights, and the loss is what the formula says."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import ConfigError
from rosa_ray.models.gate import GATE_INPUTS, HISTORY_INPUTS, Gate, GateConfig, gate_loss, mix_loss

MOMENT = {
    "events_since": 4.0,
    "actions_since": 1.0,
    "staleness_s": 3600.0,
    "idle_s": 20.0,
    "events_last_hour": 6.0,
    "history_events": 80.0,
}


def any_gate(seed: int, spread: float = 2.0) -> Gate:
    torch.manual_seed(seed)
    gate = Gate(GateConfig(hidden=4))
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.copy_(torch.randn_like(parameter) * spread)
    gate.standardize(torch.rand(50, len(HISTORY_INPUTS)) * 100)
    return gate


def rows(**changed: np.ndarray) -> torch.Tensor:
    count = len(next(iter(changed.values())))
    columns = [np.broadcast_to(changed.get(name, MOMENT[name]), count) for name in HISTORY_INPUTS]
    return torch.tensor(np.stack(columns, axis=1), dtype=torch.float32)


@given(seed=st.integers(0, 10_000), since=st.integers(0, 150), idle_s=st.floats(0, 1e6))
@settings(max_examples=40, deadline=None)
def test_lambda_never_falls_when_load_rises(seed: int, since: int, idle_s: float) -> None:
    load = torch.linspace(0, 1, 21)
    history = rows(events_since=np.full(21, since), idle_s=np.full(21, idle_s))
    weight = any_gate(seed)(history, load).detach().numpy()
    assert (np.diff(weight) >= -1e-6).all()
    assert ((weight >= 0) & (weight <= 1)).all()


@pytest.mark.parametrize("name", ["events_since", "actions_since"])
@given(seed=st.integers(0, 10_000), load=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_lambda_never_rises_when_more_is_missing(name: str, seed: int, load: float) -> None:
    history = rows(**{name: np.arange(0, 150, 5)})
    weight = any_gate(seed)(history, torch.full((len(history),), load)).detach().numpy()
    assert (np.diff(weight) <= 1e-6).all()


def test_one_request_by_name_is_the_row_of_the_batch() -> None:
    gate = any_gate(3, spread=0.5)
    row = torch.tensor([[MOMENT[name] for name in reversed(HISTORY_INPUTS)][::-1]])
    assert gate.offline_weight(MOMENT, 0.4) == pytest.approx(float(gate(row, torch.tensor([0.4]))[0].detach()))


def test_the_threshold_skips_the_encoder_and_load_does_not_change_the_mix() -> None:
    gate = any_gate(1, spread=0.3)
    busy, idle = gate.offline_weight(MOMENT, 1.0), gate.offline_weight(MOMENT, 0.0)
    assert idle < busy
    gate.threshold = (idle + busy) / 2
    assert gate.decide(MOMENT, 1.0).offline_weight == 1.0
    assert gate.decide(MOMENT, 1.0).gate == pytest.approx(busy)
    gate.threshold = 1.0
    assert gate.decide(MOMENT, 1.0).offline_weight == pytest.approx(idle)
    gate.mixes = False
    assert gate.decide(MOMENT, 1.0).offline_weight == 0.0


def test_the_loss_is_the_formula_by_hand() -> None:
    weight, load = torch.tensor([0.25]), torch.tensor([0.5])
    p_off, p_on = torch.tensor([[0.2, 0.01]]), torch.tensor([[0.6, 0.05]])
    label = torch.tensor([[1.0, 0.0]])
    mixed = (0.25 * 0.2 + 0.75 * 0.6, 0.25 * 0.01 + 0.75 * 0.05)
    expected = -np.log(mixed[0]) - np.log(1 - mixed[1]) + 0.02 * 0.5 * 0.75
    assert float(gate_loss(weight, load, p_off, p_on, label, 0.02)[0]) == pytest.approx(expected, rel=1e-5)


def test_a_certain_and_wrong_probability_costs_a_finite_loss() -> None:
    one = torch.ones(1, 1)
    assert torch.isfinite(mix_loss(torch.tensor([1.0]), 0 * one, one, one)).all()


def test_a_gate_comes_back_from_json_with_the_same_answers() -> None:
    gate = any_gate(5, spread=0.5)
    gate.threshold, gate.mixes = 0.85, False
    back = Gate.from_dict(json.loads(json.dumps(gate.to_dict() | {"report": {"pairs": 3}})))
    assert (back.threshold, back.mixes, back.config) == (0.85, False, gate.config)
    assert back.offline_weight(MOMENT, 0.3) == gate.offline_weight(MOMENT, 0.3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 2}, "its version is 2"),
        ({"inputs": ["load"]}, "this code reads 1"),
        ({"config": {"hidden": 3}}, "size mismatch"),
        ({"config": {"hidden": 0}}, "it must be at least 1"),
        ({"state": None}, "NoneType"),
        ({"threshold": "high"}, "could not convert"),
    ],
)
def test_another_document_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gate.from_dict(any_gate(1).to_dict() | changed)


def test_load_is_the_last_input_and_a_gate_needs_a_unit() -> None:
    assert GATE_INPUTS[-1] == "load"
    with pytest.raises(ConfigError, match=r"gate\.hidden is 0"):
        GateConfig(hidden=0)
