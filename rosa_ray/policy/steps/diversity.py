"""Several places, several advertisers: at most so many ads of one group among the first places."""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from rosa_ray.policy.slate import Slate, Stateless
from rosa_ray.schema.keys import MISSING_KEY
from rosa_ray.settings import section


@section("serving.policy.*")
class Config:
    """How many ads of one group there may be among the first places."""

    most: Annotated[int, Ge(1)] = 1
    """Ads of one group among the first places, at most."""
    places: Annotated[int, Ge(1)] = 5
    """So many places count as the first."""
    per: Literal["campaign", "category"] = "campaign"
    """What makes a group. Ads without a campaign or category are in none."""


class Rule(Stateless):
    """Walks down the order and takes out an ad whose group has its places already, until the first places are full.

    Among all ways to fill the places in order of score it is the one whose best place is best, then the second, and so
    on. What stands behind the first places stays.
    """

    def __init__(self, config: Config, name: str = "diversity") -> None:
        self.config, self.name = config, name

    def apply(self, slate: Slate) -> Slate:
        """The slate without ads that crowd the first places."""
        most, room = self.config.most, self.config.places
        groups = slate.campaign_key if self.config.per == "campaign" else slate.category_key
        order = slate.order
        held: dict[int, int] = {}
        crowded = []
        for row, group in zip(order.tolist(), groups[order].tolist(), strict=True):
            if not room:
                break
            count = held.get(group, 0)
            if count == most and group != MISSING_KEY:
                crowded.append(row)
                continue
            held[group], room = count + 1, room - 1
        dropped = np.zeros(len(groups), bool)
        dropped[crowded] = True
        return slate.without(dropped, self.name, {"per": self.config.per, "crowded": len(crowded)})
