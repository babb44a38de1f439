import math

import pytest
import torch

from rosa_ray.models.embedding import SharedTables
from rosa_ray.models.next_event import NextEvent

SIZES = {"item": 6, "category": 3}


def task(width: int = 4) -> tuple[NextEvent, SharedTables]:
    torch.manual_seed(0)
    return NextEvent(width), SharedTables(SIZES, width)


def events(items: list[list[int]]) -> dict[str, torch.Tensor]:
    item = torch.tensor(items)
    return {"item": item, "category": item % 3}


def test_one_pair_against_one_other_user_by_hand() -> None:
    """User 0 goes from item 1 to item 2; of user 1 only item 3 is real, so it is the one negative that counts."""
    module, tables = task()
    columns = events([[1, 2], [3, 0]])
    mask = torch.tensor([[True, True], [True, False]])
    states = torch.randn(2, 2, 4)
    total, count = module.loss(states, columns, mask, tables)
    thing = tables.item(columns["item"]) + tables.category(columns["category"])
    query = module.project(states[0, 0])
    expected = math.log(1 + math.exp(float((query @ (thing[1, 0] - thing[0, 1])).detach())))
    assert count.item() == 1
    assert total.item() == pytest.approx(expected, rel=1e-5)


def test_users_alone_and_equal_items_teach_nothing() -> None:
    module, tables = task()
    alone = module.loss(torch.randn(1, 3, 4), events([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool), tables)
    same = module.loss(torch.randn(2, 2, 4), events([[1, 2], [2, 2]]), torch.ones(2, 2, dtype=torch.bool), tables)
    assert [value.item() for value in alone] == [0, 0]
    assert same[1].item() == 1  # only user 1's step to item 2 has user 0's item 1 as a negative
    assert torch.isfinite(same[0])


def test_padding_holds_no_pair_and_is_no_negative() -> None:
    module, tables = task()
    states = torch.randn(2, 4, 4)
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    wild = events([[1, 2, 5, 5], [3, 4, 1, 5]])
    calm = events([[1, 2, 0, 0], [3, 4, 1, 0]])
    found = [module.loss(states, columns, mask, tables)[0].item() for columns in (wild, calm)]
    assert found[0] == pytest.approx(found[1])
    assert module.loss(states, calm, mask, tables)[1].item() == 3


def test_it_learns_what_follows_what() -> None:
    module, tables = task(8)
    columns = events([[0, 1, 0, 1], [2, 3, 2, 3], [4, 5, 4, 5]])
    mask = torch.ones(3, 4, dtype=torch.bool)
    optimizer = torch.optim.Adam([*module.parameters(), *tables.parameters()], lr=0.05)
    for _ in range(60):
        total, count = module.loss(tables.item(columns["item"]), columns, mask, tables)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    thing = tables.item.weight + tables.category(torch.arange(6) % 3)
    likeness = module.likeness(tables.item.weight[:, None], thing).detach()
    for item, follower in ((0, 1), (2, 3), (4, 5)):
        others = [other for other in range(6) if other not in (item, follower)]
        assert likeness[item, follower] > likeness[item, others].max() + 2


def test_pieces_of_one_user_are_not_told_apart() -> None:
    module, tables = task()
    states, columns = torch.randn(3, 2, 4), events([[1, 2], [3, 4], [5, 1]])
    whole = torch.ones(3, 2, dtype=torch.bool)
    one_user = module.loss(states, columns, whole, tables, torch.tensor([0, 0, 0]))
    assert [value.item() for value in one_user] == [0, 0]
    plain, named = (module.loss(states, columns, whole, tables, user) for user in (None, torch.tensor([7, 3, 5])))
    assert torch.equal(plain[0], named[0])
