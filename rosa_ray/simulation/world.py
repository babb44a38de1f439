"""What all users share: categories, items, ads, popularity drift and promotions, drawn from the seed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.marginals import CATEGORY_EXPONENT, category_prices

REFERENCE_PRICE = 100.0
"""Median price (currency units) of a category whose market is exactly as dear as `cost_scale` says."""


@dataclass(frozen=True)
class World:
    """Tables of the simulated shop. C categories, S styles, I items sorted by (category, style), A ads by category.

    Attributes:
        popularity_C: share of each category.
        drift_CD: log popularity of each category on each day.
        promotion_CH: whether a category is promoted in each hour of the log.
        complement_C2: the two categories a need moves on to; directed, the reverse need not hold.
        market_scale_C: currency units per fen of market price; dear categories have dear markets.
        taste_TC: the sub-style each of T types of users prefers in each category.
        item_group_I: category * S + style, rising.
        relative_price_I: log of an item's price over its category's median.
        item_cdf, ad_cdf: cumulated popularity over the sorted tables, for draws within a group.
        ad_bid_fen_A: an ad's default bid, fen per 1,000 impressions.
    """

    popularity_C: np.ndarray
    drift_CD: np.ndarray
    promotion_CH: np.ndarray
    complement_C2: np.ndarray
    market_scale_C: np.ndarray
    taste_TC: np.ndarray
    item_group_I: np.ndarray
    item_category_I: np.ndarray
    item_style_I: np.ndarray
    item_price_I: np.ndarray
    relative_price_I: np.ndarray
    item_quality_I: np.ndarray
    item_cdf: np.ndarray
    ad_item_A: np.ndarray
    ad_category_A: np.ndarray
    ad_campaign_A: np.ndarray
    ad_quality_A: np.ndarray
    ad_bid_fen_A: np.ndarray
    ad_cdf: np.ndarray
    styles: int

    def draw_items(self, category: np.ndarray, style: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw an item of each (category, style) by popularity."""
        return _draw_in_group(self.item_cdf, self._item_bounds_2G, category * self.styles + style, rng)

    def draw_ads(self, category: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw an ad of each category by popularity."""
        return _draw_in_group(self.ad_cdf, self._ad_bounds_2C, category, rng)

    @cached_property
    def _item_bounds_2G(self) -> np.ndarray:
        return _bounds(self.item_group_I, len(self.popularity_C) * self.styles)

    @cached_property
    def _ad_bounds_2C(self) -> np.ndarray:
        return _bounds(self.ad_category_A, len(self.popularity_C))


def _bounds(sorted_group: np.ndarray, groups: int) -> np.ndarray:
    """First row of each group, and the first one after it; shape (2, groups)."""
    return np.stack([np.searchsorted(sorted_group, np.arange(groups), side) for side in ("left", "right")])


def _draw_in_group(cdf: np.ndarray, bounds_2G: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    first, last = bounds_2G[0].take(wanted), bounds_2G[1].take(wanted)
    low, high = cdf.take(first), cdf.take(last)
    drawn = cdf.searchsorted(low + rng.random(wanted.shape) * (high - low), side="right") - 1
    return np.minimum(np.maximum(drawn, first), last - 1)


def build_world(config: SimulationConfig) -> World:
    """Draw the world of a config: the same seed gives the same world in every process."""
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(0,)))
    popularity_C = np.arange(1, config.categories + 1.0) ** -CATEGORY_EXPONENT
    popularity_C /= popularity_C.sum()
    prices_C2 = category_prices(config.categories)
    scale_C = config.cost_scale * (prices_C2[:, 0] / REFERENCE_PRICE) ** 0.6
    items = _draw_item_table(config, popularity_C, prices_C2, rng)
    ads = _draw_ad_table(config, items["item_category_I"], rng)
    return World(
        popularity_C=popularity_C,
        drift_CD=np.cumsum(rng.normal(0, 0.15, (config.categories, config.days)), axis=1),
        promotion_CH=_draw_promotions(config, rng),
        complement_C2=_draw_complements(config.categories, rng),
        market_scale_C=scale_C,
        taste_TC=rng.integers(0, config.styles, (3 * config.styles, config.categories)),
        styles=config.styles,
        **items,
        **ads,
    )


def _draw_item_table(
    config: SimulationConfig, popularity_C: np.ndarray, prices_C2: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    groups = config.categories * config.styles
    group_share = np.repeat(popularity_C, config.styles) / config.styles
    group_I = np.sort(np.append(np.arange(groups), rng.choice(groups, config.items - groups, p=group_share)))
    category_I, style_I = group_I // config.styles, group_I % config.styles
    spread_I = np.minimum(prices_C2[category_I, 1], 0.8)
    relative_I = np.clip(rng.normal(0, 1, config.items), -2, 2) * spread_I * 0.7
    return {
        "item_group_I": group_I,
        "item_category_I": category_I,
        "item_style_I": style_I,
        "relative_price_I": relative_I,
        "item_price_I": np.round(prices_C2[category_I, 0] * np.exp(relative_I), 2),
        "item_quality_I": rng.normal(0, 0.35, config.items),
        "item_cdf": np.append(0.0, np.cumsum(rng.pareto(1.5, config.items) + 0.2)),
    }


def _draw_ad_table(
    config: SimulationConfig, item_category_I: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    one_each = np.unique(item_category_I, return_index=True)[1]
    others = np.setdiff1d(np.arange(config.items), one_each)
    chosen = rng.choice(others, config.ads - config.categories, replace=False)
    item_A = np.sort(np.append(one_each, chosen))
    return {
        "ad_item_A": item_A,
        "ad_category_A": item_category_I[item_A],
        "ad_campaign_A": rng.integers(0, config.campaigns, config.categories * 2)[
            item_category_I[item_A] * 2 + rng.integers(0, 2, config.ads)
        ],
        "ad_quality_A": rng.normal(0, 0.35, config.ads),
        "ad_bid_fen_A": np.clip(np.exp(rng.normal(4.6, 0.6, config.ads)), 15, 300),
        "ad_cdf": np.append(0.0, np.cumsum(rng.pareto(2.0, config.ads) + 0.5)),
    }


def _draw_complements(categories: int, rng: np.random.Generator) -> np.ndarray:
    shifts = np.stack([rng.choice(np.arange(1, categories), 2, replace=False) for _ in range(categories)])
    return (np.arange(categories)[:, None] + shifts) % categories


def _draw_promotions(config: SimulationConfig, rng: np.random.Generator) -> np.ndarray:
    hours = np.arange(config.days * 24)
    count = max(1, config.categories * config.days // 20)
    category = rng.integers(0, config.categories, count)
    begin = rng.integers(0, len(hours), count)
    length = rng.integers(12, 49, count)
    promoted = np.zeros((config.categories, len(hours)), dtype=bool)
    for c, first, span in zip(category, begin, length, strict=True):
        promoted[c, first : first + span] = True
    return promoted
