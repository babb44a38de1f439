"""Behaviours: what users do to items, ordered by strength.

A team names its own in `features.behaviors`. The default are the four of the paper's timelines (Ni, Li, Zhang 2026,
§3.1), which are the simulator's too.
"""

from collections.abc import Mapping
from enum import IntEnum


class Behavior(IntEnum):
    """One of the default behaviours. The integer is its code under them.

    >>> Behavior["cart".upper()].value
    2
    """

    VIEW = 0
    CLICK = 1
    CART = 2
    PURCHASE = 3


BEHAVIORS: tuple[str, ...] = tuple(behavior.name.lower() for behavior in Behavior)
"""The default names, as they stand in the `behavior` column of the events contract, indexed by code."""

WEAKEST = 0
"""Code of the weakest behaviour, whatever its name."""

MOST_BEHAVIORS = 32


def by_strength(strengths: Mapping[str, int]) -> tuple[str, ...]:
    """Names of behaviours in rising strength: the place of a name is its code, in features and models.

    >>> by_strength({"order": 30, "view": 1, "wishlist": 2})
    ('view', 'wishlist', 'order')
    """
    return tuple(sorted(strengths, key=lambda name: strengths[name]))
