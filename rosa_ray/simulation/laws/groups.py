"""Law `groups`: what users like, and how readily they buy, differs by their region.

In the default world a region is a name: it tells nothing of taste. Here each region likes some campaigns and some
categories more than others do, in clicks and in what they look at by themselves. It also buys more or less readily. A
policy that ranks by what an impression brings then shows a campaign where it is liked, and leaves other regions out.

Each campaign bids for all regions: candidates come as in the default world. So its eligible audience is everybody.

Registered before any policy was tried under it, and checked by `benchmarks/law_ceiling.py` and `tests/simulation/laws`:

- knowing the region's taste lifts AUC against true click probabilities by at least .02;
- the click rate stays within .7 to 1.3 times that of the default world;
- ranked by true profit, at most seven in ten campaigns are near their audience (`rosa arena`, 1,500 users).
"""

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from rosa_ray.settings import section
from rosa_ray.simulation.laws import law
from rosa_ray.simulation.laws.law import Pull

CAMPAIGN_SD, CATEGORY_SD = 0.6, 0.6
"""Of a region's taste, in the click logit."""

BUYING_SD = 0.4
"""Of how readily a region buys, in the conversion logit."""

ORGANIC = 0.2
"""Share of organic events whose category follows the region's taste."""

_LEVEL = -0.25
"""In the click logit: it leaves the click rate about where it was, since the most liked ads are shown."""


@section("simulation.laws")
class Config:
    """Regions of different taste."""

    strength: Annotated[float, Ge(0)] = 1.0
    """Factor of the tastes. At 0 the log is the default one."""


class Law(law.Law):
    """Tastes of all regions, the same in every chunk of users.

    Attributes:
        campaign_GM, category_GC: taste of each region, in the click logit.
        buying_G: in the conversion logit.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        regions, campaigns = self.simulation.regions, int(self.world.ad_campaign_A.max()) + 1
        categories, rng = len(self.world.popularity_C), self.world_rng
        self.campaign_GM = rng.normal(0, CAMPAIGN_SD, (regions, campaigns))
        self.category_GC = rng.normal(0, CATEGORY_SD, (regions, categories))
        self.buying_G = rng.normal(0, BUYING_SD, regions)
        liked_GC = self.world.popularity_C * np.exp(2 * self.category_GC)
        self._chosen_GC = np.cumsum(liked_GC / liked_GC.sum(axis=1, keepdims=True), axis=1)

    def steer(
        self, rows: np.ndarray, hour: np.ndarray, category: np.ndarray, style: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Send some events to categories that the region likes."""
        if not self.config.strength:
            return category, style
        follows = self.rng.random(len(rows)) < min(ORGANIC * self.config.strength, 1.0)
        uniform = self.rng.random((len(rows), 1))
        liked = (self._chosen_GC[self.region_N[rows]] < uniform).sum(axis=1)
        moved = follows & (liked != category)
        category = np.where(moved, np.minimum(liked, self._chosen_GC.shape[1] - 1), category)
        return category, np.where(moved, law.NO_STYLE, style)

    def pull(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> Pull:
        """Add the tastes of the users' regions."""
        world, strength, region = self.world, self.config.strength, self.region_N[rows][:, None]
        taste_NK = self.campaign_GM[region, world.ad_campaign_A[ad_NK]]
        taste_NK = taste_NK + self.category_GC[region, world.ad_category_A[ad_NK]]
        buying_NK = np.broadcast_to(self.buying_G[region], ad_NK.shape)
        return Pull(strength * (taste_NK + _LEVEL), strength * buying_NK)
