import math

import pytest
import torch

from rosa_ray.models import row_softmax
from rosa_ray.models.row_softmax import RowSoftmax

COUNTS = torch.tensor([0, 6, 3, 1])


def test_a_state_that_says_nothing_leaves_popularity() -> None:
    softmax = RowSoftmax(2, COUNTS)
    total, number = softmax.loss(torch.zeros(2, 2), torch.tensor([1, 3]), torch.randn(4, 2))
    assert number.item() == 2
    assert total.item() == pytest.approx(-math.log(0.6) - math.log(0.1), rel=1e-5)


def test_one_state_by_hand() -> None:
    """Query (1, 0) of a state (√2, 0); dot products with the rows are 0, log 2, 0 and log 4."""
    softmax = RowSoftmax(2, COUNTS)
    vectors = torch.tensor([[9.0, 0.0], [math.log(2), 5.0], [0.0, 1.0], [math.log(4), 0.0]])
    state = torch.tensor([[math.sqrt(2), 0.0]])
    total, _ = softmax.loss(state, torch.tensor([3]), vectors)
    weights = 0.6 * 2 + 0.3 * 1 + 0.1 * 4
    assert total.item() == pytest.approx(-math.log(0.1 * 4 / weights), rel=1e-4)
    lift = softmax.lifts(state[None], torch.tensor([[1]]), vectors)
    assert lift.shape == (1, 1, 1)
    assert lift.item() == pytest.approx(math.log(2 / weights), rel=1e-4)


def test_rows_that_were_never_counted_are_neither_asked_nor_offered() -> None:
    softmax = RowSoftmax(2, COUNTS)
    states, vectors = torch.randn(2, 2), torch.randn(4, 2)
    vectors[0] = 20.0
    alone = softmax.loss(states[1:], torch.tensor([2]), vectors)
    beside = softmax.loss(states, torch.tensor([0, 2]), vectors)
    assert [value.item() for value in beside] == pytest.approx([value.item() for value in alone])
    none = softmax.loss(states, torch.tensor([0, 0]), vectors)
    assert [value.item() for value in none] == [0, 0]


def test_drawn_rows_give_the_same_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    softmax = RowSoftmax(4, torch.arange(50))
    states, rows, vectors = torch.randn(30, 4), torch.randint(1, 50, (30,)), torch.randn(50, 4)
    whole = softmax.loss(states, rows, vectors)[0].item()
    monkeypatch.setattr(row_softmax, "MOST_ROWS", 40)
    drawn = [softmax.loss(states, rows, vectors)[0].item() for _ in range(200)]
    assert sum(drawn) / len(drawn) == pytest.approx(whole, rel=0.02)


def test_averaging_weights_leaves_popularity_as_it_is() -> None:
    softmax = RowSoftmax(2, COUNTS)
    mean = torch.optim.swa_utils.AveragedModel(
        softmax, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True
    )
    for _ in range(5):
        mean.update_parameters(softmax)
    assert torch.equal(mean.module.log_share_R, softmax.log_share_R)
