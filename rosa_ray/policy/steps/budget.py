"""Spend a budget where it brings most: a price for each campaign's money, and a stop when it is gone.

With λ and μ the prices of `rosa_ray.policy.pacing`, and a score of revenue - θ·cost, an ad of a campaign scores

    (1 + λ)·revenue - (λ·γ + μ + θ)·cost,

γ its least return. So an expensive impression is left to a later request that brings more for the same money. Ads that
score nothing above 0 are taken out, and all of a campaign whose budget would not pay for them. Campaigns that are not
named are left as they are.

A least return holds from the first impression on: as long as the revenue told is not γ times the cost told, only ads
that are expected to return γ are shown. Where no ad is, the campaign shows nothing, and the answer says so.
"""

import threading
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.ledger import COST, HOURS, REVENUE, Ledger, micros
from rosa_ray.policy.pacing import Plan, Prices, even_profile, prices_at
from rosa_ray.policy.reserve import Reserve
from rosa_ray.policy.slate import Shown, Slate
from rosa_ray.schema.keys import hash_id
from rosa_ray.settings import section, wrong
from rosa_ray.units import HOUR_US, MICROS_PER_UNIT, SECOND_US

SCORES = ("dual", "profit")
_UNLIMITED = np.iinfo(np.int64).max
_NO_DAY = np.iinfo(np.int64).min


@section("serving.policy.*.campaigns.*")
class Campaign:
    """What a campaign may spend and must return."""

    daily_budget: Annotated[float, Gt(0), Le(1e9)] | None = None
    """Currency units that it may spend on a day. null is no limit."""
    min_roas: Annotated[float, Gt(0)] | None = None
    """Least revenue over cost. null asks for none."""
    start: Annotated[float, Ge(0)] | None = None
    """Price of its budget before anything was spent. null takes that of the step."""


@section("serving.policy.*")
class Config:
    """Budgets of campaigns. It needs `serving.score` `dual` or `profit`."""

    campaigns: dict[str, Campaign]
    """What each campaign may spend, by its id."""
    rate: Annotated[float, Ge(0)] = 2.0
    """Step of the descent: in a day on which a campaign spends twice its share, 1 + price grows by e to this power. 0
    keeps prices where they start."""
    start: Annotated[float, Ge(0)] = 0.0
    """Price of every budget before anything was spent: what a unit of cost has to bring beside what the score asks
    for. `rosa value RUN --budgets` prints what fits a log."""
    profile: tuple[Annotated[float, Ge(0)], ...] = ()
    """Traffic of each of the 24 hours of a day, in any unit. Empty takes all hours for alike."""
    day_offset_hours: Annotated[float, Ge(-24), Le(24)] = 0.0
    """What is added to UTC before the day and the hour are taken: the time zone of budgets."""
    memory_days: Annotated[int, Ge(1), Le(60)] = 7
    """Days whose spend decides about prices and least returns."""
    replicas: Annotated[int, Ge(1)] = 2
    """Scorers that serve at once, at most; a rollout has one more. See `rosa_ray.policy.reserve`."""
    settle_s: Annotated[float, Gt(0)] = 60.0
    """Time in which the impression of an answer is in the store."""

    def __post_init__(self) -> None:
        if self.profile and (len(self.profile) != HOURS or not sum(self.profile) > 0):
            raise wrong(self, "profile", f"it needs {HOURS} numbers, not all of them 0")


class Rule:
    """Prices budgets, and stops where they are gone. Safe in several threads.

    The state is cost and revenue by campaign and hour. What was spent is what was told, until `share` is called: from
    then on it is what a ledger that several replicas share says of it, and this one gives out its part.

    Args:
        named: campaigns by key, instead of those that the config names by id.
    """

    def __init__(self, config: Config, name: str = "budget", named: Mapping[int, Campaign] | None = None) -> None:
        self.config, self.name = config, name
        ids = {hash_id(one): one for one in config.campaigns} if named is None else {key: str(key) for key in named}
        known = {hash_id(one): campaign for one, campaign in config.campaigns.items()} if named is None else named
        keys = sorted(ids)
        self.campaign_key: Ints = np.array(keys, np.int64)
        self._ids = [ids[key] for key in keys]
        self._plan = _plan(config, [known[key] for key in keys])
        self._limited = np.isfinite(self._plan.budget)
        self._budget_micros = np.where(self._limited, micros(np.where(self._limited, self._plan.budget, 0)), _UNLIMITED)
        self._offset_us = round(config.day_offset_hours * HOUR_US)
        self._told, self._lock = self._empty(), threading.RLock()
        self._seen: Ledger | None = None
        self._seen_day = 0
        self._reserve = Reserve(len(keys), config.replicas, round(config.settle_s * SECOND_US))
        self._known: Prices | None = None
        self._left: tuple[int, Ints] | None = None
        self._total = self._told.total()

    def apply(self, slate: Slate) -> Slate:
        """The slate with scores that count the price of budgets, without what these do not pay for."""
        at, mine = self._told.rows_of(slate.campaign_key)
        if not mine.any():
            return slate
        with self._lock:
            prices, room = self._prices(slate.time_us), self._room(slate.time_us)
            earned, paid = self._total[:, REVENUE][at], self._total[:, COST][at]
        gamma = self._plan.min_roas[at]
        surplus = slate.revenue - gamma * slate.cost
        moved = slate.score + prices.of_return[at] * surplus - prices.of_budget[at] * slate.cost
        score: Floats = np.where(mine, moved, slate.score)
        slack = earned / MICROS_PER_UNIT - gamma * (paid / MICROS_PER_UNIT)
        reasons = (
            ("its budget is spent", mine & (micros(slate.cost) > room[at])),
            ("its ads do not return min_roas", mine & (gamma > 0) & (surplus < 0) & (slack + surplus < 0)),
            ("its ads are worth less than its budget costs", mine & (score <= 0)),
        )
        slate = slate.with_score(score, self.name)
        dropped = reasons[0][1] | reasons[1][1] | reasons[2][1]
        return slate.without(dropped, self.name, self._why(at, slate.shown & dropped, reasons))

    def tell(self, shown: Shown) -> None:
        """Add what impressions cost and brought."""
        with self._lock:
            changed = self._told.fold(shown.campaign_key, shown.time_us, micros(shown.cost), micros(shown.revenue))
            self._recount(changed)

    def snapshot(self) -> dict[str, Any]:
        """What was told, as of `rosa_ray.policy.ledger.Ledger.snapshot`."""
        with self._lock:
            told = self._told.snapshot()
            return {**told, "sums": told["sums"].copy()}

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """Add what another process was told of other impressions."""
        with self._lock:
            self._told.merge(snapshot)
            self._known, self._left, self._total = None, None, self._told.total()

    def share(self) -> None:
        """Go by a ledger that all replicas share from now on; nothing is given out before `see` has told of it."""
        with self._lock:
            self._seen, self._seen_day, self._known, self._left = self._empty(), _NO_DAY, None, None

    def see(self, campaign_key: Ints, bucket_us: Ints, cost_micros: Ints, time_us: int) -> None:
        """Take what a ledger that all replicas share says of the last `memory_days` days, in place of what was told.

        Args:
            campaign_key, bucket_us, cost_micros: int64 (n,), a row for each campaign and bucket of time, by its start.
            time_us: of the reading.
        """
        seen = self._empty()
        seen.fold(campaign_key, bucket_us, cost_micros, np.zeros_like(cost_micros))
        day, _ = seen.moment(time_us)
        spent = seen.of_day(day)[:, COST]
        with self._lock:
            if self._known and not (self._seen and self._seen.equals(seen, self._known.day, self._known.hour)):
                self._known = None
            self._seen, self._seen_day, self._left = seen, int(day), None
            self._reserve.read(self._budget_micros - np.minimum(spent, self._budget_micros), time_us)

    def answered(self, slate: Slate, now_us: int) -> None:
        """Count the first ad of an answer against what this replica may give out, until its impression is seen."""
        if self._seen is None or not slate.order.size:
            return
        first = slate.order[:1]
        at, mine = self._told.rows_of(slate.campaign_key[first])
        if mine[0]:
            with self._lock:
                self._reserve.take(int(at[0]), int(micros(slate.cost[first])[0]), now_us)

    def begins_us(self, time_us: int) -> int:
        """From when on a shared ledger is read at a time, microseconds: the beginning of the first day that counts."""
        day, _ = self._told.moment(time_us)
        return (day - self.config.memory_days + 1) * HOURS * HOUR_US - self._offset_us

    def prices(self, time_us: int) -> dict[str, tuple[float, float]]:
        """μ and λ of each campaign at a time, by its id."""
        with self._lock:
            prices = self._prices(time_us)
        pairs = zip(prices.of_budget.tolist(), prices.of_return.tolist(), strict=True)
        return dict(zip(self._ids, pairs, strict=True))

    def _empty(self) -> Ledger:
        return Ledger(self.campaign_key, self.config.memory_days, self._offset_us)

    def _recount(self, hours: Ints) -> None:
        """Forget prices that changed hours decided about."""
        known = self._known
        self._total, self._left = self._told.total(), None
        if known is not None and len(hours) and hours[0] < known.day * HOURS + known.hour:
            self._known = None

    def _prices(self, time_us: int) -> Prices:
        spent, (day, hour) = self._told if self._seen is None else self._seen, self._told.moment(time_us)
        if self._known is None or (self._known.day, self._known.hour) != (day, hour):
            # On another day other days count, so that the descent begins anew.
            known = self._known if self._known and self._known.day == day else None
            self._known = prices_at(spent, self._told, self._plan, day, hour, known)
        return self._known

    def _room(self, time_us: int) -> Ints:
        day, _ = self._told.moment(time_us)
        if self._seen is None:
            left = self._left_of(self._told, day)
        else:
            left = self._reserve.room(time_us) if day == self._seen_day else self._left_of_another(day)
        return np.where(self._limited, left, _UNLIMITED)

    def _left_of_another(self, day: int) -> Ints:
        """What is left of a day that is past; nothing yet of one that no reading has reached."""
        if self._seen is None or day > self._seen_day:
            return np.zeros_like(self._budget_micros)
        return self._left_of(self._seen, day)

    def _left_of(self, ledger: Ledger, day: int) -> Ints:
        if self._left is None or self._left[0] != day:
            self._left = day, self._budget_micros - ledger.of_day(day)[:, COST]
        return self._left[1]

    def _why(self, at: Ints, dropped: np.ndarray, reasons: tuple[tuple[str, np.ndarray], ...]) -> dict[str, str]:
        """By campaign that lost ads, the first reason that one of them had."""
        why: dict[str, str] = {}
        for words, which in reasons[::-1]:
            for one in set(at[dropped & which].tolist()):
                why[self._ids[one]] = words
        return dict(sorted(why.items()))


def _plan(config: Config, campaigns: list[Campaign]) -> Plan:
    profile = np.array(config.profile) / sum(config.profile) if config.profile else even_profile()
    return Plan(
        budget=np.array([np.inf if one.daily_budget is None else one.daily_budget for one in campaigns]),
        min_roas=np.array([one.min_roas or 0.0 for one in campaigns]),
        start=np.array([_start(config, one) for one in campaigns]),
        rate=config.rate,
        profile=profile,
    )


def _start(config: Config, one: Campaign) -> float:
    if one.daily_budget is None:
        return 0.0
    return config.start if one.start is None else one.start
