import math

import pytest
import torch

from rosa_ray.models.exact_match import HALF_LIVES_HOURS, ExactMatch
from rosa_ray.schema import Behavior
from rosa_ray.units import HOUR_US


def counts(match: ExactMatch, shown: dict, events: dict) -> torch.Tensor:
    """Counts as (half-life, kind, behaviour) of the first ad."""
    read = match(
        {name: torch.tensor([values]) for name, values in shown.items()},
        {name: torch.tensor([values]) for name, values in events.items()},
    )
    return torch.expm1(read[0, 0]).view(len(HALF_LIVES_HOURS), 2, len(Behavior)).detach()


def test_counts_by_hand() -> None:
    """A view of the very item one hour ago and a cart of its category twelve hours ago; the last event is not seen."""
    events = {
        "time_us": [0, 11 * HOUR_US, 13 * HOUR_US],
        "item": [8, 7, 7],
        "category": [3, 3, 3],
        "behavior": [int(Behavior.CART), int(Behavior.VIEW), int(Behavior.VIEW)],
    }
    shown = {"time_us": [12 * HOUR_US], "visible": [2], "item": [7], "category": [3]}
    found = counts(ExactMatch(window=50), shown, events)
    fresh = [[math.exp2(-hours / half_life) for hours in (1, 12)] for half_life in HALF_LIVES_HOURS]
    item, category = found[:, 0], found[:, 1]
    assert item[:, Behavior.VIEW].tolist() == pytest.approx([view for view, _ in fresh], rel=1e-5)
    assert category[:, Behavior.VIEW].tolist() == pytest.approx([view for view, _ in fresh], rel=1e-5)
    assert category[:, Behavior.CART].tolist() == pytest.approx([cart for _, cart in fresh], rel=1e-5)
    assert float(item[:, Behavior.CART].sum() + found[..., Behavior.PURCHASE].sum()) == 0


def test_only_the_last_window_of_events_counts() -> None:
    events = {"time_us": [0, 1, 2], "item": [5, 5, 6], "category": [1, 1, 2], "behavior": [0, 0, 0]}
    shown = {"time_us": [3], "visible": [3], "item": [5], "category": [1]}
    whole, short = (counts(ExactMatch(window), shown, events)[:, 0, 0] for window in (3, 2))
    assert whole.tolist() == pytest.approx([2.0] * 4, rel=1e-4)
    assert short.tolist() == pytest.approx([1.0] * 4, rel=1e-4)
