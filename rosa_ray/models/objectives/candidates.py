"""Telling the event that came from events of other users, in the way ads are scored: each is a candidate of a request.

Other objectives teach the encoder and the tables; how candidates attend to states, and how fast an event fades, is left
to a few thousand clicks. Here moments of timelines are requests. Their candidates are the event that came, and events
of other users, so popular things come as often on both sides. Attention, its decay and its null token are those of
the ranker, and see the states before the moment, as of the moment. What they say is read by a small tower, which is
left behind.

Shape legend: B users, T events, P requests of a user, K candidates of a request, N = P · K, M events of the batch,
D width.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from rosa_ray.models.embedding import AdEmbedding, SharedTables
from rosa_ray.models.history import last_visible
from rosa_ray.models.objectives import EventCounts, EventRanker
from rosa_ray.models.requests_of_events import EventRequests

_TOWER_UNITS = 32
_MASKED = -1e9


def build(ranker: EventRanker, known: EventCounts) -> nn.Module:
    """A tower on the signals of the ranker."""
    return Candidates(ranker)


class Candidates(nn.Module):
    """A tower that reads how well candidates match the history.

    Args:
        ranker: its parts are trained, and stay its own.
    """

    def __init__(self, ranker: EventRanker) -> None:
        super().__init__()
        # In a tuple, or its tensors would be those of the objective too.
        self._ranker = (ranker,)
        attention = getattr(ranker, "attention", None)
        signals = 3 + (attention.intensities if attention else 0)
        self.direct = nn.Linear(signals, 1, bias=False)
        self.tower = nn.Sequential(
            nn.LayerNorm(signals), nn.Linear(signals, _TOWER_UNITS), nn.GELU(), nn.Linear(_TOWER_UNITS, 1, bias=False)
        )
        nn.init.zeros_(self.direct.weight)

    def loss(
        self,
        states_BTD: Tensor,
        events: Mapping[str, Tensor],
        mask_BT: Tensor,
        tables: SharedTables,
        user_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the event that came among the candidates; see `Objective`."""
        requests = EventRequests.draw(events, mask_BT, user_B)
        signals_BNS = self.signals(states_BTD, events, requests.candidates(events), tables)
        logits_BN = (self.direct(signals_BNS) + self.tower(signals_BNS)).squeeze(-1).float()
        logits_BPK = logits_BN.view(*requests.wrong_BPK.shape).masked_fill(requests.wrong_BPK, _MASKED)
        loss_BP = torch.logsumexp(logits_BPK, -1) - logits_BPK[..., 0]
        usable_BP = requests.real_BP & ~requests.wrong_BPK[..., 1:].all(-1)
        return (loss_BP * usable_BP).sum(), usable_BP.sum().float()

    def signals(
        self, states_BTD: Tensor, events: Mapping[str, Tensor], shown: Mapping[str, Tensor], tables: SharedTables
    ) -> Tensor:
        """How well candidates match the history, (B, N, signals): likenesses, and how strongly events answer.

        Args:
            shown: item, category, time_us and visible of the candidates, each (B, N).
        """
        ranker = self._ranker[0]
        ads_BND = cast(AdEmbedding, ranker.ads).of_things(tables, shown)  # type: ignore[attr-defined]
        null_D = cast(Tensor, ranker.null_state_D)  # type: ignore[attr-defined]
        user_BND = last_visible(states_BTD, shown["visible"], null_D)
        things_BND = tables.item(shown["item"]) + tables.category(shown["category"])
        scale = ads_BND.shape[-1] ** -0.5
        likeness = [(user_BND * ads_BND).sum(-1) * scale, ranker.next_event.likeness(user_BND, things_BND)]
        attention = getattr(ranker, "attention", None)
        if attention is None:
            return torch.stack([likeness[0], *likeness], dim=-1)
        interest_BND, intensity_BNS = attention(
            ads_BND,
            states_BTD,
            ad_time_us_BN=shown["time_us"],
            state_time_us_BT=events["time_us"],
            behavior_BT=events["behavior"],
            visible_BN=shown["visible"],
        )
        likeness.append((interest_BND * ads_BND).sum(-1) * scale)
        return torch.cat([torch.stack(likeness, dim=-1), intensity_BNS], dim=-1)

    def scores(
        self, states_BTD: Tensor, events: Mapping[str, Tensor], shown: Mapping[str, Tensor], tables: SharedTables
    ) -> Tensor:
        """Logit of each candidate against usual ones, (B, N, 1)."""
        signals_BNS = self.signals(states_BTD, events, shown, tables)
        return self.direct(signals_BNS) + self.tower(signals_BNS)
