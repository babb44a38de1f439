"""The four behaviours of the paper's timelines (Ni, Li, Zhang 2026, §3.1), in rising strength."""

from enum import IntEnum


class Behavior(IntEnum):
    """What a user did to an item. The integer is the code stored in features and fed to the model.

    >>> Behavior["cart".upper()].value
    2
    """

    VIEW = 0
    CLICK = 1
    CART = 2
    PURCHASE = 3


BEHAVIORS: tuple[str, ...] = tuple(behavior.name.lower() for behavior in Behavior)
"""Names as they stand in the `behavior` column of the events contract, indexed by code."""
