"""Settings of calibration."""

from dataclasses import dataclass
from typing import Literal

from rosa_ray.errors import ConfigError

Method = Literal["auto", "isotonic", "platt", "none"]


@dataclass(frozen=True)
class CalibrationConfig:
    """How scores are corrected after training.

    Attributes:
        method: `platt` fits a slope and a shift of the logit; `isotonic` a monotone piecewise-linear map of it; `auto`
            takes isotonic for heads with `isotonic_positives` or more; `none` leaves the scores alone, but for the
            sampling correction.
        negative_keep_rate: share of the non-clicked impressions that the log kept, in (0, 1]. Below 1 the log is
            sampled, and probabilities are corrected to those of all impressions (He et al. 2014, §6.3).
        isotonic_positives: positives of the validation period from which `auto` takes isotonic.
        knot_positives: positives behind one knot of an isotonic map, at least.
        prior_positives: weight of "the model is right", in positives: a head with that many is moved half of the way.

    Raises:
        ConfigError: a value is out of range.
    """

    method: Method = "auto"
    negative_keep_rate: float = 1.0
    isotonic_positives: int = 1000
    knot_positives: int = 100
    prior_positives: float = 25.0

    def __post_init__(self) -> None:
        if not 0 < self.negative_keep_rate <= 1:
            raise ConfigError(f"calibration.negative_keep_rate is {self.negative_keep_rate}; it must be in (0, 1]")
        for name in ("isotonic_positives", "knot_positives"):
            if getattr(self, name) < 1:
                raise ConfigError(f"calibration.{name} is {getattr(self, name)}; it must be at least 1")
        if not self.prior_positives >= 0:
            raise ConfigError(f"calibration.prior_positives is {self.prior_positives}; it must be 0 or more")
