"""SASRec, self-attention over the history, adapted to ads (Kang & McAuley 2018, arXiv 1808.09781).

Its blocks are the paper's (§3.2): causal self-attention and a point-wise network of two layers of width D with ReLU,
each as `x + Dropout(g(LayerNorm(x)))`. Positions are learned and relative, a logit per head and distance between two
events: absolute positions are counted from the end of a window, so that every impression would need an encoding of its
own. The state of the last event before an impression is the user. The paper ranks items by its dot product with their
embedding and learns from the next item of every prefix: that objective is the auxiliary task `NextEvent`. Here its dot
product, that with the whole ad and the elementwise one go to the heads that all rankers share.

Shape legend: B users, T events, N impressions, D width, H heads, W window.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.decay import BehaviorDecayBias
from rosa_ray.models.embedding import AdEmbedding, ContextEncoder, EventEmbedding, SharedTables, TableSizes
from rosa_ray.models.encoder import WindowAttention, require_whole_heads
from rosa_ray.models.heads import TaskHeads
from rosa_ray.models.history import last_visible
from rosa_ray.models.next_event import NextEvent
from rosa_ray.settings import section

NOT_OF_EVENTS = ("hidden", "recency", "learned_value")
"""Settings of parts that no event touches: rankers that differ in these alone share one pre-training."""


@section("model")
class Config:
    """Settings of SASRec.

    Raises:
        ConfigError: the heads do not divide the width.
    """

    width: Annotated[int, Ge(1)] = 64
    """D of embeddings and states."""
    layers: Annotated[int, Ge(1)] = 2
    """Blocks of the encoder."""
    heads: Annotated[int, Ge(1)] = 4
    """Attention heads; they share the width evenly."""
    window: Annotated[int, Ge(1)] = 50
    """W, events that an event attends to, itself included."""
    hidden: tuple[Annotated[int, Ge(1)], ...] = (128, 64)
    """Widths of the head's trunk."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of units dropped in training."""
    recency: bool = True
    """Tell the head how long before the request the user's last event was."""
    learned_value: bool = True
    """False takes the catalogue price as the value of a conversion."""

    def __post_init__(self) -> None:
        require_whole_heads(self.width, self.heads)


class PositionBias(BehaviorDecayBias):
    """A learned logit per head and distance of 0 … W - 1 events; no behaviours, no elapsed time."""

    def __init__(self, heads: int, window: int) -> None:
        super().__init__(heads, behavior_bias=False, decay=False)
        self.position_HW = nn.Parameter(torch.zeros(heads, window))

    def forward(self, elapsed_us: Tensor, key_behavior: Tensor, allowed: Tensor) -> Tensor:
        """As the base class; the last query and the last key are the same event."""
        queries, keys = allowed.shape[-2:]
        falling = torch.arange(keys - 1, -keys, -1, device=allowed.device)
        by_distance = self.position_HW[:, falling.clamp(0, self.position_HW.shape[1] - 1)]
        logits_HQK = by_distance.unfold(-1, keys, 1)[:, :queries].flip(1)
        return super().forward(elapsed_us, key_behavior, allowed) + logits_HQK.float()


class Block(nn.Module):
    """Self-attention and the point-wise network; both start silent, so that a state starts as its event."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention_norm, self.network_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        bias = PositionBias(config.heads, config.window)
        self.attention = WindowAttention(config.width, config.heads, config.window, bias)
        last = nn.Linear(config.width, config.width)
        self.network = nn.Sequential(nn.Linear(config.width, config.width), nn.ReLU(), last)
        self.dropout = nn.Dropout(config.dropout)
        for silent in (self.attention.project_out, last):
            nn.init.zeros_(silent.weight)
            nn.init.zeros_(silent.bias)

    def forward(self, x_BTD: Tensor, events: Mapping[str, Tensor]) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), events))
        return x_BTD + self.dropout(self.network(self.network_norm(x_BTD)))


class Ranker(nn.Module):
    """Encode once per user; the last state before each impression meets the ad."""

    def __init__(self, config: Config, sizes: TableSizes, base_rates: Mapping[str, float]) -> None:
        super().__init__()
        self.config = config
        self.tables = SharedTables(sizes, config.width)
        self.events = EventEmbedding(sizes, config.width, config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.null_state_D = nn.Parameter(torch.randn(config.width) * config.width**-0.5)
        self.ads = AdEmbedding(sizes, config.width, config.dropout)
        self.context = ContextEncoder(sizes, config.width, config.dropout, config.recency)
        self.next_event = NextEvent(config.width)
        self.heads = TaskHeads(
            3 * config.width + self.context.outputs,
            2,
            sizes["dense"],
            config.hidden,
            config.dropout,
            base_rates,
            config.learned_value,
        )

    @property
    def context_events(self) -> int:
        """Raw events that the last state before an impression depends on, L·(W - 1) + 1."""
        return self.config.layers * (self.config.window - 1) + 1

    def forward(self, batch: UserBatch) -> Predictions:
        """Logits of every impression of every user."""
        states_BTD = self.encode(batch.events)
        predictions = self._score(states_BTD, batch)
        if not self.training:
            return predictions
        next_event = self.next_event.loss(states_BTD, batch.events, batch.event_mask, self.tables, batch.user)
        return replace(predictions, next_event=next_event)

    def _score(self, states_BTD: Tensor, batch: UserBatch) -> Predictions:
        shown = batch.impressions
        user_BND = last_visible(states_BTD, shown["visible"], self.null_state_D)
        ads_BND = self.ads(self.tables, shown)
        product = user_BND * ads_BND
        thing_BND = self.tables.item(shown["item"]) + self.tables.category(shown["category"])
        likeness = product.sum(-1) / self.config.width**0.5, self.next_event.likeness(user_BND, thing_BND)
        interaction = torch.cat([user_BND, ads_BND, product, self.context(batch)], dim=-1)
        predictions: Predictions = self.heads(interaction, torch.stack(likeness, dim=-1), batch)
        return predictions

    def encode(self, events: Mapping[str, Tensor]) -> Tensor:
        """States of full timelines, (B, T, D); the state of an event depends on it and on those before it."""
        x_BTD = self.events(self.tables, events)
        for block in self.blocks:
            x_BTD = block(x_BTD, events)
        states: Tensor = self.norm(x_BTD)
        return states
