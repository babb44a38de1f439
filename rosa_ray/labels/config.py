"""Settings of labels: how clicks and conversions of their own logs are joined, and when a label is final."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from rosa_ray.settings import section

MOST_HOURS = 24 * 366


@section("labels")
class LabelsConfig:
    """What a click and a conversion of an impression is, where they have logs of their own."""

    click_hours: Annotated[float, Gt(0), Le(MOST_HOURS)] = 24.0
    """A click that names no impression belongs to the last impression of its user and ad that came at most so many
    hours before."""
    click_through_hours: Annotated[float, Gt(0), Le(MOST_HOURS)] = 720.0
    """A conversion follows a click that came at most so many hours before."""
    view_through_hours: Annotated[float, Ge(0), Le(MOST_HOURS)] = 24.0
    """A conversion without a click follows an impression that came at most so many hours before; 0 has none. It counts
    in counters and is no label of a model."""
    touch: Literal["last", "first"] = "last"
    """Which click or impression a conversion follows, where several of its user and ad lie in the window."""
    conversions_per_click: Literal["all", "first"] = "all"
    """Whether revenue is that of all conversions of a click, or of the first one. A click converts once, at the time of
    the first. Refunds are taken from the revenue."""
