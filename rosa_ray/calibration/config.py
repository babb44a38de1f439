"""Settings of calibration."""

from typing import Annotated, Literal

from annotated_types import Ge

from rosa_ray.settings import section

Method = Literal["auto", "isotonic", "platt", "none"]


@section("calibration")
class CalibrationConfig:
    """How scores are corrected after training."""

    method: Method = "auto"
    """`platt` fits a slope and a shift of the logit, `isotonic` a monotone piecewise-linear map of it. `auto` takes
    isotonic for heads with `isotonic_positives` or more. `none` leaves the scores alone."""
    isotonic_positives: Annotated[int, Ge(1)] = 1000
    """Positives of the validation period from which `auto` takes isotonic."""
    knot_positives: Annotated[int, Ge(1)] = 100
    """Positives behind one knot of an isotonic map, at least."""
    prior_positives: Annotated[float, Ge(0)] = 25.0
    """Weight of "the model is right", in positives. A head with that many is moved half of the way."""
