from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.models import build_ranker
from rosa_ray.models.objectives import EventCounts, build_objective
from rosa_ray.models.requests_of_events import REQUESTS, EventRequests
from rosa_ray.units import HOUR_US

SIZES = {"item": 8, "category": 8, "campaign": 2, "device": 2, "region": 2, "money": 3, "dense": 2}
RATES = {"ctr": 0.1, "cvr": 0.1, "log_value": 1.0, "revenue_per_cost": 1.0}
CONFIG = {"width": 8, "layers": 1, "heads": 2, "window": 4, "hidden": (8,), "dropout": 0.0}

Built = tuple[nn.Module, nn.Module]


@pytest.fixture
def build() -> Callable[..., Built]:
    def built(name: str = "rosa", **config: object) -> Built:
        torch.manual_seed(0)
        ranker = build_ranker(name, CONFIG | config, SIZES, RATES)
        counts = {table: torch.ones(8, dtype=torch.int64) for table in ("item", "category")}
        return ranker, build_objective("candidates", ranker, EventCounts(SIZES, counts))  # type: ignore[arg-type]

    return built


def timelines(items: list[list[int]], lengths: list[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    item = torch.tensor(items)
    time_us = (1 + torch.arange(item.shape[1])) * HOUR_US
    columns = {name: torch.zeros_like(item) for name in ("behavior", "gap", "hour", "weekday")}
    events = {"item": item, "category": item, "time_us": time_us.expand(item.shape).contiguous(), **columns}
    return events, torch.arange(item.shape[1]) < torch.tensor(lengths)[:, None]


def test_requests_ask_for_real_events_and_offer_those_of_others() -> None:
    torch.manual_seed(1)
    events, mask = timelines([[1, 2, 3, 4], [5, 6, 7, 0], [0, 0, 0, 0]], [4, 3, 0])
    for _ in range(20):
        requests = EventRequests.draw(events, mask, torch.tensor([7, 8, 9]))
        shown = requests.candidates(events)
        assert requests.real_BP.tolist() == [[True] * REQUESTS] * 2 + [[False] * REQUESTS]
        assert (requests.position_BP < torch.tensor([[4], [3], [1]])).all()
        first = shown["item"].view(requests.wrong_BPK.shape)[..., 0]
        assert torch.equal(first, events["item"].gather(1, requests.position_BP))
        offered = requests.drawn_BPK[:2, :, 1:]
        assert mask.flatten()[offered].all()
        same_user = offered // 4 == torch.arange(2)[:, None, None]
        assert torch.equal(same_user, requests.wrong_BPK[:2, :, 1:])
        assert not requests.wrong_BPK[..., 0].any()


def test_pieces_of_one_user_and_the_very_item_are_no_negatives(build: Callable[..., Built]) -> None:
    ranker, objective = build()
    for items, users in (([[1, 2], [3, 4]], [5, 5]), ([[1, 1], [1, 1]], [5, 6])):
        events, mask = timelines(items, [2, 2])
        total, number = objective.loss(ranker.encode(events), events, mask, ranker.tables, torch.tensor(users))
        assert [total.item(), number.item()] == [0, 0]


def test_an_empty_batch_has_gradients_of_all_that_is_trained(build: Callable[..., Built]) -> None:
    ranker, objective = build()
    events, mask = timelines([[0]], [0])
    total, number = objective.loss(ranker.encode(events), events, mask, ranker.tables)
    total.backward()
    assert number.item() == 0
    trained = [*objective.parameters(), *ranker.attention.parameters(), *ranker.tables.parameters()]
    assert all(value.grad is not None for value in trained)
    assert all(value.grad is None for value in ranker.heads.parameters())


def test_the_tower_is_its_own_and_the_attention_is_the_rankers(build: Callable[..., Built]) -> None:
    ranker, objective = build()
    own = {id(value) for value in objective.parameters()}
    assert not own & {id(value) for value in ranker.parameters()}


def test_candidates_see_no_event_from_their_moment_on(build: Callable[..., Built]) -> None:
    ranker, objective = build()
    events, _ = timelines([[1, 2, 3, 4, 5]], [5])
    shown = {"item": torch.tensor([[6, 7]]), "category": torch.tensor([[6, 7]])}
    shown |= {"time_us": torch.full((1, 2), 3 * HOUR_US), "visible": torch.tensor([[2, 2]])}
    states = ranker.encode(events)
    changed = states.clone()
    changed[:, 2:] = 100.0
    before, after = (objective.scores(each, events, shown, ranker.tables) for each in (states, changed))
    assert torch.equal(before, after)


@pytest.mark.parametrize(("name", "config"), [("rosa", {}), ("rosa", {"cross_attention": False}), ("sasrec", {})])
def test_it_learns_what_leads_where(build: Callable[..., Built], name: str, config: dict[str, object]) -> None:
    """Of four kinds of users, each goes back and forth between two things; after four events the first comes again."""
    ranker, objective = build(name, **config)
    pairs = np.array([[0, 1], [2, 3], [4, 5], [6, 7]])
    events, mask = timelines(np.tile(pairs, (4, 3)).tolist(), [6] * 16)
    optimizer = torch.optim.Adam([*ranker.parameters(), *objective.parameters()], 0.02)
    for _ in range(60):
        total, number = objective.loss(ranker.encode(events), events, mask, ranker.tables)
        optimizer.zero_grad()
        (total / number).backward()
        optimizer.step()
    shown = {key: torch.arange(8).expand(16, 8) for key in ("item", "category")}
    shown |= {"time_us": torch.full((16, 8), 5 * HOUR_US), "visible": torch.full((16, 8), 4)}
    scores = objective.scores(ranker.eval().encode(events), events, shown, ranker.tables)[..., 0]
    pair = torch.from_numpy(np.tile(pairs, (4, 1)))
    best_other = scores.scatter(1, pair, -torch.inf).amax(1)
    assert (scores.gather(1, pair[:, :1])[:, 0] > best_other + 1).all()
