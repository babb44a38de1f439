"""Telling the categories of all events of the next 24 hours, one drawn at random in each pass.

On average over passes this is the loss of all of them (Pancha et al. 2022, PinnerFormer).
"""

from collections.abc import Mapping

from torch import Tensor, nn

from rosa_ray.models.category_ahead import CategoryAhead
from rosa_ray.models.event_targets import Targets, any_within
from rosa_ray.models.objectives import EventCounts, EventRanker
from rosa_ray.units import DAY_US


def build(ranker: EventRanker, known: EventCounts) -> nn.Module:
    """A projection of its own, left behind after pre-training."""
    return CategoryAhead(ranker.tables.category.embedding_dim, known.counts["category"], _targets)


def _targets(events: Mapping[str, Tensor], mask_BT: Tensor) -> Targets:
    return any_within(events["time_us"], mask_BT, DAY_US)
