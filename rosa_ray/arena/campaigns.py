"""The `budget` step with the budgets of the arena."""

from dataclasses import replace

import numpy as np

from rosa_ray.arena.budgeted import dual_prices
from rosa_ray.arena.policies import Known
from rosa_ray.policy.steps.budget import Campaign, Config, Rule
from rosa_ray.simulation.marginals import HOUR_SHARE
from rosa_ray.units import DAY_US


def budget_step(known: Known, theta: float) -> Rule:
    """The step as a platform would set it up before the first day.

    Each campaign's price starts where it would have spent its budget on the day before, as that day was estimated. The
    profile of a day is that of the simulator's traffic.

    Args:
        theta: what the score asks for a unit of cost.
    """
    limited = np.flatnonzero(np.isfinite(known.budget_M) & (known.budget_M > 0))
    yesterday = replace(known, start_us=known.start_us - DAY_US)
    price_M = dual_prices(yesterday, known.day_before)[0][0]
    named = {
        int(campaign): Campaign(
            daily_budget=float(known.budget_M[campaign]), start=max(float(price_M[campaign]) - theta, 0.0)
        )
        for campaign in limited
    }
    config = Config(campaigns={}, profile=tuple(float(share) for share in HOUR_SHARE), replicas=1)
    return Rule(config, named=named)
