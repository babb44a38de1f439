"""Settings of live records, the same for a log, Kafka and `POST /events`."""

from rosa_ray.settings import section, wrong
from rosa_ray.sources.protocol import TimeUnit
from rosa_ray.sources.times import TimeForm
from rosa_ray.sources.zones import known_zone


@section("records")
class RecordsConfig:
    """How producers write live records."""

    time_unit: TimeUnit = ""
    """Unit of times that are numbers since 1970: `s`, `ms`, `us` or `ns`. Empty refuses them."""
    time_zone: str = ""
    """Zone of times written without one, such as `UTC`, `Europe/Paris` or `+05:30`. Empty refuses them."""

    def __post_init__(self) -> None:
        if self.time_zone and not known_zone(self.time_zone):
            raise wrong(self, "time_zone", "it must be a zone such as UTC or Europe/Paris, or an offset such as +05:30")

    @property
    def time_form(self) -> TimeForm:
        """How times are written.

        >>> RecordsConfig(time_unit="ms").time_form.unit
        'ms'
        """
        return TimeForm(unit=self.time_unit, zone=self.time_zone)
