"""Settings of labels: how clicks and conversions of their own logs are joined, and when a label is final."""

from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from rosa_ray.settings import section, wrong
from rosa_ray.units import DAY_US, SECOND_US

MOST_DAYS = 366
MOST_HOURS = 24 * MOST_DAYS


@section("labels")
class LabelsConfig:
    """How clicks and conversions of logs of their own are joined, and from when on a label is final.

    >>> LabelsConfig(as_of="2026-01-01")
    Traceback (most recent call last):
    rosa_ray.settings.fields.SettingError: labels.as_of is '2026-01-01'; it must be ISO 8601 with an offset
    """

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
    attribution_days: Annotated[float, Ge(0), Le(MOST_DAYS)] = 0.0
    """A conversion counts so many days after its request at most, and a row is final when it is that old. 0 takes every
    label as final."""
    as_of: str = ""
    """The moment as of which the log is taken, ISO 8601 with an offset: what came later is not known. Empty takes the
    newest request or event."""
    young: Literal["leave_out", "weight"] = "leave_out"
    """What rows that are not final count in conversions and revenue: nothing, or weighted by how long conversions of
    final rows took. In clicks they always count."""

    def __post_init__(self) -> None:
        try:
            known = not self.as_of or datetime.fromisoformat(self.as_of).tzinfo is not None
        except ValueError:
            known = False
        if not known:
            raise wrong(self, "as_of", "it must be ISO 8601 with an offset")

    @property
    def as_of_us(self) -> int | None:
        """The moment in microseconds; None where the log says it."""
        return round(datetime.fromisoformat(self.as_of).timestamp() * SECOND_US) if self.as_of else None

    @property
    def window_us(self) -> int | None:
        """How long after its request a conversion counts; None for ever."""
        return round(self.attribution_days * DAY_US) or None
