"""What the last states lead to: the probability that an ad's category and item come next, as scalars for the heads.

A user who looks at tents may click an ad for stoves, though it never met one. A state tells the next events of other
users, so it tells how likely an ad's category is to follow, against how popular it is (pointwise mutual information,
Church & Hanks 1990). One softmax over the categories serves all ads of a request: it depends on states alone.

Shape legend: B users, T events, N ads, D width, C rows of the category table.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.models.embedding import SharedTables

HORIZONS = (1, 8)
"""Events ahead that a head of its own tells: the very next one, and any of the next few."""

SPANS = (2, 4, 8)
"""Last states over which likeness is averaged, beside the very last."""

_LEAST = -8.0


class Foresight(nn.Module):
    """Tells the categories of the next events from a state, per horizon.

    Args:
        categories: C, rows of the category table.

    Attributes:
        width: scalars of an ad.
    """

    width = len(HORIZONS) * (3 + len(SPANS))

    def __init__(self, width: int, categories: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(width, width) for _ in HORIZONS)
        self.popularity_C = nn.Parameter(torch.zeros(categories))
        for project in self.project:
            assert isinstance(project, nn.Linear)
            with torch.no_grad():
                project.weight.copy_(torch.eye(width) / width**0.5)
                project.bias.zero_()

    def loss(
        self, states_BTD: Tensor, events: Mapping[str, Tensor], mask_BT: Tensor, tables: SharedTables
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the categories that follow, among all categories.

        Returns:
            Sum over the events of their mean loss of the horizons, and the number of events that another follows.
        """
        category_BT, total = events["category"], states_BTD.new_zeros((), dtype=torch.float32)
        for horizon, project in zip(HORIZONS, self.project, strict=True):
            log_p = functional.log_softmax(self._logits(project, states_BTD, tables), dim=-1)
            ahead = [step for step in range(1, horizon + 1) if step < mask_BT.shape[1]]
            lost = states_BTD.new_zeros(mask_BT.shape, dtype=torch.float32)
            seen = torch.zeros_like(lost)
            for step in ahead:
                follows = (mask_BT[:, step:] & mask_BT[:, :-step]).float()
                told = log_p[:, :-step].gather(-1, category_BT[:, step:, None]).squeeze(-1)
                lost[:, :-step] -= told * follows
                seen[:, :-step] += follows
            total = total + (lost / seen.clamp_min(1)).sum() / len(HORIZONS)
        return total, (mask_BT[:, 1:] & mask_BT[:, :-1]).sum().float()

    def forward(
        self, states_BTD: Tensor, visible_BN: Tensor, category_BN: Tensor, tables: SharedTables, window: int
    ) -> Tensor:
        """Scalars of ads, (B, N, `width`), 0 without a history.

        Args:
            visible_BN: number of events before each ad.
            window: states before an ad that may be looked at.
        """
        things_BND = tables.category(category_BN)
        popular_BN = functional.log_softmax(self.popularity_C.float(), dim=0)[category_BN]
        scalars = []
        for project in self.project:
            logits = self._logits(project, states_BTD, tables)
            likeness_BNT = (things_BND @ project(states_BTD).mT).float()
            log_p_BNT = likeness_BNT + self.popularity_C[category_BN][..., None] - torch.logsumexp(logits, -1)[:, None]
            scalars += over_spans(log_p_BNT - popular_BN[..., None], visible_BN, window)
            scalars.append(over_spans(log_p_BNT, visible_BN, window)[0])
        return torch.stack(scalars, dim=-1).to(states_BTD.dtype)

    def _logits(self, project: nn.Module, states_BTD: Tensor, tables: SharedTables) -> Tensor:
        logits: Tensor = project(states_BTD) @ tables.category.weight.T.to(states_BTD.dtype)
        return logits.float() + self.popularity_C.float()


def over_spans(values_BNT: Tensor, visible_BN: Tensor, window: int) -> list[Tensor]:
    """Of the last state, means over the last few, and their largest; each (B, N), 0 without a history."""
    lags = torch.arange(1, min(max(SPANS), window) + 1, device=visible_BN.device)
    place_BNK = visible_BN[..., None] - lags
    there_BNK = place_BNK >= 0
    last_BNK = values_BNT.gather(-1, place_BNK.clamp_min(0)).clamp_min(_LEAST)
    known = there_BNK.float()
    means = [(last_BNK * known)[..., :span].sum(-1) / known[..., :span].sum(-1).clamp_min(1) for span in (1, *SPANS)]
    largest = last_BNK.masked_fill(~there_BNK, _LEAST).amax(-1) * there_BNK[..., 0]
    return [*means, largest]
