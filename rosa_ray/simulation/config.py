"""Settings of the built-in simulator."""

from dataclasses import dataclass
from datetime import UTC, datetime

from rosa_ray.errors import ConfigError
from rosa_ray.units import DAY_US


@dataclass(frozen=True)
class SimulationConfig:
    """Size and laws of a simulated log. Equal configs give equal logs, whatever `partitions` is.

    Attributes:
        start: first day, ISO date, UTC (local time is UTC).
        events_per_user: mean organic events a user over the whole log; the spread is Taobao's.
        requests_per_user: mean ad requests a user; each shows one ad.
        candidates_per_request: ads in each auction, at most half of `ads`.
        policy_start_fraction: share of the period after which every candidate is written, for policy evaluation.
        exploration: share of uniform choice in the logging policy, in (0, 1].
        cost_scale: currency units an impression costs at a market price of 1 fen per 1,000 impressions, in a
            category of median price 100. At 0.006 random choice loses a little and the oracle earns six times its cost.
        noise: standard deviation of the part of each logit that no feature explains.
        chunk_users: users that share one random stream; part of the log's identity.
        partitions: tasks and files the log is written in.

    Raises:
        ConfigError: a value is out of range.

    >>> SimulationConfig(days=0)
    Traceback (most recent call last):
    rosa_ray.errors.ConfigError: simulation.days is 0; it must be at least 1
    """

    seed: int = 7
    start: str = "2026-01-05"
    days: int = 14
    users: int = 6000
    categories: int = 60
    styles: int = 4
    items: int = 3000
    ads: int = 600
    campaigns: int = 30
    regions: int = 8
    events_per_user: float = 100.0
    requests_per_user: float = 36.0
    candidates_per_request: int = 10
    policy_start_fraction: float = 0.8
    exploration: float = 0.3
    cost_scale: float = 0.006
    noise: float = 0.2
    chunk_users: int = 512
    partitions: int = 8

    def __post_init__(self) -> None:
        for name in ("days", "users", "styles", "campaigns", "regions", "chunk_users", "partitions"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.seed >= 0, "seed", self.seed, "0 or more")
        _require(self.categories >= 4, "categories", self.categories, "at least 4")
        groups = self.categories * self.styles
        _require(self.items >= groups, "items", self.items, f"at least categories * styles = {groups}")
        _require(self.ads >= self.categories, "ads", self.ads, f"at least categories = {self.categories}")
        _require(self.ads <= self.items, "ads", self.ads, f"at most items = {self.items}")
        _require(self.events_per_user > 0, "events_per_user", self.events_per_user, "positive")
        _require(self.requests_per_user > 0, "requests_per_user", self.requests_per_user, "positive")
        most = self.ads // 2
        candidates = self.candidates_per_request
        _require(2 <= candidates <= most, "candidates_per_request", candidates, f"from 2 to ads / 2 = {most}")
        fraction = self.policy_start_fraction
        _require(0 <= fraction <= 1, "policy_start_fraction", fraction, "from 0 to 1")
        _require(0 < self.exploration <= 1, "exploration", self.exploration, "above 0, at most 1")
        _require(self.cost_scale > 0, "cost_scale", self.cost_scale, "positive")
        _require(self.noise >= 0, "noise", self.noise, "0 or more")
        _require(_is_date(self.start), "start", self.start, "an ISO date such as 2026-01-05")

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
        return self.start_us + int(self.days * DAY_US * self.policy_start_fraction)

    @property
    def chunks(self) -> int:
        """Number of user chunks, the last one possibly short."""
        return -(-self.users // self.chunk_users)


def _require(holds: bool, name: str, value: object, right: str) -> None:
    if not holds:
        raise ConfigError(f"simulation.{name} is {value}; it must be {right}")


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10
