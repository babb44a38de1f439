"""What a policy is told of candidates: the truth, the truth with errors, or what a model knows that learns every night.

An estimate stands in for a model. A trained model may take its place, see `Model`. Policies of one run may have
different ones, see `rosa_ray.arena.players`.
"""

import copy
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np

from rosa_ray.arena.slates import Slates
from rosa_ray.arrays import Floats, Ints
from rosa_ray.simulation.clockwork import Recorder
from rosa_ray.simulation.response import VIEWABLE
from rosa_ray.simulation.users import Users
from rosa_ray.simulation.world import World

KINDS = ("noisy", "true", "nightly")
"""What stands in for a model."""

MODEL = "model"
"""Name of a trained one."""

PRIOR_CLICKS, PRIOR_CONVERSIONS = 1.5, 2.5
"""What a model that learns every night expects of an ad before its own impressions tell: as if so many clicks, and
conversions, of ads like it were known. 1 / (exp(v) - 1) for the variances v = .5 and .32 of the law `births`."""


@dataclass(frozen=True)
class Impressions:
    """Impressions that happened, n of them, with what was true of each; fields are (n,) and as those of `Slates`.

    Attributes:
        click, conversion: what came of it, however late.
    """

    user: Ints
    ad: Ints
    p_ctr: Floats
    p_cvr: Floats
    untold_click: Floats
    untold_conversion: Floats
    click: np.ndarray
    conversion: np.ndarray

    @classmethod
    def of(
        cls, slates: Slates, slot: Ints, happened: np.ndarray, click: np.ndarray, conversion: np.ndarray
    ) -> "Impressions":
        """Those of the chosen candidates of some requests."""
        at = np.flatnonzero(happened)
        one = at, slot[at]
        truth = (
            slates.p_ctr_NK[one],
            slates.p_cvr_NK[one],
            slates.untold_click_NK[one],
            slates.untold_conversion_NK[one],
        )
        return cls(slates.user[at], slates.ad_NK[one], *truth, click[at], conversion[at])

    @classmethod
    def joined(cls, parts: "list[Impressions]") -> "Impressions":
        """All of some impressions; there is at least one part."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class Estimates:
    """The truth; the other estimates change some of it."""

    nightly = False
    """Whether something is learned at midnight."""

    recorder: Recorder | None = None
    """Takes what happens from the first day on, where estimates follow from it."""

    def on(self, slates: Slates) -> Slates:
        """What is known of requests."""
        nothing = np.zeros(slates.ad_NK.shape)
        return replace(slates, untold_click_NK=nothing, untold_conversion_NK=nothing)

    def tell(self, impressions: Impressions) -> None:
        """Take in what happened; only estimates that learn are told."""

    def midnight(self) -> None:
        """Learn from what was told."""

    def fork(self) -> "Estimates":
        """A copy that learns by itself."""
        return self


class Model(Protocol):
    """A trained model that can play."""

    def begin(self, world: World, users: Users, before: Recorder) -> Estimates:
        """Make its estimates when the first day begins.

        Args:
            before: what happened until then.

        Raises:
            ConfigError: it was not trained on a log of this world.
        """


class Noisy(Estimates):
    """The truth with a fixed error for each user and ad."""

    def __init__(self, noise: "Noise") -> None:
        self.noise = noise

    def on(self, slates: Slates) -> Slates:
        """With the errors."""
        return super().on(moved(slates, *self.noise.at(slates.user[:, None], slates.ad_NK)))


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
        self._told: list[Impressions] = []

    def on(self, slates: Slates) -> Slates:
        """With the errors, and with what impressions told of the ads instead of what they are."""
        click = self._log_click_A[slates.ad_NK] - slates.untold_click_NK
        conversion = self._log_conversion_A[slates.ad_NK] - slates.untold_conversion_NK
        return super().on(moved(slates, click, conversion))

    def tell(self, impressions: Impressions) -> None:
        """Keep it until midnight."""
        self._told.append(impressions)

    def midnight(self) -> None:
        """Learn from what was told, beside what the model expected as if all ads of equal attributes were equal."""
        if self._told:
            told = Impressions.joined(self._told)
            click, conversion = self.noise.at(told.user, told.ad)
            p_ctr = VIEWABLE * _moved(told.p_ctr / VIEWABLE, click - told.untold_click)
            p_cvr = _moved(told.p_cvr, conversion - told.untold_conversion)
            for sums, values in zip(
                self._sums_4A, (p_ctr, told.click, p_cvr * told.click, told.conversion), strict=True
            ):
                np.add.at(sums, told.ad, values)
            self._told = []
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

    def at(self, user: Ints, ad: Ints) -> tuple[Floats, Floats]:
        """The errors of the logits of click and conversion, of users and ads of any shapes that go together."""
        return self.click_UA[user, ad].astype(float), self.conversion_UA[user, ad].astype(float)


def moved(slates: Slates, click_NK: Floats, conversion_NK: Floats) -> Slates:
    """The same requests with something added to both logits."""
    clicks = VIEWABLE * _moved(slates.p_ctr_NK / VIEWABLE, click_NK)
    return replace(slates, p_ctr_NK=clicks, p_cvr_NK=_moved(slates.p_cvr_NK, conversion_NK))


def _moved(p: Floats, logit: Floats) -> Floats:
    odds = p / np.maximum(1 - p, 1e-12) * np.exp(logit)
    return odds / (1 + odds)
