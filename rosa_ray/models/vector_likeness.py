"""How like the declared vector of an ad's item is to those of the items in the history.

Vectors that come from texts or images tell likeness before any click has taught it. The cosine of the ad's item with
each event's item is averaged over the history, newer events more than older ones: a scalar per vector, behaviour and
half-life, beside the exact match. An item without a vector counts nowhere.

Shape legend: B users, T events, N ads, V vectors, S numbers of a vector, K behaviours.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.models.embedding import VECTOR, TableSizes, behavior_count
from rosa_ray.models.exact_match import HALF_LIVES_HOURS
from rosa_ray.models.history import window_mask
from rosa_ray.schema.own_columns import ITEM
from rosa_ray.units import HOUR_US


def item_vectors(sizes: TableSizes) -> list[int]:
    """Numbers of each declared vector of items."""
    return [size for name, size in sizes.items() if name.startswith(VECTOR + ITEM)]


class VectorLikeness(nn.Module):
    """Decayed mean cosines of the history's items with the ad's.

    Args:
        window: W, events before an impression that are looked at.
    """

    def __init__(self, sizes: TableSizes, window: int) -> None:
        super().__init__()
        self.window, self.sizes, self.behaviors = window, item_vectors(sizes), behavior_count(sizes)
        self.width = len(self.sizes) * len(HALF_LIVES_HOURS) * self.behaviors
        rates = torch.tensor([math.log(2) / hours for hours in HALF_LIVES_HOURS])
        self.log_rate_H = nn.Parameter(torch.log(rates))

    def forward(self, shown: Mapping[str, Tensor], events: Mapping[str, Tensor]) -> Tensor:
        """Mean cosines in [-1, 1], (B, N, `width`); 0 where no event has such a behaviour and a vector."""
        seen_BNT = window_mask(shown["visible"], events["behavior"].shape[1], self.window)
        elapsed_h_BNT = (shown["time_us"][..., None] - events["time_us"][:, None]).clamp_min(0).float() / HOUR_US
        kind_BTK = functional.one_hot(events["behavior"], self.behaviors).float()
        scalars = []
        ads, things = (side["vectors"].split(self._split(side), dim=-1) for side in (shown, events))
        # Those of items come first; ads may have more.
        for ad_BNS, thing_BTS in zip(ads, things, strict=False):
            cosine_BNT = functional.normalize(ad_BNS, dim=-1) @ functional.normalize(thing_BTS, dim=-1).mT
            known_BNT = seen_BNT & (ad_BNS != 0).any(-1)[..., None] & (thing_BTS != 0).any(-1)[:, None]
            for rate in torch.exp(self.log_rate_H):
                weight_BNT = torch.exp(-rate * elapsed_h_BNT) * known_BNT
                total = weight_BNT @ kind_BTK
                scalars.append((weight_BNT * cosine_BNT) @ kind_BTK / total.clamp_min(1e-9))
        return torch.cat(scalars, dim=-1)

    def _split(self, side: Mapping[str, Tensor]) -> list[int]:
        rest = side["vectors"].shape[-1] - sum(self.sizes)
        return [*self.sizes, rest] if rest else self.sizes
