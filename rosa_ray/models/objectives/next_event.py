"""Telling each user's next event from other users' events of the batch, by the ranker's own head.

This is the task that the ranker has beside clicks, see `rosa_ray.models.next_event`.
"""

import torch
from torch import Tensor, nn

from rosa_ray.models.batch import UserBatch
from rosa_ray.models.embedding import SharedTables
from rosa_ray.models.next_event import NextEvent
from rosa_ray.models.objectives import EventCounts, EventRanker


def build(ranker: EventRanker, known: EventCounts) -> nn.Module:
    """The head itself."""
    return ranker.next_event


class ByPopularity(nn.Module):
    """The same choice made by how often each item occurs, whatever the user did: a baseline.

    The other events of a batch are there as often as they are popular. So this is no better than chance.
    """

    def __init__(self, known: EventCounts) -> None:
        super().__init__()
        self.tables, self.head = SharedTables(known.sizes, 1), NextEvent(1)
        with torch.no_grad():
            self.tables.item.weight.copy_(known.counts["item"].add(1).log()[:, None])
            self.tables.category.weight.zero_()

    def forward(self, batch: UserBatch) -> Tensor:
        """Sum of the losses and their number, float32 (2, 1)."""
        states_BT1 = torch.ones((*batch.event_mask.shape, 1), device=batch.event_mask.device)
        sums = self.head.loss(states_BT1, batch.events, batch.event_mask, self.tables, batch.user)
        return torch.stack(sums)[:, None]
