"""Law `market`: market prices differ by hour and campaign, and an auction can be lost.

In the default world every bid wins, and what it pays follows one law at all hours. Here the market price of an auction
is drawn from that law times a factor. The auction is lost where the bid is below it; nothing is shown then.

The factor is the product of four: the hour of the day, the campaign, its day, and its hour. The first is a profile, the
others are log-normal with mean 1 and drawn from the seed. Profile and spreads are those of iPinYou's five-minute cells
(seven campaigns, train and test, weighed by bids): mean price of an hour over that of its campaign, and the standard
deviations of logarithms of campaign means (.17), of campaign days (.08) and of hours within a campaign day (.10).

The law adds nothing to clicks. It is for policies that spend a budget, see `rosa arena`.
"""

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from rosa_ray.settings import section
from rosa_ray.simulation.laws import law

HOUR_LEVEL = np.array(
    [
        1.032, 0.869, 0.854, 0.866, 0.857, 0.886, 1.000, 1.028, 1.052, 0.988, 1.041, 1.041,
        1.052, 1.028, 1.028, 1.005, 1.014, 1.015, 1.014, 1.020, 1.011, 0.989, 0.945, 0.883,
    ]
)  # fmt: skip
"""Mean price of each local hour 0..23 over that of the campaign, iPinYou five-minute cells (UTC+8)."""

CAMPAIGN_LOG_SD, DAY_LOG_SD, HOUR_LOG_SD = 0.17, 0.08, 0.10


@section("simulation.laws")
class Config:
    """Market prices by hour and campaign, and auctions that are lost."""

    strength: Annotated[float, Ge(0)] = 1.0
    """Power of the factor. At 0 every bid wins, and the log is the default one."""


class Law(law.Law):
    """The price level of every campaign in every hour, the same for all users.

    Attributes:
        factor_MH: of campaign and hour of the log, > 0.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        campaigns, days = int(self.world.ad_campaign_A.max()) + 1, self.simulation.days
        of_campaign = self._levels(CAMPAIGN_LOG_SD, (campaigns, 1, 1))
        of_day = self._levels(DAY_LOG_SD, (campaigns, days, 1))
        of_hour = self._levels(HOUR_LOG_SD, (campaigns, days, 24))
        factor = (of_campaign * of_day * of_hour * HOUR_LEVEL) ** self.config.strength
        self.factor_MH = factor.reshape(campaigns, days * 24)

    def market(self, hour: np.ndarray, ad_NK: np.ndarray) -> np.ndarray | None:
        """The price level of the candidates' campaigns in the hour of the request."""
        if not self.config.strength:
            return None
        at = np.clip(hour.astype(int), 0, self.factor_MH.shape[1] - 1)
        return self.factor_MH[self.world.ad_campaign_A[ad_NK], at[:, None]]

    def _levels(self, deviation: float, shape: tuple[int, ...]) -> np.ndarray:
        return np.exp(self.world_rng.normal(-(deviation**2) / 2, deviation, shape))
