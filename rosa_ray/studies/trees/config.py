"""Settings of boosted trees."""

from dataclasses import dataclass

TREES = "trees"
"""Name of the model, where rankers have theirs."""

WINDOW = 150
"""Events before an impression that are looked at: as many as the exact match of rankers counts."""

RATES = (0.02, 0.05)
"""Shrinkages to choose from on the validation period, as rankers choose from `study.learning_rates`."""


@dataclass(frozen=True)
class TreesConfig:
    """What the trees are told.

    Attributes:
        transitions: also how the ad's category and item follow the user's last ones in other users' events.
        within_category: and how like its item is to those that the user met in its category. Needs `transitions`.
        prices: and where its price stands against those that the user looked at. Needs `transitions`.
    """

    transitions: bool = False
    within_category: bool = False
    prices: bool = False
