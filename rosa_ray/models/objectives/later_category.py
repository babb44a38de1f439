"""Telling the category of the first event of a later session: what a user returns for, not what it is at."""

from collections.abc import Mapping

from torch import Tensor, nn

from rosa_ray.models.category_ahead import CategoryAhead
from rosa_ray.models.event_targets import Targets, later_session
from rosa_ray.models.objectives import EventCounts, EventRanker
from rosa_ray.units import MINUTE_US

PAUSE_MINUTES = 30
"""A longer pause ends a session, as is usual in web analytics."""


def build(ranker: EventRanker, known: EventCounts) -> nn.Module:
    """A projection of its own, left behind after pre-training."""
    return CategoryAhead(ranker.tables.category.embedding_dim, known.counts["category"], _targets)


def _targets(events: Mapping[str, Tensor], mask_BT: Tensor) -> Targets:
    return later_session(events["time_us"], mask_BT, PAUSE_MINUTES * MINUTE_US)
