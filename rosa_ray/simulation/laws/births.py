"""Law `births`: ads begin and end, and how good an ad is differs far more than in the default world.

Two thirds of the ads begin during the log and run two to eight days; the others are always there. Three in ten
candidates are ads younger than a day, where there are any. Quality has a standard deviation of 1 in the click logit and
.8 in the conversion logit. Half of its variance follows from the campaign, and from category and price together. The
other half only the ad's own impressions tell.

Registered before any model was fitted, and checked by `benchmarks/law_ceiling.py`:

- knowing the quality lifts AUC against true click probabilities by at least .02;
- the click rate stays within .7 to 1.3 times that of the default world.
"""

from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from annotated_types import Ge

from rosa_ray.schema import ADS
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.settings import section
from rosa_ray.simulation.laws import law
from rosa_ray.simulation.laws.law import Pull
from rosa_ray.units import HOUR_US

ALWAYS_THERE = 1 / 3
LIFE_DAYS = (2.0, 8.0)
YOUNG_H, YOUNG_SHARE = 24.0, 0.3
CLICK_SD, CONVERSION_SD = 1.0, 0.8

_PRICE_CLASSES = 3
_LEVEL_CLICK, _LEVEL_CONVERSION = -0.6, 0.4
"""Shifts that leave the rates about where they were: young ads meet less need, and quality lifts clicks."""


@section("simulation.laws")
class Config:
    """Ads that begin and end, of very different quality."""

    strength: Annotated[float, Ge(0)] = 1.0
    """Factor of the quality. At 0 the log is the default one, and no ad begins or ends."""


class Law(law.Law):
    """Lives and qualities of all ads; they are the same for all users."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        ads = len(self.world.ad_item_A)
        always = max(self.simulation.candidates_per_request, int(ads * ALWAYS_THERE))
        born = self.world_rng.permutation(ads)[always:]
        self.begin_h_A, self.end_h_A = np.full(ads, -np.inf), np.full(ads, np.inf)
        self.begin_h_A[born] = self.world_rng.uniform(0, self.simulation.days * 24, len(born))
        self.end_h_A[born] = self.begin_h_A[born] + 24 * self.world_rng.uniform(*LIFE_DAYS, len(born))
        self.clicks = self.told_A, self.click_A = self._draw_quality(CLICK_SD)
        self.conversions = _, self.conversion_A = self._draw_quality(CONVERSION_SD)

    def catalogue(self, ads: pa.Table) -> pa.Table:
        """Say since when and until when each ad holds."""
        if not self.config.strength:
            return ads
        born = np.isfinite(self.begin_h_A)
        columns = {name: ads[name] for name in ads.column_names}
        for name, hour_A in (("valid_from", self.begin_h_A), ("valid_until", self.end_h_A)):
            time_us = self.simulation.start_us + (np.where(born, hour_A, 0) * HOUR_US).astype(np.int64)
            columns[name] = pa.array(time_us, TIMESTAMP, mask=~born)
        return pa.table(columns, schema=ADS.schema_of(columns))

    def candidates(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> np.ndarray:
        """Put young ads in three of ten places, and ads that run in the places of those that do not."""
        if not self.config.strength:
            return ad_NK
        shape = len(rows), len(self.begin_h_A)
        age_NA = hour[:, None] - self.begin_h_A
        runs_NA = (age_NA >= 0) & (hour[:, None] < self.end_h_A)
        by_draw_NA = np.argsort(np.where(runs_NA & (age_NA < YOUNG_H), -self.rng.random(shape), 1.0))
        rank_NA = np.empty_like(by_draw_NA)
        np.put_along_axis(rank_NA, by_draw_NA, np.arange(shape[1])[None], axis=1)
        wanted = self.rng.binomial(ad_NK.shape[1], YOUNG_SHARE, (len(rows), 1))
        chosen_NA = runs_NA & (age_NA < YOUNG_H) & (rank_NA < wanted)
        drawn_NA = np.zeros(shape, dtype=bool)
        np.put_along_axis(drawn_NA, ad_NK, True, axis=1)
        order_NA = np.argsort(-(2.0 * chosen_NA + drawn_NA + self.rng.random(shape)) * runs_NA, axis=1)
        return self.rng.permuted(order_NA[:, : ad_NK.shape[1]], axis=1)

    def pull(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> Pull:
        """Add the qualities of the ads."""
        strength = self.config.strength
        click_NK = strength * (self.click_A[ad_NK] + _LEVEL_CLICK)
        conversion_NK = strength * (self.conversion_A[ad_NK] + _LEVEL_CONVERSION)
        latent = {"told": strength * self.told_A[ad_NK]}
        untold = (strength * (whole_A - told_A)[ad_NK] for told_A, whole_A in (self.clicks, self.conversions))
        return Pull(click_NK, conversion_NK, latent, *untold)

    def _draw_quality(self, deviation: float) -> tuple[np.ndarray, np.ndarray]:
        """The part of each ad's quality that its attributes tell, and the whole."""
        world, rng, quarter = self.world, self.world_rng, deviation / 2
        price = np.digitize(world.relative_price_I[world.ad_item_A], (-0.2, 0.2))
        kind = world.ad_category_A * _PRICE_CLASSES + price
        of_campaign = rng.normal(0, quarter, world.ad_campaign_A.max() + 1)
        of_kind = rng.normal(0, quarter, len(world.popularity_C) * _PRICE_CLASSES)
        told = of_campaign[world.ad_campaign_A] + of_kind[kind]
        return told, told + rng.normal(0, deviation * np.sqrt(0.5), len(told))
