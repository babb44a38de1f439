"""Show another ad than the best now and then, with the exact chance of each: what policies are evaluated from.

An ε-mixture: the best candidate takes the first place, and in a share ε of requests one drawn among all shown. With N
shown, a candidate has the chance ε/N, and the best one 1 - ε beside that. The draw is a hash of the request's key and
the seed, so that the same request draws the same in every process.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from rosa_ray.policy.slate import Slate, Stateless
from rosa_ray.schema.keys import hash_id
from rosa_ray.settings import section

LAST = True
_WHETHER, _WHICH = 1, 2
_BITS = 53
"""Of a float's fraction."""


@section("serving.policy.*")
class Config:
    """How often another ad than the best is shown."""

    epsilon: Annotated[float, Ge(0), Le(1)] = 0.05
    """Share of requests whose first place is drawn among all shown candidates, the best one too."""
    seed: Annotated[int, Ge(0), Le(2**31)] = 1
    """Equal seeds draw equally for equal requests."""


class Rule(Stateless):
    """Draws the first place. It has to be the last step: a chance holds for the candidates that it sees."""

    def __init__(self, config: Config, name: str = "explore") -> None:
        self.config, self.name = config, name

    def apply(self, slate: Slate) -> Slate:
        """The slate with a drawn first place where the draw says so, and the chance of every candidate."""
        order, epsilon = slate.order, self.config.epsilon
        propensity = np.where(slate.shown, epsilon / len(order), 0.0)
        propensity[order[0]] += 1 - epsilon
        slate = replace(slate, propensity=propensity)
        if uniform(slate.request_key, self.config.seed, _WHETHER) >= epsilon:
            return slate
        rows = np.flatnonzero(slate.shown)
        # Among rows by ad key, so that neither the order of candidates nor the scores move the draw.
        rows = rows[np.argsort(slate.ad_key[rows], kind="stable")]
        drawn = int(rows[int(uniform(slate.request_key, self.config.seed, _WHICH) * len(rows))])
        return replace(slate, drawn=drawn, said={**slate.said, self.name: {"drawn_of": len(rows)}})


def uniform(request_key: int, seed: int, draw: int) -> float:
    """A number in [0, 1) that the request's key, the seed and the number of the draw decide.

    >>> uniform(7, 1, 1) == uniform(7, 1, 1), uniform(7, 1, 1) == uniform(7, 1, 2)
    (True, False)
    """
    return (hash_id(f"{seed}/{draw}/{request_key}") % 2**64 >> (64 - _BITS)) / 2**_BITS
