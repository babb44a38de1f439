"""Settings of the built-in simulator."""

from datetime import UTC, datetime
from typing import Annotated

from annotated_types import Ge, Gt, Le

from rosa_ray.settings import Tagged, section, tagged_each, wrong
from rosa_ray.simulation.laws import config_class, law_names
from rosa_ray.units import DAY_US


@section("simulation")
class SimulationConfig:
    """Size and laws of a simulated log. Equal configs give equal logs, whatever `partitions` is.

    >>> SimulationConfig(days=0)
    Traceback (most recent call last):
    rosa_ray.settings.fields.SettingError: simulation.days is 0; it must be at least 1
    """

    seed: Annotated[int, Ge(0)] = 7
    """Seed of every draw. Equal seeds give equal logs."""
    start: str = "2026-01-05"
    """First day, ISO date, UTC. Local time is UTC."""
    days: Annotated[int, Ge(1)] = 14
    """Length of the log."""
    users: Annotated[int, Ge(1)] = 6000
    """People in the log."""
    categories: Annotated[int, Ge(4)] = 60
    """Categories of items."""
    styles: Annotated[int, Ge(1)] = 4
    """Styles that the items of a category have."""
    items: Annotated[int, Ge(1)] = 3000
    """Items, at least one for each style of each category."""
    ads: Annotated[int, Ge(1)] = 600
    """Ads, at least one for each category and at most one for each item."""
    campaigns: Annotated[int, Ge(1)] = 30
    """Campaigns that the ads belong to."""
    regions: Annotated[int, Ge(1)] = 8
    """Regions that users live in."""
    events_per_user: Annotated[float, Gt(0)] = 100.0
    """Mean organic events of a user over the whole log. The spread is Taobao's."""
    requests_per_user: Annotated[float, Gt(0)] = 36.0
    """Mean ad requests of a user; each shows one ad."""
    candidates_per_request: Annotated[int, Ge(2)] = 10
    """Ads in each auction, at most half of `ads`."""
    policy_start_fraction: Annotated[float, Ge(0), Le(1)] = 0.7
    """Share of the period after which every candidate is written, for policy evaluation."""
    exploration: Annotated[float, Gt(0), Le(1)] = 0.3
    """Share of uniform choice in the logging policy."""
    cost_scale: Annotated[float, Gt(0)] = 0.006
    """Currency units that an impression costs at a market price of 1 fen per 1,000 impressions, in a category of median
    price 100. At 0.006 random choice loses a little and the oracle earns six times its cost."""
    noise: Annotated[float, Ge(0)] = 0.2
    """Standard deviation of the part of each logit that no feature explains."""
    chunk_users: Annotated[int, Ge(1)] = 512
    """Users that share one random stream. It is part of the log's identity."""
    partitions: Annotated[int, Ge(1)] = 8
    """Tasks and files the log is written in."""
    laws: tuple[Tagged, ...] = tagged_each(config_class, names=law_names)
    """Mechanisms beside those of the default world, each at most once, such as `[{name: chains}]`."""

    def __post_init__(self) -> None:
        groups, most = self.categories * self.styles, self.ads // 2
        if self.items < groups:
            raise wrong(self, "items", f"it must be at least categories * styles = {groups}")
        if not self.categories <= self.ads <= self.items:
            raise wrong(self, "ads", f"it must be from categories = {self.categories} to items = {self.items}")
        if self.candidates_per_request > most:
            raise wrong(self, "candidates_per_request", f"it must be from 2 to ads / 2 = {most}")
        names = [law.name for law in self.laws]
        if len(set(names)) < len(names):
            raise wrong(self, "laws", "each law may stand there once")
        if not _is_date(self.start):
            raise wrong(self, "start", "it must be an ISO date such as 2026-01-05")

    @property
    def start_us(self) -> int:
        """First instant of the log, microseconds UTC."""
        return int(datetime.fromisoformat(self.start).replace(tzinfo=UTC).timestamp()) * 1_000_000

    @property
    def end_us(self) -> int:
        """First instant after the log, microseconds UTC."""
        return self.start_us + self.days * DAY_US

    @property
    def policy_start_us(self) -> int:
        """First instant of the period whose candidates are all written, microseconds UTC."""
        return self.start_us + round(self.days * DAY_US * self.policy_start_fraction)

    @property
    def chunks(self) -> int:
        """Number of user chunks, the last one possibly short."""
        return -(-self.users // self.chunk_users)


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10
