"""What a policy is told of candidates: the truth, the truth with errors, or what a model knows that learns every night.

An estimate stands in for a model. Policies of one run may have different ones, see `rosa_ray.arena.players`.
"""

import copy
from dataclasses import replace
from typing import Literal

import numpy as np

from rosa_ray.arena.slates import Slates
from rosa_ray.arrays import Floats, Ints
from rosa_ray.simulation.response import VIEWABLE

Kind = Literal["noisy", "true", "nightly"]

PRIOR_CLICKS, PRIOR_CONVERSIONS = 1.5, 2.5
"""What a model that learns every night expects of an ad before its own impressions tell: as if so many clicks, and
conversions, of ads like it were known. 1 / (exp(v) - 1) for the variances v = .5 and .32 of the law `births`."""


class Estimates:
    """The truth; the other estimates change some of it."""

    nightly = False
    """Whether something is learned at midnight."""

    def base(self, slates: Slates) -> Slates:
        """What would be known of requests without what was learned of ads; money as it is."""
        return slates

    def taught(self, base: Slates) -> Slates:
        """What is known of requests, from what `base` says of them."""
        return replace(base, untold_click_NK=_nothing(base), untold_conversion_NK=_nothing(base))

    def on(self, slates: Slates) -> Slates:
        """What is known of requests."""
        return self.taught(self.base(slates))

    def tell(self, ad: Ints, p_ctr: Floats, p_cvr: Floats, click: np.ndarray, conversion: np.ndarray) -> None:
        """Take in n impressions with what `base` expected of them."""

    def midnight(self) -> None:
        """Learn from what was told."""

    def fork(self) -> "Estimates":
        """A copy that learns by itself."""
        return self


class Noisy(Estimates):
    """The truth with a fixed error for each user and ad."""

    def __init__(self, noise: "Noise") -> None:
        self.noise = noise

    def base(self, slates: Slates) -> Slates:
        """With the errors."""
        return self.noise.on(slates)


class Nightly(Noisy):
    """A model that learns at midnight from all impressions of its own policy, and knows new ads by their attributes.

    It has the errors of `Noisy`. Of what only an ad's own impressions tell it knows what clicks over expected clicks
    said until the last midnight, shrunk to the mean of all ads; and the same of conversions. A conversion is known at
    the midnight after its click, however late it comes.
    """

    nightly = True

    def __init__(self, noise: "Noise", ads: int) -> None:
        super().__init__(noise)
        self._sums_4A = np.zeros((4, ads))
        """Clicks expected and clicks, conversions expected of those clicks and conversions, by ad."""
        self._log_click_A, self._log_conversion_A = np.zeros(ads), np.zeros(ads)

    def base(self, slates: Slates) -> Slates:
        """With the errors, as if all ads of equal attributes were equal."""
        return moved(super().base(slates), -slates.untold_click_NK, -slates.untold_conversion_NK)

    def taught(self, base: Slates) -> Slates:
        """With what impressions told of the ads."""
        ad_NK = base.ad_NK
        return super().taught(moved(base, self._log_click_A[ad_NK], self._log_conversion_A[ad_NK]))

    def tell(self, ad: Ints, p_ctr: Floats, p_cvr: Floats, click: np.ndarray, conversion: np.ndarray) -> None:
        """Add up."""
        for sums, values in zip(self._sums_4A, (p_ctr, click, p_cvr * click, conversion), strict=True):
            np.add.at(sums, ad, values)

    def midnight(self) -> None:
        """Learn."""
        expected_clicks_A, clicks_A, expected_conversions_A, conversions_A = self._sums_4A
        self._log_click_A = _log_factor(expected_clicks_A, clicks_A, PRIOR_CLICKS)
        self._log_conversion_A = _log_factor(expected_conversions_A, conversions_A, PRIOR_CONVERSIONS)

    def fork(self) -> "Nightly":
        """A copy with sums of its own; errors are shared."""
        return copy.deepcopy(self, {id(self.noise): self.noise})


def _log_factor(expected_A: Floats, found_A: Floats, prior: float) -> Floats:
    """Log of found over expected of each ad, shrunk to that of all ads."""
    mean = (found_A.sum() + prior) / (expected_A.sum() + prior)
    factor: Floats = np.log((found_A + prior * mean) / (expected_A + prior))
    return factor


def _nothing(slates: Slates) -> Floats:
    return np.zeros(slates.ad_NK.shape)


class Noise:
    """A fixed error in each logit, by user and ad.

    The same user and ad have the same error in all requests and under all policies. The level stays about right: the
    mean of the exponential of an error is 1.

    >>> noise = Noise(2, 3, deviation=0.5, seed=1)
    >>> noise.click_UA.shape, bool(abs(np.exp(Noise(300, 300, 0.5, 1).click_UA).mean() - 1) < 0.02)
    ((2, 3), True)
    """

    def __init__(self, users: int, ads: int, deviation: float, seed: int) -> None:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,)))
        shift = -(deviation**2) / 2
        self.click_UA, self.conversion_UA = (
            (shift + deviation * rng.standard_normal((users, ads), dtype=np.float32)).astype(np.float32)
            for _ in range(2)
        )

    def on(self, slates: Slates) -> Slates:
        """The same requests as a model with these errors sees them."""
        at = slates.user[:, None], slates.ad_NK
        return moved(slates, self.click_UA[at].astype(float), self.conversion_UA[at].astype(float))


def moved(slates: Slates, click_NK: Floats, conversion_NK: Floats) -> Slates:
    """The same requests with something added to both logits."""
    clicks = VIEWABLE * _moved(slates.p_ctr_NK / VIEWABLE, click_NK)
    return replace(slates, p_ctr_NK=clicks, p_cvr_NK=_moved(slates.p_cvr_NK, conversion_NK))


def _moved(p: Floats, logit: Floats) -> Floats:
    odds = p / np.maximum(1 - p, 1e-12) * np.exp(logit)
    return odds / (1 + odds)
