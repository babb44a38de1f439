"""DeepFM: a factorization machine and an MLP on the same embeddings (Guo et al. 2017, arXiv 1703.04247).

The fields are the ad's item, category, campaign, bid and price bucket, the request's device, region, hour, weekday and
dense features, and the history, a multi-valued field: the mean of its last W event embeddings.

Shape legend: B users, T events, N impressions, D width.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.embedding import AdEmbedding, ContextEncoder, EventEmbedding, SharedTables, TableSizes
from rosa_ray.models.heads import TaskHeads
from rosa_ray.models.history import window_mask, window_mean
from rosa_ray.models.linear import FirstOrder, add_logits
from rosa_ray.settings import section


@section("model")
class Config:
    """Settings of DeepFM."""

    width: Annotated[int, Ge(1)] = 64
    """D of embeddings."""
    window: Annotated[int, Ge(1)] = 50
    """W, events before an impression that are used."""
    hidden: tuple[Annotated[int, Ge(1)], ...] = (128, 64)
    """Widths of the head's trunk."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of units dropped in training."""
    recency: bool = True
    """Tell the head how long before the request the user's last event was."""
    learned_value: bool = True
    """False takes the catalogue price as the value of a conversion."""


class Ranker(nn.Module):
    """First-order, second-order and deep logits, added.

    The second-order part enters the heads as D match scalars and their sum, the scalar of the paper: with several
    tasks on one set of embeddings, each task weighs the coordinates of the machine for itself.
    """

    def __init__(self, config: Config, sizes: TableSizes, base_rates: Mapping[str, float]) -> None:
        super().__init__()
        self.config = config
        self.tables = SharedTables(sizes, config.width)
        self.events = EventEmbedding(sizes, config.width, config.dropout)
        self.ads = AdEmbedding(sizes, config.width, config.dropout)
        self.context = ContextEncoder(sizes, config.width, config.dropout, config.recency, own_width=config.width)
        self.first_order = FirstOrder(sizes)
        self.heads = TaskHeads(
            2 * config.width + self.context.outputs,
            config.width + 2,
            sizes["dense"],
            config.hidden,
            config.dropout,
            base_rates,
            config.learned_value,
        )

    @property
    def context_events(self) -> int:
        """Raw events to keep before an impression: W."""
        return self.config.window

    def forward(self, batch: UserBatch) -> Predictions:
        """Logits of every impression of every user."""
        mask_BNT = window_mask(batch.impressions["visible"], batch.event_mask.shape[1], self.config.window)
        history_BND = window_mean(self.events(self.tables, batch.events), mask_BNT)
        ad_fields, context_fields = self.ads.fields(self.tables, batch.impressions), self.context.fields(batch)
        ads_BND = self.ads.join(ad_fields)
        crossed_BND = pairwise_products([*ad_fields, *context_fields, history_BND])
        scalars = torch.stack([crossed_BND.sum(-1), (history_BND * ads_BND).sum(-1)], dim=-1)
        match = torch.cat([crossed_BND, scalars / self.config.width**0.5], dim=-1)
        deep = torch.cat([history_BND, ads_BND, self.context.join(context_fields)], dim=-1)
        return add_logits(self.heads(deep, match, batch), self.first_order(batch))


def pairwise_products(fields: list[Tensor]) -> Tensor:
    """Sum over all pairs of fields of their elementwise product, in time linear in the fields (Rendle 2010, eq. 5).

    Args:
        fields: vectors (..., D).

    Returns:
        (..., D); its sum over D is the second-order term of a factorization machine.

    >>> pairwise_products([torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0])])
    tensor([11.])
    """
    total, squares = fields[0], fields[0] ** 2
    for field in fields[1:]:
        total, squares = total + field, squares + field**2
    return (total**2 - squares) / 2
