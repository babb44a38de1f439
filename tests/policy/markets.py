"""Small markets for tests of bidders."""

import numpy as np

from rosa_ray.policy.auctions import Auctions


def market(blocks: int = 12, length: int = 60, seed: int = 0) -> Auctions:
    """Prices of 1 to some 200, values that rise with them a little, and clicks by value."""
    rng = np.random.default_rng(seed)
    price = np.minimum(1 + rng.lognormal(3.0, 0.8, blocks * length), 200).astype(np.int64)
    value = 0.01 * rng.lognormal(0.0, 0.7, price.size) * (price / price.mean()) ** 0.3
    return Auctions.in_blocks(price, value, rng.random(price.size) < value, length)


def constant_market(price: int, blocks: int = 8, length: int = 40) -> Auctions:
    """Every auction has the same price; values differ."""
    value = np.random.default_rng(3).uniform(0.001, 0.02, blocks * length)
    return Auctions.in_blocks(np.full(value.size, price), value, np.zeros(value.size), length)
