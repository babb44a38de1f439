"""Draw how good each ad is from what is known of it, and show the best of the draw: Thompson sampling.

An ad with n impressions and an expected click rate p has had about p·n clicks. Its true rate over p is drawn from
Gamma(k + p·n, k + p·n), with mean 1. The draw moves the expected revenue, and so the score. Many such draws are made of
a request, and each candidate's share of wins is its chance of the first place. One candidate is then drawn by these
chances, mixed with an even share. So the chance that is told is the exact one.

All draws are decided by the request's key and the seed, so that the same request draws the same in every process.

Reference: Chapelle and Li, An Empirical Evaluation of Thompson Sampling, NIPS 2011.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from rosa_ray.policy.slate import Slate, Stateless
from rosa_ray.policy.steps.explore import uniform
from rosa_ray.settings import section

SCORES = ("dual", "profit", "ecpm")
LAST = True
_WINNER = 3
DRAWS = 64
"""Of a request; a candidate that wins one in a hundred is drawn by its even share alone at times."""


@section("serving.policy.*")
class Config:
    """How the first place is drawn. It needs a score in money: `dual`, `profit` or `ecpm`."""

    prior_clicks: Annotated[float, Gt(0)] = 2.0
    """What is known of an ad that nobody has seen, as if so many clicks had been expected of it."""
    least: Annotated[float, Ge(0), Le(1)] = 0.02
    """Share of requests whose first place is drawn among all shown candidates."""
    seed: Annotated[int, Ge(0), Le(2**31)] = 1
    """Equal seeds draw equally for equal requests."""


class Rule(Stateless):
    """Draws the first place. It has to be the last step: a chance holds for the candidates that it sees."""

    def __init__(self, config: Config, name: str = "thompson") -> None:
        self.config, self.name = config, name

    def apply(self, slate: Slate) -> Slate:
        """The slate with a drawn first place, and the chance of every candidate."""
        # By ad key, so that the order of candidates moves no draw.
        rows = np.flatnonzero(slate.shown)
        rows = rows[np.argsort(slate.ad_key[rows], kind="stable")]
        impressions = np.zeros(len(rows)) if slate.impressions is None else slate.impressions[rows]
        known = self.config.prior_clicks + slate.p_ctr[rows] * impressions
        rng = np.random.default_rng([self.config.seed, slate.request_key % 2**64])
        factor = rng.standard_gamma(known, (DRAWS, len(rows))) / known
        revenue = slate.per_revenue * slate.revenue[rows]
        winner = (slate.score[rows] + revenue * (factor - 1)).argmax(axis=1)
        wins = np.bincount(winner, minlength=len(rows)) / DRAWS
        chance = self.config.least / len(rows) + (1 - self.config.least) * wins
        propensity = np.zeros(len(slate.score))
        propensity[rows] = chance
        cumulated = np.cumsum(chance)
        at = np.searchsorted(cumulated, uniform(slate.request_key, self.config.seed, _WINNER) * cumulated[-1], "right")
        drawn = int(rows[min(int(at), len(rows) - 1)])
        said = {**slate.said, self.name: {"drawn_of": int((wins > 0).sum())}}
        return replace(slate, drawn=drawn, propensity=propensity, said=said)
