"""Equal worlds under different policies: a common past under the logging policy, then each policy's own days.

Users, timetables, candidates, bids, market prices and answers are drawn from the seed, in an order that no choice
moves. What differs between policies follows from choices: who saw an ad too often, and who clicked or bought. Where
users went another way, their later candidates and events differ too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from rosa_ray.arena.clusters import clusters_of
from rosa_ray.arena.estimates import Estimates, Kind, Nightly, Noise, Noisy
from rosa_ray.arena.ledger import Ledger
from rosa_ray.arena.players import Player, parse_player
from rosa_ray.arena.policies import Known, Logging, Policy
from rosa_ray.arena.schedule import Moments, Round, draw_population, rounds_of
from rosa_ray.arena.slates import NONE, Slates, true_slates
from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.slate import Shown
from rosa_ray.settings import section, wrong
from rosa_ray.simulation import SimulationConfig, World, build_world, enact
from rosa_ray.simulation.clockwork import Clockwork, Recorder
from rosa_ray.units import DAY_US, MINUTE_US

Progress = Callable[[str, int, int], None]
"""Told the name of what is walked, the day from 1, and how many days there are."""


@section("arena")
class ArenaConfig:
    """How policies are tried.

    >>> ArenaConfig(tick_minutes=7)
    Traceback (most recent call last):
    rosa_ray.settings.fields.SettingError: arena.tick_minutes is 7; it must divide a day
    """

    days: Annotated[int, Ge(1)] = 7
    """Last days of the log, on which policies choose. The days before, at least one, go by the logging policy."""
    budget_share: Annotated[float, Ge(0), Le(1)] = 0.0
    """Budget of each campaign a day, as a share of what the base policy spends without budgets. At 0 there are none."""
    base: str = "roi"
    """Policy whose spend budgets are shares of."""
    noise: Annotated[float, Ge(0)] = 0.6
    """Standard deviation of the error of noisy estimates, in each logit."""
    tick_minutes: Annotated[int, Gt(0)] = 5
    """Length of a tick. A policy sees requests in the order of ticks."""

    def __post_init__(self) -> None:
        if DAY_US % (self.tick_minutes * MINUTE_US):
            raise wrong(self, "tick_minutes", "it must divide a day")


@dataclass(frozen=True)
class Run:
    """What one policy did.

    Attributes:
        seconds: of the processor that its days took.
        policy: as it was at the end.
    """

    name: str
    ledger: Ledger
    policy: Policy
    seconds: float


class Arena:
    """One world, whose last days can be played again and again.

    Args:
        recorder: keeps the days before, see `Clockwork`.

    Attributes:
        budget_M: daily budget of each campaign, currency units; infinite without budgets.
    """

    def __init__(
        self,
        simulation: SimulationConfig,
        config: ArenaConfig,
        progress: Progress = lambda *_: None,
        recorder: Recorder | None = None,
    ) -> None:
        if config.days >= simulation.days:
            raise wrong(config, "days", f"it must be below simulation.days = {simulation.days}")
        self.simulation, self.config, self._progress = simulation, config, progress
        self.start_us = simulation.end_us - config.days * DAY_US
        world = build_world(simulation)
        users, self._moments = draw_population(simulation, world)
        rng = np.random.default_rng(np.random.SeedSequence(simulation.seed, spawn_key=(5,)))
        self._clock = Clockwork(simulation, world, users, enact(simulation, world, len(users)), rng, True, recorder)
        ads = len(world.ad_item_A)
        self._noise = Noise(len(users), ads, config.noise, simulation.seed)
        # One model learns from the days before; each policy's own goes on from there.
        self._learned, self._impressions_A = Nightly(self._noise, ads), np.zeros(ads)
        self._cluster_UC = np.ones((len(users), 1))
        self._base = parse_player(config.base)
        self.campaigns = int(world.ad_campaign_A.max()) + 1
        self.budget_M = np.full(self.campaigns, np.inf)
        self._recorded: Slates | None = None
        rounds = list(rounds_of(self._moments, simulation.start_us, config.tick_minutes * MINUTE_US))
        asks = [part.is_request and self._moments.time_us[part.moments[0]] >= self.start_us for part in rounds]
        if not any(asks):
            raise wrong(config, "days", "no request comes then; take more days or more users")
        self._past, self._days = rounds[: asks.index(True)], rounds[asks.index(True) :]
        self._day_before = self._warm_up()
        self._cluster_UC = clusters_of(self._clock.state.heat_NC, simulation.seed)

    @property
    def world(self) -> World:
        """What all users share."""
        return self._clock.world

    def set_budgets(self) -> Run:
        """Walk the base policy without budgets; sets budgets, and the requests that hindsight knows."""
        requests: list[Slates] = []
        run = self.play(self._base, requests=requests, label=f"{self._base.name}, no budgets")
        self._recorded = Slates.joined(requests)
        if self.config.budget_share:
            spend_M = run.ledger.column_HM("spend").sum(axis=0)
            self.budget_M = self.config.budget_share * spend_M / self.config.days
        return run

    def play(
        self,
        player: Player,
        recorder: Recorder | None = None,
        requests: list[Slates] | None = None,
        label: str = "",
    ) -> Run:
        """Walk the days under a policy. The arena stays as it was, and equal players have equal runs.

        Args:
            player: who chooses.
            recorder: keeps what happens from here on, see `Clockwork`.
            requests: takes the slates with true values, all candidates open.
            label: name for progress; default: the player's.
        """
        started = process_time()
        clock, policy = self._clock.fork(), player.build()
        clock.recorder = recorder
        ledger = Ledger(self.start_us, self.config.days, self.budget_M, len(clock.users))
        walk = _Walk(self, clock, policy, self._estimates(player.estimates), ledger, requests)
        policy.fit(Known(self.start_us, self.budget_M, walk.seen(self._day_before), self._seen_requests(walk)))
        day = 0
        for part in self._days:
            if part.is_request and (now := self._day_of(part)) > day:
                day = now
                self._progress(label or player.name, day, self.config.days)
            walk.advance(part)
        return Run(player.name, ledger, policy, process_time() - started)

    def _estimates(self, kind: Kind) -> Estimates:
        if kind == "nightly":
            return self._learned.fork()
        return Noisy(self._noise) if kind == "noisy" else Estimates()

    def _seen_requests(self, walk: "_Walk") -> Slates | None:
        return None if self._recorded is None else walk.seen(self._recorded)

    def _warm_up(self) -> Slates:
        days = self.simulation.days - self.config.days
        ledger = Ledger(self.simulation.start_us, days, self.budget_M, len(self._clock.users))
        last: list[Slates] = []
        walk, day = _Walk(self, self._clock, Logging(), self._learned, ledger, None), 0
        for part in self._past:
            if part.is_request:
                now = self._day_of(part) + days
                if now > day:
                    day = now
                    self._progress("days before", day, days)
                walk.requests = last if day == days else None
            walk.advance(part)
        if not last:
            raise wrong(self.config, "days", "no request came the day before; take fewer days or more users")
        self._clock.recorder = None
        self._learned.midnight()
        self._impressions_A = walk.impressions_A
        return Slates.joined(last)

    def _day_of(self, part: Round) -> int:
        """Number of the day, 1 for the first one that policies choose on."""
        return int((self._moments.time_us[part.moments[0]] - self.start_us) // DAY_US) + 1

    @property
    def moments(self) -> Moments:
        """Every moment of every user."""
        return self._moments

    @property
    def cluster_UC(self) -> Floats:
        """How much each user belongs to each cluster, see `clusters_of`; one cluster in the days before."""
        return self._cluster_UC

    @property
    def impressions_A(self) -> Floats:
        """Impressions of each ad in the days before."""
        return self._impressions_A


class _Walk:
    """One policy on one clockwork."""

    def __init__(
        self,
        arena: Arena,
        clock: Clockwork,
        policy: Policy,
        estimates: Estimates,
        ledger: Ledger,
        requests: list[Slates] | None,
    ) -> None:
        self._moments, self._cluster_UC = arena.moments, arena.cluster_UC
        self.impressions_A = arena.impressions_A.copy()
        self._clock, self._policy, self._estimates, self._ledger = clock, policy, estimates, ledger
        self.requests, self._day = requests, -1

    def seen(self, slates: Slates) -> Slates:
        """The same as the policy estimates them."""
        return self._estimates.on(slates)

    def advance(self, part: Round) -> None:
        """Walk one round."""
        rows, time_us = part.rows, self._moments.time_us[part.moments]
        self._clock.complete_conversions(rows, time_us)
        if part.is_request:
            self._turn(int(time_us[0] // DAY_US))
            self._serve(rows, time_us, part.moments)
        else:
            self._clock.act(rows, time_us, self._moments.opens[part.moments])

    def _turn(self, day: int) -> None:
        """Learn at midnight."""
        if self._estimates.nightly and 0 <= self._day < day:
            self._estimates.midnight()
            self._policy.retrained()
        self._day = day

    def _serve(self, rows: Ints, time_us: Ints, moments: Ints) -> None:
        clock, ledger = self._clock, self._ledger
        offers, uniform = clock.offer(rows, time_us), clock.rng.random(len(rows))
        open_M = ledger.left_M(int(time_us[0])) > 0
        clusters, counted = self._cluster_UC[rows], self.impressions_A
        slates = true_slates(clock.world, offers, time_us, moments, rows, uniform, open_M, counted, clusters)
        if self.requests is not None:
            self.requests.append(slates)
        base = self._estimates.base(slates)
        seen = self._estimates.taught(base)
        chosen = _checked(self._policy.choose(seen), slates)
        campaign, auctions = slates.of(chosen, "campaign_NK"), []

        def limit(won: np.ndarray, cost: Floats) -> np.ndarray:
            auctions.append(won)
            return ledger.affordable(time_us, campaign, won, cost)

        outcomes = clock.show(rows, time_us, self._moments.following_us[moments], offers, chosen, limit)
        (won,), happened, asked = auctions, outcomes.won_N, chosen != NONE
        ledger.requests += len(rows)
        ledger.unanswered += int((~asked).sum())
        revenue = slates.of(chosen, "p_ctr_NK") * slates.of(chosen, "p_cvr_NK") * slates.of(chosen, "value_NK")
        answers = outcomes.click_N, outcomes.conversion_N
        ledger.add(time_us, rows, campaign, happened, asked & ~won, won & ~happened, outcomes.cost_N, revenue, *answers)
        ad = slates.of(chosen, "ad_NK")[happened]
        expected = (base.of(chosen, name)[happened] for name in ("p_ctr_NK", "p_cvr_NK"))
        self._estimates.tell(ad, *expected, *(answer[happened] for answer in answers))
        np.add.at(self.impressions_A, ad, 1)
        if happened.any():
            # Conversions come later, so an impression that has just been shown brought nothing yet.
            self._policy.tell(
                Shown(
                    time_us=time_us[happened],
                    user_key=rows[happened],
                    ad_key=ad,
                    campaign_key=campaign[happened],
                    cost=outcomes.cost_N[happened],
                    revenue=np.zeros(int(happened.sum())),
                    click=outcomes.click_N[happened],
                    p_ctr=seen.of(chosen, "p_ctr_NK")[happened],
                    clusters=clusters[happened],
                )
            )


def _checked(chosen: Ints, slates: Slates) -> Ints:
    """The choice itself.

    Raises:
        ValueError: it is no candidate's number of each request.
    """
    chosen = np.asarray(chosen)
    fits = chosen.shape == (len(slates),) and np.issubdtype(chosen.dtype, np.integer)
    if not fits or not ((chosen >= NONE) & (chosen < slates.ad_NK.shape[1])).all():
        raise ValueError(
            f"a policy must choose from -1 to {slates.ad_NK.shape[1] - 1} for each of {len(slates)} requests"
        )
    return chosen
