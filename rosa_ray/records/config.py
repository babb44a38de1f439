"""Settings of live records, the same for a log, Kafka and `POST /events`."""

from typing import Annotated

from annotated_types import Ge, Gt, Unit

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
    max_bid_ratio: Annotated[float, Ge(1)] = 100.0
    """An impression whose bid is so many times above or below that of its ad in the catalogue is refused."""
    max_cost_per_bid: Annotated[float, Ge(1)] = 100.0
    """An impression that costs more than so many times its bid is refused."""
    max_click_cost_per_bid: Annotated[float, Ge(1)] = 1000.0
    """A click that costs more than so many bids of its ad is refused; a bid is for one impression."""
    max_cost_per_price: Annotated[float, Gt(0)] = 10.0
    """Where no bid is known, a cost of more than so many prices of what the ad sells is refused."""
    max_revenue_per_price: Annotated[float, Ge(1)] = 1000.0
    """A conversion with a revenue of more than so many prices of what the ad sells is refused."""
    max_hourly_cost_per_bid: Annotated[float, Ge(1)] = 10.0
    """What an ad costs in one hour may be so many times what was bid for it in that hour; what comes above is refused.
    Every process counts for itself."""
    hourly_grace_bids: Annotated[float, Ge(0), Unit("bids of the ad")] = 1000.0
    """What an ad may cost in an hour beside that, before its impressions of the hour are known."""

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
