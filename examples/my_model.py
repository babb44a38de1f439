"""A model of your own in one file outside the package: the mean of the last events beside the ad, and a small network.

A ranker is built from the blocks in `rosa_ray.models`. To train it, name the module in the config; every worker must be
able to import it:

    PYTHONPATH=. rosa train shop.yaml --set model.name=examples.my_model --set model.window=20

`tests/models/test_rankers.py` is the contract that every ranker passes, this one too.

Shape legend: B users, T events, N impressions, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from rosa_ray.models import Predictions, UserBatch
from rosa_ray.models.embedding import AdEmbedding, ContextEncoder, EventEmbedding, SharedTables, TableSizes
from rosa_ray.models.heads import TaskHeads
from rosa_ray.models.history import window_mask, window_mean


@dataclass(frozen=True)
class Config:
    """Settings of the model, the keys of `model:` in a config.

    Attributes:
        width: D of embeddings.
        window: events before an impression that are averaged.
        hidden: widths of the network's layers.
    """

    width: int = 32
    window: int = 50
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.1
    recency: bool = True


class Ranker(nn.Module):
    """Logits of clicks and conversions, and the log of the value, for every impression of every user."""

    def __init__(self, config: Config, sizes: TableSizes, base_rates: Mapping[str, float]) -> None:
        super().__init__()
        self.config = config
        self.tables = SharedTables(sizes, config.width)
        self.events = EventEmbedding(sizes, config.width, config.dropout)
        self.ads = AdEmbedding(sizes, config.width, config.dropout)
        self.context = ContextEncoder(sizes, config.width, config.dropout, config.recency)
        inputs = 2 * config.width + self.context.outputs
        self.heads = TaskHeads(inputs, 1, sizes["dense"], config.hidden, config.dropout, base_rates, True)

    @property
    def context_events(self) -> int:
        """Events before an impression that its score depends on."""
        return self.config.window

    def forward(self, batch: UserBatch) -> Predictions:
        """Score a batch. Only events before an impression may count: `visible` says how many those are."""
        mask_BNT = window_mask(batch.impressions["visible"], batch.event_mask.shape[1], self.config.window)
        history_BND = window_mean(self.events(self.tables, batch.events), mask_BNT)
        ads_BND = self.ads(self.tables, batch.impressions)
        match = (history_BND * ads_BND).sum(-1, keepdim=True) / self.config.width**0.5
        inputs_BND = torch.cat([history_BND, ads_BND, self.context(batch)], dim=-1)
        predictions: Predictions = self.heads(inputs_BND, match, batch)
        return predictions
