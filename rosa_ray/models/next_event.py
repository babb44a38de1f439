"""An auxiliary task for encoders: from the state after event j, tell event j + 1 from other users' events.

Clicks are few and timelines are long. Every event teaches the item and category tables and the encoder what follows
what, before a single ad is clicked (Kang & McAuley 2018, SASRec §III-E). Zhou et al. 2019 (DIEN §4.2) add such a loss
to a CTR model too.

Shape legend: B users, T events, M = B·T events of the batch, D width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rosa_ray.models.embedding import SharedTables
from rosa_ray.models.foresight import Foresight

NEGATIVES = 512
"""Events drawn from a batch that has more."""

_MASKED = -1e9


class NextEvent(nn.Module):
    """Scores how well things (item and category rows) follow a state."""

    def __init__(self, width: int, categories: int = 0) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        with torch.no_grad():
            self.project.weight.copy_(torch.eye(width) / width**0.5)
            self.project.bias.zero_()
        self.foresight = Foresight(width, categories) if categories else None

    def likeness(self, states: Tensor, things: Tensor) -> Tensor:
        """Logits of things (..., D) after states (..., D), up to a constant; shapes broadcast."""
        return (self.project(states) * things).sum(-1)

    def loss(
        self,
        states_BTD: Tensor,
        events: Mapping[str, Tensor],
        mask_BT: Tensor,
        tables: SharedTables,
        user_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Softmax cross-entropy of each user's next event among it and the other users' events of the batch.

        Other users' events hold popular things more often, so a logit learns how much likelier than usual a thing is
        after this state. The user's own other events are left out, or its lasting tastes would count against it.

        Args:
            user_B: equal for rows that are pieces of one user; None where every row is another user.

        Returns:
            Sum of the losses, and their number; both 0 in a batch of one user.
        """
        batch, length = mask_BT.shape
        things_BTD = tables.item(events["item"]) + tables.category(events["category"])
        user_B = torch.arange(batch, device=mask_BT.device) if user_B is None else user_B
        owner_BT = user_B[:, None].expand(batch, length)
        follows = mask_BT[:, 1:] & mask_BT[:, :-1]
        drawn = _draw(mask_BT.flatten())
        query, target = self.project(states_BTD[:, :-1][follows]), things_BTD[:, 1:][follows]
        other = owner_BT[:, 1:][follows][:, None] != owner_BT.flatten()[drawn]
        other &= events["item"][:, 1:][follows][:, None] != events["item"].flatten()[drawn]
        negative = (query @ things_BTD.flatten(0, 1)[drawn].T).float().masked_fill(~other, _MASKED)
        positive = (query * target).sum(-1).float()
        usable = other.any(1)
        loss = torch.logaddexp(positive, torch.logsumexp(negative, dim=1)) - positive
        total, number = (loss * usable).sum(), usable.sum().float()
        if self.foresight is not None:
            told, count = self.foresight.loss(states_BTD, events, mask_BT, tables)
            total = total + told * number / count.clamp_min(1)
        return total, number


def _draw(real: Tensor) -> Tensor:
    """Positions of real events, at most `NEGATIVES` of them, at random."""
    positions = real.nonzero().squeeze(1)
    return positions[torch.randperm(len(positions), device=real.device)[:NEGATIVES]]
