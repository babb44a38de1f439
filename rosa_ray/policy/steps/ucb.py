"""Give ads that few have seen the benefit of the doubt: a bonus that fades as impressions come.

An ad with n impressions and an expected click rate p has had about p·n clicks. With k clicks of doubt before the first,
its rate is known up to a relative error of 1 / √(k + p·n). The step adds α such errors of the expected revenue to the
score. It remembers nothing: n is what the counters say, so that all replicas give the same bonus.

Reference: Auer et al., Machine Learning 47 (2002), with the error of a Gamma posterior for the click rate.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from rosa_ray.arrays import Floats
from rosa_ray.policy.slate import Slate, Stateless
from rosa_ray.settings import section

SCORES = ("dual", "profit", "ecpm")


@section("serving.policy.*")
class Config:
    """How much doubt is worth. It needs a score in money: `dual`, `profit` or `ecpm`."""

    alpha: Annotated[float, Ge(0)] = 0.3
    """Relative errors of the expected revenue that are added to the score."""
    prior_clicks: Annotated[float, Gt(0)] = 2.0
    """What is known of an ad that nobody has seen, as if so many clicks had been expected of it."""


class Rule(Stateless):
    """Adds the bonus, where impressions are counted."""

    def __init__(self, config: Config, name: str = "ucb") -> None:
        self.config, self.name = config, name

    def apply(self, slate: Slate) -> Slate:
        """The slate with scores that count doubt."""
        if slate.impressions is None:
            return slate
        error = relative_error(slate.p_ctr, slate.impressions, self.config.prior_clicks)
        return slate.with_score(slate.score + self.config.alpha * error * slate.per_revenue * slate.revenue, self.name)


def relative_error(p_ctr: Floats, impressions: Floats, prior_clicks: float) -> Floats:
    """Relative error of click rates, (N,).

    >>> relative_error(np.array([0.02, 0.02]), np.array([0.0, 700.0]), 2.0).tolist()
    [0.7071067811865475, 0.25]
    """
    error: Floats = 1 / np.sqrt(prior_clicks + p_ctr * impressions)
    return error
