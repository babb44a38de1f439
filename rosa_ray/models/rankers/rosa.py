"""ROSA-Rec: a behaviour-aware causal encoder, cross-attention from each ad, and CTR, CVR and value heads.

Ni, Li, Zhang 2026 (doi 10.63313/JCSFT.9068), §3. The paper leaves open what a state may see. Here it sees the past
alone, so that one encoding of a timeline serves all of the user's impressions, in training and in serving.

Shape legend: B users, T events, M new events, N impressions, D width.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.boosted import Boosted
from rosa_ray.models.cross_attention import CandidateAttention
from rosa_ray.models.embedding import (
    AdEmbedding,
    ContextEncoder,
    EventEmbedding,
    SharedTables,
    TableSizes,
    behavior_count,
)
from rosa_ray.models.encoder import CausalEncoder, EncoderCache, NoEncoder, require_whole_heads
from rosa_ray.models.exact_match import ExactMatch
from rosa_ray.models.foresight import Foresight, over_spans
from rosa_ray.models.heads import TaskHeads
from rosa_ray.models.history import last_visible
from rosa_ray.models.next_event import NextEvent
from rosa_ray.models.transitions import Transitions
from rosa_ray.models.vector_likeness import VectorLikeness, item_vectors
from rosa_ray.settings import section

NOT_OF_EVENTS = (
    *("hidden", "recency", "transitions", "within_category", "prices", "boosted", "state_scale", "learned_value"),
)
"""Settings of parts that no event touches: rankers that differ in these alone share one pre-training."""

BEFORE = {"transitions": False, "within_category": False, "prices": False, "boosted": False, "state_scale": 1.0}
"""Settings of models that were written before these were known."""


@section("model")
class Config:
    """Settings of ROSA-Rec; the profiles `laptop` and `paper` are in `rosa_ray/profiles`.

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
    """W, events that an event or an ad can attend to."""
    match_window: Annotated[int, Ge(1)] = 150
    """Events before an impression that the exact match, the likeness of declared vectors and boosted trees look at. As
    many as the encoder needs raw, (L + 1)·W, are there anyway."""
    hidden: tuple[Annotated[int, Ge(1)], ...] = (128, 64)
    """Widths of the head's trunk."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of units dropped in training."""
    behavior_bias: bool = True
    """False turns the bias of keys by behaviour off, for ablations."""
    decay: bool = True
    """False turns the decay with time off, for ablations."""
    encoder: bool = True
    """False turns the encoder off, so that every state is zero, for ablations."""
    cross_attention: bool = True
    """False turns the attention from ads to states off, for ablations."""
    exact_match: bool = True
    """False turns the counts of the ad's very item and category off, for ablations."""
    shared_tables: bool = True
    """False turns one table of items for events and ads off, for ablations."""
    recency: bool = True
    """Tell the head how long before the request the user's last event was."""
    foresight: bool = False
    """Give the heads how likely the ad's category and item are to come next, by the last states."""
    transitions: bool = True
    """Tell the heads how much oftener than by chance the ad's item and category follow the last events, as counted of
    other users."""
    within_category: bool = True
    """Tell the heads how like the ad's item is to those that the user met in its category, by vectors of items that
    other users met close together. Needs `transitions`."""
    prices: bool = True
    """Tell the heads where the ad's price stands in its category, and against the prices of what the user looked at.
    Usual prices are counted of other users. Needs `transitions`."""
    boosted: bool = True
    """Blend the click and conversion logits with those of boosted trees. These are fitted after the network, on its
    training period, to counts, rates, matches, ids and what `transitions` tell. Their weights are fitted on the
    validation period."""
    field_attention: bool = False
    """Let ads attend to the item, category and behaviour of events side by side, beside the state."""
    state_scale: Annotated[float, Gt(0), Le(1)] = 0.1
    """What the heads read of states, attention and their products with the ad is multiplied by this. Some hundred
    coordinates that tell users apart are learned by heart before counts and rates are understood: on a small scale the
    heads learn to read them later (as LayerScale, Touvron et al. 2021). 1 leaves them as they are."""
    learned_value: bool = True
    """False takes the catalogue price as the value of a conversion."""

    def __post_init__(self) -> None:
        require_whole_heads(self.width, self.heads)


class Ranker(nn.Module):
    """Encode once per user, score every impression."""

    def __init__(self, config: Config, sizes: TableSizes, base_rates: Mapping[str, float]) -> None:
        super().__init__()
        self.config = config
        behaviors = behavior_count(sizes)
        self.tables = SharedTables(sizes, config.width)
        self.events = EventEmbedding(sizes, config.width, config.dropout)
        encoder = CausalEncoder if config.encoder else NoEncoder
        self.encoder = encoder(
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            window=config.window,
            dropout=config.dropout,
            behavior_bias=config.behavior_bias,
            decay=config.decay,
            behaviors=behaviors,
        )
        self.ads = AdEmbedding(sizes, config.width, config.dropout, config.shared_tables)
        self.context = ContextEncoder(sizes, config.width, config.dropout, config.recency)
        self.attention = (
            CandidateAttention(
                config.width,
                config.heads,
                config.window,
                config.behavior_bias,
                config.decay,
                behaviors,
                fields=3 if config.field_attention else 0,
            )
            if config.cross_attention
            else None
        )
        self.null_state_D = nn.Parameter(torch.randn(config.width) * config.width**-0.5)
        self.next_event = NextEvent(config.width, sizes["category"] if config.foresight else 0)
        self.exact_match = ExactMatch(config.match_window, behaviors) if config.exact_match else None
        matches = 3 + (self.attention.intensities if self.attention else 0)
        matches += self.exact_match.width if self.exact_match else 0
        likeness = VectorLikeness(sizes, config.match_window) if item_vectors(sizes) else None
        self.vector_likeness = likeness
        matches += likeness.width if likeness else 0
        matches += Foresight.width + 3 if config.foresight else 0
        self.transitions = Transitions(sizes, config.within_category, config.prices) if config.transitions else None
        matches += self.transitions.width if self.transitions else 0
        self.boosted = Boosted(sizes, config.match_window) if config.boosted else None
        self.heads = TaskHeads(
            5 * config.width + self.context.outputs,
            matches,
            sizes["dense"],
            config.hidden,
            config.dropout,
            base_rates,
            config.learned_value,
        )

    @property
    def window(self) -> int:
        """W, states before an impression that `score` looks at."""
        return self.config.window

    @property
    def width(self) -> int:
        """D of a state."""
        return self.config.width

    @property
    def score_events(self) -> int:
        """Events before an impression that `score` reads: W with their states, and those compared with the ad."""
        compares = any((self.exact_match, self.vector_likeness, self.boosted))
        reads = self.config.match_window if compares else 0
        return max(self.config.window, reads, self.transitions.reads if self.transitions else 0)

    @property
    def context_events(self) -> int:
        """Raw events to keep so that the last W states can be recomputed exactly, (L + 1)·W, or to be counted."""
        return max((self.config.layers + 1) * self.config.window, self.score_events)

    def forward(self, batch: UserBatch) -> Predictions:
        """Logits of every impression of every user."""
        states_BTD = self.encode(batch.events)
        predictions = self.score(states_BTD, batch)
        if not self.training:
            return predictions
        next_event = self.next_event.loss(states_BTD, batch.events, batch.event_mask, self.tables, batch.user)
        return replace(predictions, next_event=next_event)

    def encode(self, events: Mapping[str, Tensor]) -> Tensor:
        """States of full timelines, (B, T, D). Padding at the end changes no real state: attention is causal."""
        states: Tensor = self.encoder(self.events(self.tables, events), events)
        return states

    def empty_cache(self) -> EncoderCache:
        """Keys and values before the first event."""
        return self.encoder.empty_cache()

    def extend(self, events: Mapping[str, Tensor], cache: EncoderCache) -> tuple[Tensor, EncoderCache]:
        """States of M new events of every user, (B, M, D), and the cache that follows."""
        return self.encoder.extend(self.events(self.tables, events), events, cache)

    def score(self, states_BTD: Tensor, batch: UserBatch) -> Predictions:
        """Score impressions against given states; of the events, times, behaviours, items and categories are used.

        States of events that are more than W before an impression are not looked at.
        """
        ads_BND = self.ads(self.tables, batch.impressions)
        user_BND = last_visible(states_BTD, batch.impressions["visible"], self.null_state_D)
        interest_BND, intensity = self._interest(ads_BND, user_BND, states_BTD, batch)
        products = [self.config.state_scale * product for product in (interest_BND * ads_BND, user_BND * ads_BND)]
        likeness = [product.sum(-1) / self.config.width**0.5 for product in products]
        likeness.append(self.config.state_scale * self.next_event.likeness(user_BND, self._things(batch)))
        states = [self.config.state_scale * state_BND for state_BND in (interest_BND, user_BND)]
        interaction = torch.cat([states[0], ads_BND, states[1], *products, self.context(batch)], dim=-1)
        exact = [self.exact_match(batch.impressions, batch.events)] if self.exact_match else []
        if self.vector_likeness:
            exact.append(self.vector_likeness(batch.impressions, batch.events))
        if self.next_event.foresight:
            exact.append(self._foreseen(self.next_event.foresight, states_BTD, batch))
        followed = self.transitions(batch.impressions, batch.events, batch.fold) if self.transitions else None
        if followed is not None:
            exact.append(followed.values)
        match = torch.cat([torch.stack(likeness, dim=-1), *intensity, *exact], dim=-1)
        predictions: Predictions = self.heads(interaction, match, batch)
        return self.boosted(predictions, batch, followed) if self.boosted else predictions

    def _foreseen(self, foresight: Foresight, states_BTD: Tensor, batch: UserBatch) -> Tensor:
        visible, category = batch.impressions["visible"], batch.impressions["category"]
        told = foresight(states_BTD, visible, category, self.tables, self.config.window)
        likeness_BNT = (self._things(batch) @ self.next_event.project(states_BTD).mT).float()
        items = over_spans(likeness_BNT, visible, self.config.window)
        return torch.cat([told, torch.stack([items[1], items[3], items[4]], -1).to(told.dtype)], dim=-1)

    def _fields(self, batch: UserBatch) -> dict[str, Tensor]:
        """Item, kind, and campaign or behaviour, side by side, of ads and events."""
        if not self.config.field_attention:
            return {}
        item, kind, campaign, *_ = self.ads.fields(self.tables, batch.impressions)
        of_events = self.tables.item(batch.events["item"]), self.tables.kind(batch.events)
        behavior = self.events.behavior(batch.events["behavior"])
        return {
            "ad_fields": torch.cat([item, kind, campaign], dim=-1),
            "event_fields": torch.cat([*of_events, behavior], dim=-1),
        }

    def _things(self, batch: UserBatch) -> Tensor:
        return self.tables.item(batch.impressions["item"]) + self.tables.category(batch.impressions["category"])

    def _interest(
        self, ads_BND: Tensor, user_BND: Tensor, states_BTD: Tensor, batch: UserBatch
    ) -> tuple[Tensor, list[Tensor]]:
        if self.attention is None:
            return user_BND, []
        interest_BND, intensity = self.attention(
            ads_BND,
            states_BTD,
            ad_time_us_BN=batch.impressions["time_us"],
            state_time_us_BT=batch.events["time_us"],
            behavior_BT=batch.events["behavior"],
            visible_BN=batch.impressions["visible"],
            **self._fields(batch),
        )
        return interest_BND, [self.config.state_scale * intensity]
