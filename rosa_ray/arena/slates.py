"""Requests of one round with what is known of their candidates."""

from dataclasses import dataclass, fields

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.slate import Slate
from rosa_ray.simulation.auction import Offers
from rosa_ray.simulation.world import World

NONE = -1
"""Choice of a request that shows nothing."""


@dataclass(frozen=True)
class Slates:
    """n requests of k candidates each.

    Attributes:
        time_us: of each request, microseconds UTC, int64 (n,).
        request: its number, the same under every policy, int64 (n,).
        user: row of its user, int64 (n,).
        uniform: one draw in [0, 1) of each request, for policies that draw, float64 (n,).
        ad_NK, campaign_NK, category_NK: int64 (n, k).
        p_ctr_NK, p_cvr_NK: estimated probabilities.
        value_NK: expected of one conversion, currency units.
        cost_NK: expected of one impression, currency units.
        win_NK: chance that the candidate's bid wins its auction; 1 without a law of the market.
        propensity_NK: chance of each candidate under the logging policy.
        shown_NK: False where the campaign has no budget left.
        impressions_NK: of each ad so far in this run, the days before too.
        cluster_NC: how much each user belongs to each cluster of users, float64 (n, c), rows summing to 1; one cluster
            for policies that do not read it.
        region: group of each user, int64 (n,).
        device: kind of device of each request, int64 (n,).
        bid_NK: currency units per impression.
        untold_click_NK, untold_conversion_NK: part of both logits that only impressions of the ad tell; 0 in what
            policies see.
    """

    time_us: Ints
    request: Ints
    user: Ints
    uniform: Floats
    ad_NK: Ints
    campaign_NK: Ints
    category_NK: Ints
    p_ctr_NK: Floats
    p_cvr_NK: Floats
    value_NK: Floats
    cost_NK: Floats
    win_NK: Floats
    propensity_NK: Floats
    shown_NK: np.ndarray
    impressions_NK: Floats
    cluster_NC: Floats
    region: Ints
    device: Ints
    bid_NK: Floats
    untold_click_NK: Floats
    untold_conversion_NK: Floats

    def __len__(self) -> int:
        return len(self.time_us)

    @property
    def revenue_NK(self) -> Floats:
        """Expected of one impression, currency units."""
        return self.p_ctr_NK * self.p_cvr_NK * self.value_NK

    def best(self, score_NK: Floats, least: float = -np.inf) -> Ints:
        """The candidate with the highest score of each request among those that may be shown; -1 where none is above.

        Args:
            least: a score has to be above it.
        """
        score_NK = np.where(self.shown_NK, score_NK, -np.inf)
        slot = score_NK.argmax(axis=1)
        return np.where(score_NK[np.arange(len(slot)), slot] > least, slot, NONE)

    def of(self, slot: Ints, name: str) -> np.ndarray:
        """A column of the chosen candidates; that of the first candidate where none is chosen."""
        column: np.ndarray = getattr(self, name)
        return column[np.arange(len(slot)), np.maximum(slot, 0)]

    def single(self, n: int) -> Slate:
        """One request, as the steps of a policy take it; its score is the expected profit."""
        revenue, cost = self.p_ctr_NK[n] * self.p_cvr_NK[n] * self.value_NK[n], self.cost_NK[n]
        return Slate(
            time_us=int(self.time_us[n]),
            request_key=int(self.request[n]),
            user_key=int(self.user[n]),
            ad_key=self.ad_NK[n],
            campaign_key=self.campaign_NK[n],
            category_key=self.category_NK[n],
            p_ctr=self.p_ctr_NK[n],
            p_cvr=self.p_cvr_NK[n],
            revenue=revenue,
            cost=cost,
            score=revenue - cost,
            shown=self.shown_NK[n],
            impressions=self.impressions_NK[n],
            clusters=self.cluster_NC[n],
            audience={"region": int(self.region[n])},
        )

    @classmethod
    def joined(cls, parts: "list[Slates]") -> "Slates":
        """All requests of some slates; there is at least one."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def true_slates(
    world: World,
    offers: Offers,
    time_us: Ints,
    request: Ints,
    user: Ints,
    uniform: Floats,
    open_M: np.ndarray,
    impressions_A: Floats,
    cluster_NC: Floats,
    region: Ints,
) -> Slates:
    """What the simulator knows of some requests.

    Args:
        open_M: by campaign, whether it has budget left.
        impressions_A: of each ad so far.
        region: of each user.
    """
    ad_NK, nothing = offers.ad_NK, np.zeros(offers.ad_NK.shape)
    campaign_NK = world.ad_campaign_A[ad_NK]
    return Slates(
        time_us=time_us,
        request=request,
        user=user,
        uniform=uniform,
        ad_NK=ad_NK,
        campaign_NK=campaign_NK,
        category_NK=world.ad_category_A[ad_NK],
        p_ctr_NK=offers.p_ctr_NK,
        p_cvr_NK=offers.p_cvr_NK,
        value_NK=world.item_price_I[world.ad_item_A[ad_NK]],
        cost_NK=offers.expected_cost_NK,
        win_NK=offers.win_rate_NK,
        propensity_NK=offers.propensity_NK,
        shown_NK=open_M[campaign_NK],
        impressions_NK=impressions_A[ad_NK],
        cluster_NC=cluster_NC,
        region=region,
        device=offers.device_N,
        bid_NK=offers.bid_NK,
        untold_click_NK=nothing if offers.untold_click_NK is None else offers.untold_click_NK,
        untold_conversion_NK=nothing if offers.untold_conversion_NK is None else offers.untold_conversion_NK,
    )
