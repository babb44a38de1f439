"""How often, and how long ago, the user dealt with the very item and the very category of an ad.

Attention compares vectors, and learning which vectors are alike takes clicks. Equality of ids is known from the start:
a hard search of the history by the candidate's ids (Pi et al. 2020, SIM §3.1), read as decayed counts per behaviour.
Ids are compared by their keys: unseen ids share table rows. A missing id equals none.

Shape legend: B users, T events, N ads, H half-lives, K behaviours.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rosa_ray.schema import BEHAVIORS, MISSING_KEY
from rosa_ray.units import HOUR_US

MATCHED = ("item_key", "category_key")
HALF_LIVES_HOURS = (1.0, 12.0, 96.0, 1440.0)


class ExactMatch(nn.Module):
    """Decayed counts of the history's events on the ad's item and category.

    Attributes:
        width: how many counts an ad has, one per half-life, kind of id and behaviour.
    """

    def __init__(self, window: int, behaviors: int = len(BEHAVIORS)) -> None:
        super().__init__()
        self.window, self.behaviors = window, behaviors
        self.width = len(MATCHED) * len(HALF_LIVES_HOURS) * behaviors
        rates = torch.tensor([math.log(2) / hours for hours in HALF_LIVES_HOURS])
        self.log_rate_H = nn.Parameter(torch.log(rates))

    def forward(self, shown: Mapping[str, Tensor], events: Mapping[str, Tensor]) -> Tensor:
        """`log1p` of the counts, (B, N, `width`); of the events strictly before each ad, the last W."""
        behavior_BT = events["behavior"]
        position_T = torch.arange(behavior_BT.shape[1], device=behavior_BT.device)
        visible_BN1 = shown["visible"][..., None]
        seen_BNT = (position_T < visible_BN1) & (position_T >= visible_BN1 - self.window)
        elapsed_h_BNT = (shown["time_us"][..., None] - events["time_us"][:, None]).clamp_min(0).float() / HOUR_US
        kind_BTK = nn.functional.one_hot(behavior_BT, self.behaviors).float()
        counts = []
        for rate in torch.exp(self.log_rate_H):
            freshness_BNT = torch.exp(-rate * elapsed_h_BNT)
            for name in MATCHED:
                same_BNT = seen_BNT & (shown[name][..., None] == events[name][:, None])
                counts.append((freshness_BNT * same_BNT) @ kind_BTK * (shown[name] != MISSING_KEY)[..., None])
        return torch.log1p(torch.cat(counts, dim=-1))
