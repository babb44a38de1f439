"""Small arenas, and slates made by hand."""

from typing import Any

import numpy as np

from rosa_ray.arena import Arena, ArenaConfig, Slates
from rosa_ray.settings import Tagged
from rosa_ray.simulation import SimulationConfig
from rosa_ray.simulation.laws import config_class

SMALL = SimulationConfig(
    users=240, chunk_users=160, days=2, items=600, ads=200, campaigns=6, events_per_user=14, requests_per_user=20
)
"""240 users in two chunks, 2 days."""
MARKET = (Tagged("market", config_class("market")()),)


def arena(simulation: SimulationConfig = SMALL, **settings: Any) -> Arena:
    """An arena of the last day in ticks of an hour, unless told otherwise."""
    return Arena(simulation, ArenaConfig(**{"days": 1, "tick_minutes": 60, **settings}))


def slates(revenue_NK: Any, cost_NK: Any, campaign_NK: Any = None, time_us: Any = None, shown_NK: Any = None) -> Slates:
    """Requests with given expectations; ads are numbered by slot, and every click converts."""
    revenue_NK, cost_NK = np.asarray(revenue_NK, float), np.asarray(cost_NK, float)
    shape = revenue_NK.shape
    number = np.arange(shape[0])
    ad_NK = np.tile(np.arange(shape[1]), (shape[0], 1))
    return Slates(
        time_us=number * 1000 if time_us is None else np.asarray(time_us),
        request=number,
        user=number,
        uniform=(number + 0.5) / shape[0],
        ad_NK=ad_NK,
        campaign_NK=np.zeros(shape, int) if campaign_NK is None else np.asarray(campaign_NK),
        category_NK=ad_NK,
        p_ctr_NK=np.full(shape, 0.5),
        p_cvr_NK=np.ones(shape),
        value_NK=2 * revenue_NK,
        cost_NK=cost_NK,
        win_NK=np.ones(shape),
        propensity_NK=np.full(shape, 1 / shape[1]),
        shown_NK=np.ones(shape, bool) if shown_NK is None else np.asarray(shown_NK, bool),
        impressions_NK=np.zeros(shape),
        cluster_NC=np.ones((shape[0], 1)),
        region=np.zeros(shape[0], int),
        device=np.zeros(shape[0], int),
        bid_NK=cost_NK,
        untold_click_NK=np.zeros(shape),
        untold_conversion_NK=np.zeros(shape),
    )
