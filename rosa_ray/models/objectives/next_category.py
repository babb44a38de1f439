"""Telling the category of the next event, among all categories."""

from collections.abc import Mapping

from torch import Tensor, nn

from rosa_ray.models.category_ahead import CategoryAhead
from rosa_ray.models.event_targets import Targets, next_event
from rosa_ray.models.objectives import EventCounts, EventRanker


def build(ranker: EventRanker, known: EventCounts) -> nn.Module:
    """A projection of its own, left behind after pre-training."""
    return CategoryAhead(ranker.tables.category.embedding_dim, known.counts["category"], _targets)


def _targets(events: Mapping[str, Tensor], mask_BT: Tensor) -> Targets:
    return next_event(mask_BT)
