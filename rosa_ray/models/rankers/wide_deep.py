"""Wide & Deep: linear logits of ids and crosses beside an MLP on embeddings (Cheng et al. 2016, arXiv 1606.07792).

The wide part crosses the ad with the history, as the paper crosses the shown app with the installed ones (§3.1): a
weight per pair of ad category and history category, hashed, and the counts of events that share the ad's item or
category, by behaviour. The deep part sees the history as the mean of its last W event embeddings.

Shape legend: B users, T events, N impressions, D width, P pairs of an impression and an event.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.embedding import (
    AdEmbedding,
    ContextEncoder,
    EventEmbedding,
    SharedTables,
    TableSizes,
    behavior_count,
)
from rosa_ray.models.heads import TaskHeads
from rosa_ray.models.history import WindowPairs, window_mask, window_mean
from rosa_ray.models.linear import FirstOrder, add_logits, zero_table
from rosa_ray.settings import section

_MULTIPLIER = 1_000_003


@section("model")
class Config:
    """Settings of Wide & Deep."""

    width: Annotated[int, Ge(1)] = 64
    """D of embeddings."""
    window: Annotated[int, Ge(1)] = 50
    """W, events before an impression that are used."""
    match_window: Annotated[int, Ge(1)] = 150
    """Events before an impression that are counted where they share its item or category."""
    hidden: tuple[Annotated[int, Ge(1)], ...] = (128, 64)
    """Widths of the head's trunk."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of units dropped in training."""
    cross_rows: Annotated[int, Ge(1)] = 65_536
    """Rows that the pairs of ad category and history category are hashed into."""
    recency: bool = True
    """Tell the head how long before the request the user's last event was."""
    learned_value: bool = True
    """False takes the catalogue price as the value of a conversion."""


class Ranker(nn.Module):
    """Linear and deep logits, trained together and added."""

    def __init__(self, config: Config, sizes: TableSizes, base_rates: Mapping[str, float]) -> None:
        super().__init__()
        self.config = config
        self.behaviors = behavior_count(sizes)
        self.tables = SharedTables(sizes, config.width)
        self.events = EventEmbedding(sizes, config.width, config.dropout)
        self.ads = AdEmbedding(sizes, config.width, config.dropout)
        self.context = ContextEncoder(sizes, config.width, config.dropout, config.recency)
        self.wide = FirstOrder(sizes, extra=2 * self.behaviors)
        self.cross = zero_table(config.cross_rows)
        self.heads = TaskHeads(
            2 * config.width + self.context.outputs,
            1,
            sizes["dense"],
            config.hidden,
            config.dropout,
            base_rates,
            config.learned_value,
        )

    @property
    def context_events(self) -> int:
        """Raw events to keep before an impression: W, or what is counted."""
        return max(self.config.window, self.config.match_window)

    def forward(self, batch: UserBatch) -> Predictions:
        """Logits of every impression of every user."""
        visible_BN, length = batch.impressions["visible"], batch.event_mask.shape[1]
        mask_BNT = window_mask(visible_BN, length, self.config.window)
        history_BND = window_mean(self.events(self.tables, batch.events), mask_BNT)
        ads_BND = self.ads(self.tables, batch.impressions)
        match = (history_BND * ads_BND).sum(-1, keepdim=True) / self.config.width**0.5
        deep = self.heads(torch.cat([history_BND, ads_BND, self.context(batch)], dim=-1), match, batch)
        matched_BNT = window_mask(visible_BN, length, self.config.match_window)
        shared = shared_counts(batch, matched_BNT, self.behaviors)
        return add_logits(deep, self.wide(batch, *shared) + self._crosses(batch))

    def _crosses(self, batch: UserBatch) -> Tensor:
        """Mean weight of the pairs (ad category, history category) of a window, (B, N, 2)."""
        visible = batch.impressions["visible"]
        pairs = WindowPairs.of(visible, batch.event_mask.shape[1], self.config.window)
        pair = pairs.ads(batch.impressions["category"]) * _MULTIPLIER + pairs.events(batch.events["category"])
        total = pairs.total(self.cross(pair % self.config.cross_rows)).unflatten(0, visible.shape)
        return total / visible.clamp(1, self.config.window)[..., None]


def shared_counts(batch: UserBatch, mask_BNT: Tensor, behaviors: int) -> list[Tensor]:
    """`log1p` of the masked events that share the ad's item, and its category; two of (B, N, behaviours)."""
    behavior = functional.one_hot(batch.events["behavior"], behaviors).float()
    same = (
        mask_BNT & (batch.impressions[name][..., None] == batch.events[name][:, None]) for name in ("item", "category")
    )
    return [torch.log1p(shared.float() @ behavior) for shared in same]
