"""Telling each user's next event from other users' events of the batch, by the ranker's own head.

This is the task that the ranker has beside clicks, see `rosa_ray.models.next_event`.
"""

from torch import nn

from rosa_ray.models.objectives import EventCounts, EventRanker


def build(ranker: EventRanker, known: EventCounts) -> nn.Module:
    """The head itself."""
    return ranker.next_event
