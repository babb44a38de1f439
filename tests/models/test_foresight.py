import math

import pytest
import torch

from rosa_ray.models.embedding import SharedTables
from rosa_ray.models.foresight import HORIZONS, SPANS, Foresight, over_spans
from rosa_ray.models.next_event import NextEvent

SIZES = {"item": 6, "category": 3}


def task(width: int = 4) -> tuple[Foresight, SharedTables]:
    torch.manual_seed(0)
    return Foresight(width, SIZES["category"]), SharedTables(SIZES, width)


def log_p(foresight: Foresight, tables: SharedTables, state: torch.Tensor, head: int) -> torch.Tensor:
    return torch.log_softmax(foresight.project[head](state) @ tables.category.weight.T + foresight.popularity_C, -1)


def test_the_loss_is_that_of_the_categories_that_follow_by_hand() -> None:
    """Two events follow the first one: the long horizon averages over them, the short one takes the next."""
    foresight, tables = task()
    states, category = torch.randn(1, 4, 4), torch.tensor([[0, 2, 1, 0]])
    mask = torch.tensor([[True, True, True, False]])
    total, count = foresight.loss(states, {"category": category}, mask, tables)
    near = [log_p(foresight, tables, states[0, at], 0) for at in (0, 1)]
    far = [log_p(foresight, tables, states[0, at], 1) for at in (0, 1)]
    short = -(near[0][2] + near[1][1])
    long = -((far[0][2] + far[0][1]) / 2 + far[1][1])
    assert count.item() == 2
    assert total.item() == pytest.approx(float((short + long).detach()) / 2, rel=1e-5)


def test_scalars_of_the_last_state_by_hand() -> None:
    foresight, tables = task()
    with torch.no_grad():
        foresight.popularity_C.copy_(torch.tensor([0.0, 1.0, -1.0]))
    states, visible, ads = torch.randn(1, 3, 4), torch.tensor([[2, 0]]), torch.tensor([[1, 1]])
    found = foresight(states, visible, ads, tables, window=5).detach()
    probability = log_p(foresight, tables, states[0, 1], 0)[1]
    popular = torch.log_softmax(foresight.popularity_C, 0)[1]
    assert found.shape == (1, 2, Foresight.width)
    assert found[0, 0, 0].item() == pytest.approx(float((probability - popular).detach()), rel=1e-4)
    assert found[0, 0, 2 + len(SPANS)].item() == pytest.approx(float(probability.detach()), rel=1e-4)
    assert found[0, 1].abs().max() == 0


def test_spans_take_means_and_the_largest_of_visible_states() -> None:
    values = torch.tensor([[[1.0, 5.0, 3.0, 9.0]]])
    last, two, four, eight, largest = over_spans(values, torch.tensor([[3]]), window=50)
    assert [x.item() for x in (last, two, four, eight, largest)] == [3.0, 4.0, 3.0, 3.0, 5.0]
    assert over_spans(values, torch.tensor([[3]]), window=1)[-1].item() == 3.0


def test_it_learns_what_follows_what_at_each_horizon() -> None:
    foresight, tables = task(8)
    category = torch.tensor([[0, 1, 2] * 4])
    states = torch.nn.functional.one_hot(category, 8).float()
    mask = torch.ones(1, 12, dtype=torch.bool)
    optimizer = torch.optim.Adam([*foresight.parameters(), *tables.parameters()], lr=0.05)
    for _ in range(150):
        total, count = foresight.loss(states, {"category": category}, mask, tables)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    near, far = (log_p(foresight, tables, states[0, 0], head).exp().tolist() for head in range(len(HORIZONS)))
    assert near[1] > 0.95
    assert far == pytest.approx([2 / 8, 3 / 8, 3 / 8], abs=0.12)


def test_the_next_event_task_teaches_it_too() -> None:
    torch.manual_seed(0)
    plain, seeing = NextEvent(4), NextEvent(4, categories=3)
    tables, states = SharedTables(SIZES, 4), torch.randn(2, 3, 4)
    item = torch.tensor([[1, 2, 3], [4, 5, 1]])
    columns, mask = {"item": item, "category": item % 3}, torch.ones(2, 3, dtype=torch.bool)
    without, number = plain.loss(states, columns, mask, tables)
    total, same_number = seeing.loss(states, columns, mask, tables)
    assert number.item() == same_number.item() == 4
    assert seeing.foresight is not None
    told, count = seeing.foresight.loss(states, columns, mask, tables)
    assert total.item() == pytest.approx(without.item() + told.item() * 4 / count.item(), rel=1e-5)
    assert math.isfinite(total.item())
