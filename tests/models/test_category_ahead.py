import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rosa_ray.models.embedding import SharedTables
from rosa_ray.models.history_readings import WIDTH
from rosa_ray.models.objectives import EventCounts, build_objective
from rosa_ray.units import MINUTE_US

SIZES = {"item": 6, "category": 4}
COUNTS = {"item": torch.ones(6, dtype=torch.int64), "category": torch.tensor([0, 2, 2, 4])}
NAMES = ["next_category", "day_category"]


def objective(name: str, width: int = 4) -> tuple[nn.Module, SharedTables]:
    torch.manual_seed(0)
    tables = SharedTables(SIZES, width)
    ranker = SimpleNamespace(tables=tables, next_event=None, encode=None)
    return build_objective(name, ranker, EventCounts(SIZES, COUNTS)), tables  # type: ignore[arg-type]


def timeline(categories: list[int], minutes: list[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    category = torch.tensor([categories])
    events = {"category": category, "item": category, "time_us": torch.tensor([minutes]) * MINUTE_US}
    return events, torch.ones(1, len(categories), dtype=torch.bool)


@pytest.mark.parametrize(("name", "asked"), [("next_category", [2, 1, 3]), ("day_category", [2, 1])])
def test_which_categories_are_asked_for(name: str, asked: list[int]) -> None:
    """Events at -10, 0, 20 and 50 hours; states that say nothing leave popularity."""
    module, tables = objective(name)
    events, mask = timeline([3, 2, 1, 3], [-10 * 60, 0, 20 * 60, 50 * 60])
    total, number = module.loss(torch.zeros(1, 4, 4), events, mask, tables)
    share = {1: 0.25, 2: 0.25, 3: 0.5}
    assert number.item() == len(asked)
    assert total.item() == pytest.approx(-sum(math.log(share[one]) for one in asked), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_users_without_events_teach_nothing(name: str) -> None:
    module, tables = objective(name)
    events, mask = timeline([3, 2, 1, 3], [0, 45, 90, 135])
    states = torch.randn(1, 4, 4)
    shorter = mask.clone()
    shorter[0, 2:] = False
    cut = module.loss(states, events, shorter, tables)
    alone = module.loss(states[:, :2], {key: value[:, :2] for key, value in events.items()}, mask[:, :2], tables)
    assert [value.item() for value in cut] == pytest.approx([value.item() for value in alone])
    total, number = module.loss(states, events, torch.zeros_like(mask), tables)
    total.backward()
    assert number.item() == 0
    assert all(value.grad is not None for value in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_what_leads_where_and_scores_say_so(name: str) -> None:
    """Category 1 leads to 2, and 2 to 1; half an hour and more apart, so that all horizons see it."""
    module, tables = objective(name, width=8)
    events, mask = timeline([1, 2, 1, 2, 3, 3, 3, 3], [at * 40 for at in range(8)])
    if name == "day_category":
        events["time_us"] *= 30
    optimizer = torch.optim.Adam([*module.parameters(), *tables.parameters()], lr=0.03)
    for _ in range(80):
        total, number = module.loss(tables.category(events["category"]), events, mask, tables)
        optimizer.zero_grad()
        (total / number).backward()
        optimizer.step()
    shown = {"category": torch.tensor([[1, 2, 3]]), "visible": torch.tensor([[1, 1, 1]])}
    shown["time_us"] = events["time_us"][:, :1].expand(1, 3)
    scores = module.scores(tables.category(events["category"]), events, shown, tables).detach()
    assert scores.shape == (1, 3, WIDTH)
    own, led_to, other = scores[0, :, 0]
    assert led_to > math.log(2) > 0 > own
    assert led_to > other
