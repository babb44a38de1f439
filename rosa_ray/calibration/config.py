"""Settings of calibration."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

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
    day_spread: Annotated[float, Ge(0), Le(1)] = 0.0
    """By how much levels differ from day to day for no reason that a model sees, as a spread of their logs: 0.1 is
    10 %. A validation period of few days then counts for less. 0 takes what it says for every day to come."""
    population: Literal["shown", "candidates"] = "shown"
    """Which ads probabilities are right for: those that the log shows, or all that compete for a request. A policy that
    shows what users like leaves candidates worse than what it shows. `candidates` weighs each shown row by 1 over its
    propensity; without propensities it is `shown`."""
    slope_caution: Annotated[float, Ge(0)] = 10.0
    """How many times more evidence the slope of a head needs than its level. 1 lets some hundred positives tell how far
    scores of one request should lie apart."""
    cvr_slope: Annotated[float, Ge(0), Le(1)] = 1.0
    """Slope of the conversion head before any evidence: 1 takes the model as right, 0 one rate for all."""
    value: Literal["learned", "shrunk"] = "learned"
    """`learned` takes the value head as it is. `shrunk` keeps to the catalogue price, and leaves it only as far as the
    validation period's conversions carry."""
    profit_kept: Annotated[float, Gt(0), Le(1)] = 0.95
    """Share of the best expected profit that ranking by `dual` keeps. What it gives away buys a higher return on less
    spend: theta is the highest that keeps so much on the candidates of the validation period. 1 is the most profit."""
