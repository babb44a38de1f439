"""Show nothing rather than what is not worth its place: candidates below a floor are taken out."""

from typing import Literal

import numpy as np

from rosa_ray.arrays import Floats
from rosa_ray.policy.slate import Slate, Stateless
from rosa_ray.settings import section


@section("serving.policy.*")
class Config:
    """A floor."""

    least: float = 0.0
    """Candidates below it are taken out."""
    of: Literal["score", "profit", "roi"] = "score"
    """What is compared with it: the score as the steps before left it; revenue - cost of an impression, currency
    units; or that over cost. Without cost, `roi` is infinite where there is revenue, and 0 where there is none."""


class Rule(Stateless):
    """Takes out what is below a floor. It remembers nothing."""

    def __init__(self, config: Config, name: str = "floor") -> None:
        self.config, self.name = config, name

    def apply(self, slate: Slate) -> Slate:
        """The slate without candidates below the floor."""
        below = self._value(slate) < self.config.least
        dropped = int((below & slate.shown).sum())
        return slate.without(below, self.name, {"of": self.config.of, "least": self.config.least, "below": dropped})

    def _value(self, slate: Slate) -> Floats:
        if self.config.of == "score":
            return slate.score
        profit = slate.revenue - slate.cost
        if self.config.of == "profit":
            return profit
        free = np.where(profit > 0, np.inf, 0.0)
        return np.divide(profit, slate.cost, out=free, where=slate.cost > 0)
