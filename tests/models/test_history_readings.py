import math

import pytest
import torch

from rosa_ray.models.history_readings import FEW, HALF_LIVES_HOURS, WIDTH, WINDOW, readings
from rosa_ray.units import HOUR_US


def hours(values: list[list[float]]) -> torch.Tensor:
    return (torch.tensor(values) * HOUR_US).long()


def test_no_history_is_read_as_zeros() -> None:
    found = readings(torch.full((1, 2, 3), 4.0), torch.tensor([[0, 0]]), hours([[5, 5]]), hours([[6, 7, 8]]))
    assert found.shape == (1, 2, WIDTH)
    assert torch.equal(found, torch.zeros_like(found))


def test_one_state_by_hand() -> None:
    """A state two hours old after which the ad is five times as likely as usual."""
    found = readings(torch.tensor([[[math.log(5)]]]), torch.tensor([[1]]), hours([[2]]), hours([[0]]))[0, 0]
    assert found[:3].tolist() == pytest.approx([math.log(5)] * 3)
    for at, half_life in enumerate(HALF_LIVES_HOURS):
        weight = 0.5 ** (2 / half_life)
        mean, count = found[3 + 2 * at : 5 + 2 * at].tolist()
        assert mean == pytest.approx(math.log(1 + 4 * weight / (weight + 0.1)), rel=1e-4)
        assert count == pytest.approx(math.log(1 + 4 * weight), rel=1e-4)


def test_states_from_the_moment_on_and_beyond_the_window_say_nothing() -> None:
    length, visible = WINDOW + 20, WINDOW + 10
    lift, times = torch.randn(1, 1, length), hours([[float(at) for at in range(length)]])
    shown = torch.tensor([[visible]]), hours([[float(visible)]])
    changed = lift.clone()
    changed[..., :10], changed[..., visible:] = 9.0, -9.0
    assert torch.equal(readings(lift, *shown, times), readings(changed, *shown, times))


def test_the_last_few_are_the_last_few() -> None:
    lift = torch.zeros(1, 1, FEW + 5)
    lift[..., 4], lift[..., 5] = 3.0, 1.0
    times = hours([[0.0] * (FEW + 5)])
    found = readings(lift, torch.tensor([[FEW + 5]]), hours([[0.0]]), times)[0, 0]
    assert found[:3].tolist() == pytest.approx([0.0, 1 / FEW, 1.0])
