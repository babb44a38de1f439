"""Equal worlds under different policies: a common past under the logging policy, then each policy's own days.

Users, timetables, candidates, bids, market prices and answers are drawn from the seed, in an order that no choice
moves. What differs between policies follows from choices: who saw an ad too often, and who clicked or bought. Where
users went another way, their later candidates and events differ too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from time import process_time
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from rosa_ray.arena.clusters import clusters_of
from rosa_ray.arena.estimates import KINDS, Estimates, Model, Nightly, Noise, Noisy
from rosa_ray.arena.ledger import Ledger
from rosa_ray.arena.players import Player, parse_player
from rosa_ray.arena.policies import Known, Logging, Policy
from rosa_ray.arena.schedule import Round, draw_population, rounds_of
from rosa_ray.arena.slates import Slates
from rosa_ray.arena.walk import Walk
from rosa_ray.arrays import Floats
from rosa_ray.errors import ConfigError
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
        models: trained ones that players may see by, by name.

    Attributes:
        budget_M: daily budget of each campaign, currency units; infinite without budgets.
    """

    def __init__(
        self,
        simulation: SimulationConfig,
        config: ArenaConfig,
        progress: Progress = lambda *_: None,
        recorder: Recorder | None = None,
        models: Mapping[str, Model] | None = None,
    ) -> None:
        if config.days >= simulation.days:
            raise wrong(config, "days", f"it must be below simulation.days = {simulation.days}")
        self.simulation, self.config, self._progress = simulation, config, progress
        self.start_us = simulation.end_us - config.days * DAY_US
        world = build_world(simulation)
        self._models, self._before = models or {}, recorder or (Recorder() if models else None)
        users, self._moments = draw_population(simulation, world)
        rng = np.random.default_rng(np.random.SeedSequence(simulation.seed, spawn_key=(5,)))
        laws = enact(simulation, world, users.region_N)
        self._clock = Clockwork(simulation, world, users, laws, rng, True, self._before)
        ads = len(world.ad_item_A)
        self._noise = Noise(len(users), ads, config.noise, simulation.seed)
        # One model learns from the days before; each policy's own goes on from there.
        self._learned, self._impressions_A = Nightly(self._noise, ads), np.zeros(ads)
        self._one_cluster = np.ones((len(users), 1))
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
            recorder: keeps what happens from here on, see `Clockwork`. A player with a model needs its own.
            requests: takes the slates with true values, all candidates open.
            label: name for progress; default: the player's.

        Raises:
            ConfigError: the arena lacks the player's model, or that is of another world.
            ValueError: a recorder was given for a player with a model.
        """
        started = process_time()
        clock, policy = self._clock.fork(), player.build()
        estimates = self._estimates(player.estimates)
        if recorder is not None and estimates.recorder is not None:
            raise ValueError(f"'{player.name}' sees by a model, which keeps what happens itself; give no recorder")
        clock.recorder = recorder or estimates.recorder
        ledger = Ledger(self.start_us, self.config.days, self.budget_M, len(clock.users), self.simulation.regions)
        policy.fit(Known(self.start_us, self.budget_M, self._day_before, self._recorded, estimates.on))
        clusters = self.cluster_UC if policy.reads_clusters else self._one_cluster
        walk = Walk(self._moments, clock, policy, estimates, ledger, self._impressions_A, clusters, requests)
        day = 0
        for part in self._days:
            if part.is_request and (now := self._day_of(part)) > day:
                day = now
                self._progress(label or player.name, day, self.config.days)
            walk.advance(part)
        return Run(player.name, ledger, policy, process_time() - started)

    def _estimates(self, kind: str) -> Estimates:
        if kind not in KINDS:
            if kind not in self._models or self._before is None:
                raise ConfigError(f"the arena has no model '{kind}'; it has {', '.join(self._models) or 'none'}")
            return self._models[kind].begin(self.world, self._clock.users, self._before)
        if kind == "nightly":
            return self._learned.fork()
        return Noisy(self._noise) if kind == "noisy" else Estimates()

    def _warm_up(self) -> Slates:
        days = self.simulation.days - self.config.days
        ledger = Ledger(self.simulation.start_us, days, self.budget_M, len(self._clock.users), self.simulation.regions)
        last: list[Slates] = []
        nobody = np.zeros(len(self.world.ad_item_A))
        walk, day = Walk(self._moments, self._clock, Logging(), self._learned, ledger, nobody, self._one_cluster), 0
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
        if self._before is not None:
            # The caller's may take more later.
            self._before = self._before.copy()
        self._learned.midnight()
        self._impressions_A = walk.impressions_A
        return Slates.joined(last)

    def _day_of(self, part: Round) -> int:
        """Number of the day, 1 for the first one that policies choose on."""
        return int((self._moments.time_us[part.moments[0]] - self.start_us) // DAY_US) + 1

    @cached_property
    def cluster_UC(self) -> Floats:
        """How much each user belongs to each cluster when the first day begins, see `clusters_of`."""
        return clusters_of(self._clock.state.heat_NC, self.simulation.seed)
