"""DIN: each ad weighs each behaviour of its window by a small network (Zhou et al. 2018, arXiv 1706.06978).

An event is three fields side by side (§4.2), and so is an ad: its item, its category, and all else that is said of it.
Summed, as other rankers have them, the fields hide from the unit whether an event has the ad's item or its category.
The activation unit (§4.3) reads the behaviour, its product with the ad, and the ad; their difference is left out, being
a linear combination of two of these. The weights are not normalised: their sum says how strong the interest is. The
unit uses Dice (§5.3). A behaviour also says how long before the request it was, which the paper leaves out and today's
implementations add. As in the authors' code, the heads see the plain mean of the window as well.

Shape legend: B users, T events, N impressions, K = 3·D, W window, U units, P pairs of an impression and an event.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.dice import Dice
from rosa_ray.models.embedding import (
    GAP_BUCKETS,
    AdEmbedding,
    ContextEncoder,
    EventEmbedding,
    SharedTables,
    TableSizes,
    attribute_table,
    behavior_count,
    elapsed_buckets,
)
from rosa_ray.models.exact_match import ExactMatch
from rosa_ray.models.heads import TaskHeads
from rosa_ray.models.history import WindowPairs, window_mask, window_mean
from rosa_ray.settings import section

FIELDS = 3
"""Item, category, and all else."""
STARTING_STD = 0.01
PAIRS_AT_ONCE = 1 << 16
"""Pairs of an impression and an event in one pass of the activation unit: 48 MiB for each tensor (P, K) at D = 64."""


@section("model")
class Config:
    """Settings of DIN."""

    width: Annotated[int, Ge(1)] = 64
    """D of each field."""
    window: Annotated[int, Ge(1)] = 50
    """W, events before an impression that are used."""
    match_window: Annotated[int, Ge(1)] = 150
    """Events before an impression that the exact match counts."""
    units: Annotated[int, Ge(1)] = 36
    """Hidden units of the activation unit."""
    hidden: tuple[Annotated[int, Ge(1)], ...] = (128, 64)
    """Widths of the head's trunk."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of units dropped in training."""
    exact_match: bool = False
    """True also gives the head the counts that ROSA-Rec has, to tell what they alone add."""
    recency: bool = True
    """Tell the head how long before the request the user's last event was."""
    learned_value: bool = True
    """False takes the catalogue price as the value of a conversion."""


class ActivationUnit(nn.Module):
    """How much a behaviour matters to an ad: [behaviour, behaviour ⊙ ad, ad] → U units with Dice → one weight.

    It starts close to 1 / W for every pair, so that the sum over a window starts close to the mean.
    """

    def __init__(self, fields: int, units: int, window: int) -> None:
        super().__init__()
        self.pair = nn.Linear(2 * fields, units)
        self.ad = nn.Linear(fields, units, bias=False)
        self.dice = Dice(units)
        self.weight = nn.Linear(units, 1)
        nn.init.normal_(self.weight.weight, std=STARTING_STD)
        nn.init.constant_(self.weight.bias, 1 / window)

    def forward(self, behavior_PK: Tensor, ad_PK: Tensor, ad_PU: Tensor) -> Tensor:
        """Weights (P, 1), of any sign and size; `ad_PU` is `self.ad` of the ads, computed once per ad."""
        hidden_PU = self.pair(torch.cat([behavior_PK, behavior_PK * ad_PK], dim=-1)) + ad_PU
        weight: Tensor = self.weight(self.dice(hidden_PU))
        return weight


class Ranker(nn.Module):
    """Weigh every window for every ad, score what comes out."""

    def __init__(self, config: Config, sizes: TableSizes, base_rates: Mapping[str, float]) -> None:
        super().__init__()
        self.config = config
        self.tables = SharedTables(sizes, config.width)
        self.events = EventEmbedding(sizes, config.width, config.dropout)
        self.elapsed = attribute_table(GAP_BUCKETS, config.width)
        self.activation = ActivationUnit(FIELDS * config.width, config.units, config.window)
        self.ads = AdEmbedding(sizes, config.width, config.dropout)
        self.context = ContextEncoder(sizes, config.width, config.dropout, config.recency)
        self.exact_match = ExactMatch(config.match_window, behavior_count(sizes)) if config.exact_match else None
        matches = 3 + (self.exact_match.width if self.exact_match else 0)
        inputs = 5 * FIELDS * config.width + self.context.outputs
        self.heads = TaskHeads(
            inputs, matches, sizes["dense"], config.hidden, config.dropout, base_rates, config.learned_value
        )

    @property
    def context_events(self) -> int:
        """Raw events to keep before an impression: W, or what the exact match counts."""
        return max(self.config.window, self.config.match_window if self.config.exact_match else 0)

    def forward(self, batch: UserBatch) -> Predictions:
        """Logits of every impression of every user."""
        events_BTK, ads_BNK = self._side_by_side(batch)
        mask_BNT = window_mask(batch.impressions["visible"], events_BTK.shape[1], self.config.window)
        history_BNK = window_mean(events_BTK, mask_BNT)
        interest_BNK, strength_BN1 = self._interest(events_BTK, ads_BNK, batch)
        products = interest_BNK * ads_BNK, history_BNK * ads_BNK
        likeness = torch.stack([product.sum(-1) / self.config.width**0.5 for product in products], dim=-1)
        interaction = torch.cat([interest_BNK, ads_BNK, history_BNK, *products, self.context(batch)], dim=-1)
        exact = [self.exact_match(batch.impressions, batch.events)] if self.exact_match else []
        match = torch.cat([likeness, strength_BN1, *exact], dim=-1)
        predictions: Predictions = self.heads(interaction, match, batch)
        return predictions

    def _side_by_side(self, batch: UserBatch) -> tuple[Tensor, Tensor]:
        """Fields of the events, (B, T, K), and of the ads, (B, N, K), in the same order."""
        item, category, behavior, when = self.events.fields(self.tables, batch.events)
        events_BTK = torch.cat([item, category, behavior + when], dim=-1)
        item, category, *offer = self.ads.fields(self.tables, batch.impressions)
        return events_BTK, torch.cat([item, category, self.ads.norm(sum(offer))], dim=-1)

    def _interest(self, events_BTK: Tensor, ads_BNK: Tensor, batch: UserBatch) -> tuple[Tensor, Tensor]:
        """Weighted sums of the windows, (B, N, K), and sums of the weights, (B, N, 1).

        More than `PAIRS_AT_ONCE` pairs are worked off in parts, which are computed again on the way back: memory stays
        bounded for users with thousands of impressions, and Dice then takes its statistics from each part.
        """
        visible_BN = batch.impressions["visible"]
        parts = WindowPairs.of(visible_BN, events_BTK.shape[1], self.config.window).split(PAIRS_AT_ONCE)
        if len(parts) == 1:
            total = self._part(parts[0], events_BTK, ads_BNK, batch)
        else:
            totals = [checkpoint(self._part, part, events_BTK, ads_BNK, batch, use_reentrant=False) for part in parts]
            total = torch.stack(totals).sum(0)
        interest_BNK, strength_BN1 = total.unflatten(0, visible_BN.shape).split([FIELDS * self.config.width, 1], dim=-1)
        return interest_BNK, strength_BN1

    def _part(self, pairs: WindowPairs, events_BTK: Tensor, ads_BNK: Tensor, batch: UserBatch) -> Tensor:
        """Sums of `[weight · behaviour, weight]` over some pairs, (B·N, K + 1)."""
        elapsed_us = pairs.ads(batch.impressions["time_us"]) - pairs.events(batch.events["time_us"])
        elapsed_PK = functional.pad(self.elapsed(elapsed_buckets(elapsed_us)), ((FIELDS - 1) * self.config.width, 0))
        behavior_PK = pairs.events(events_BTK) + elapsed_PK
        weight_P1 = self.activation(behavior_PK, pairs.ads(ads_BNK), pairs.ads(self.activation.ad(ads_BNK)))
        return pairs.total(torch.cat([weight_P1 * behavior_PK, weight_P1], dim=-1))
