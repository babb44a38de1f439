"""What pre-training trains: the parts of a ranker that events touch, and its objectives.

No ad is looked at. Cross-attention, heads and the tables of ads alone stay where they start.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rosa_ray.models.batch import UserBatch
from rosa_ray.models.objectives import EventRanker

RANKER = "ranker."
"""Prefix of the ranker's own tensors in the state of an `EventModel`."""


class EventModel(nn.Module):
    """The losses of all objectives on one encoding of the timelines.

    Args:
        ranker: an `nn.Module`; see `require_event_ranker`.
        objectives: by name, see `build_objective`.
    """

    def __init__(self, ranker: EventRanker, objectives: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.ranker = ranker
        self.objectives = nn.ModuleDict(dict(objectives))

    def forward(self, batch: UserBatch) -> Tensor:
        """Sums of the losses and their numbers, float32 (2, objectives)."""
        return self.losses(self.ranker.encode(batch.events), batch)

    def losses(self, states_BTD: Tensor, batch: UserBatch) -> Tensor:
        """The same after given states."""
        tables = self.ranker.tables
        found = [
            objective.loss(states_BTD, batch.events, batch.event_mask, tables, batch.user)  # type: ignore[operator]
            for objective in self.objectives.values()
        ]
        return torch.stack([torch.stack([one[side].float() for one in found]) for side in (0, 1)])

    def blank_losses(self, batch: UserBatch) -> Tensor:
        """The same after states that say nothing: what can be told without any history."""
        size = (*batch.event_mask.shape, self.ranker.tables.item.embedding_dim)
        return self.losses(self.ranker.tables.item.weight.new_zeros(size), batch)

    def freeze_untouched(self, batch: UserBatch) -> tuple[str, ...]:
        """Leave what no event touches out of training.

        Args:
            batch: any users, also one without events.

        Returns:
            Names of the ranker's parameters that are trained, without `RANKER`.
        """
        self.zero_grad(set_to_none=True)
        self(batch)[0].sum().backward()
        touched = {name for name, value in self.named_parameters() if value.grad is not None}
        for name, value in self.named_parameters():
            value.grad = None
            value.requires_grad_(name in touched)
        return tuple(sorted(name.removeprefix(RANKER) for name in touched if name.startswith(RANKER)))
