"""The clockwork: what happens to users at a moment. Who is walked when, and what is chosen, is said from outside."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, fields

import numpy as np

from rosa_ray.schema import Behavior
from rosa_ray.simulation.auction import Limit, Offers, Outcomes, draw_offers, settle
from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.keyed_random import KeyedPlaces
from rosa_ray.simulation.laws.law import ORACLE, Laws
from rosa_ray.simulation.marginals import ONE_CLICK_CONVERSIONS
from rosa_ray.simulation.organic import next_event
from rosa_ray.simulation.state import UserState
from rosa_ray.simulation.users import Users
from rosa_ray.simulation.world import World
from rosa_ray.units import HOUR_US, MINUTE_US, SECOND_US

CONVERSION_WINDOW_US = 72 * HOUR_US
_LONGEST_CLICK_US = 10 * SECOND_US
_UNSCHEDULED = np.iinfo(np.int64).max


class Recorder:
    """Columns of what happened, in parts.

    Attributes:
        events: columns row, time_us, item, behavior; includes clicks on ads and conversions.
        requests: columns row, time_us, conversion_time_us, those of `Offers` and `Outcomes`, and of its `oracle`.
    """

    def __init__(self) -> None:
        self.events: dict[str, list[np.ndarray]] = defaultdict(list)
        self.requests: dict[str, list[np.ndarray]] = defaultdict(list)

    def copy(self) -> Recorder:
        """Another recorder that kept the same so far."""
        kept = Recorder()
        for mine, theirs in ((kept.events, self.events), (kept.requests, self.requests)):
            mine.update({name: list(parts) for name, parts in theirs.items()})
        return kept

    def columns(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Events and requests, each column in one."""
        events, requests = (
            {name: np.concatenate(parts) for name, parts in table.items()} for table in (self.events, self.requests)
        )
        return events, requests


@dataclass
class Clockwork:
    """Mutable state of some users; conversions wait in `due_us_NP` until their moment has come.

    Attributes:
        rng: how much is drawn from it depends on which users are walked in which order, and not on what they are shown,
            if `keyed`.
        keyed: whether what replaces a repeated candidate follows from its place; else it is drawn from `rng`.
        recorder: keeps what happened; None keeps nothing.
    """

    config: SimulationConfig
    world: World
    users: Users
    laws: Laws
    rng: np.random.Generator
    keyed: bool = False
    recorder: Recorder | None = None

    def __post_init__(self) -> None:
        self.state = UserState(len(self.users), self.world)
        self.due_us_NP = np.full((len(self.users), 2), _UNSCHEDULED)
        self.due_item_NP = np.zeros((len(self.users), 2), dtype=int)

    def fork(self) -> Clockwork:
        """A copy that goes on by itself with equal draws. World and users are shared, as nothing changes them."""
        shared = {id(part): part for part in (self.config, self.world, self.users)}
        return copy.deepcopy(self, shared)

    def act(self, rows: np.ndarray, time_us: np.ndarray, opens: np.ndarray) -> None:
        """Let some distinct users do something by themselves; `opens` says whether it opens a session."""
        item, behavior = next_event(self.state, self.users, self.laws, rows, self._hours(time_us), opens, self.rng)
        self._happen(rows, time_us, item, behavior)

    def offer(self, rows: np.ndarray, time_us: np.ndarray) -> Offers:
        """Draw the requests of some distinct users."""
        spare = KeyedPlaces(int(self.rng.integers(1 << 62))) if self.keyed else self._more
        return draw_offers(self.config, self.state, self.users, self.laws, rows, self._hours(time_us), self.rng, spare)

    def show(
        self,
        rows: np.ndarray,
        time_us: np.ndarray,
        following_us: np.ndarray,
        offers: Offers,
        chosen: np.ndarray,
        limit: Limit | None = None,
    ) -> Outcomes:
        """Show the chosen candidates, -1 for none, and let the users answer.

        Args:
            following_us: the users' next moments; a click comes before it.
            limit: see `settle`.
        """
        outcomes = settle(self.world, offers, chosen, self.rng, limit)
        ad = offers.ad_NK[np.arange(len(rows)), np.maximum(chosen, 0)]
        won = outcomes.won_N
        self.state.expose(rows[won], self._hours(time_us[won]), ad[won])
        click_us = time_us + self._draw_click_delay(time_us, following_us)
        bought_us = click_us + self._draw_conversion_delay(len(rows))
        self._record_requests(rows, time_us, bought_us, offers, outcomes)
        clicked, converted = outcomes.click_N, outcomes.conversion_N
        item = self.world.ad_item_A[ad]
        if clicked.any():
            code = np.full(int(clicked.sum()), int(Behavior.CLICK))
            self._happen(rows[clicked], click_us[clicked], item[clicked], code)
        if converted.any():
            self._schedule(rows[converted], bought_us[converted], item[converted])
        return outcomes

    def complete_conversions(self, rows: np.ndarray, time_us: np.ndarray) -> None:
        """Let what some users bought before their given times take effect."""
        while True:
            slot = self.due_us_NP[rows].argmin(axis=1)
            due_us = self.due_us_NP[rows, slot]
            ripe = due_us < time_us
            if not ripe.any():
                return
            buyers, slots, moment = rows[ripe], slot[ripe], due_us[ripe]
            item = self.due_item_NP[buyers, slots]
            self._fold(buyers, moment, item, np.full(len(buyers), int(Behavior.PURCHASE)))
            self.due_us_NP[buyers, slots] = _UNSCHEDULED

    def _more(self, wanted: np.ndarray, below: int) -> np.ndarray:
        return self.rng.integers(0, below, int(wanted.sum()))

    def _hours(self, time_us: np.ndarray) -> np.ndarray:
        return (time_us - self.config.start_us) / HOUR_US

    def _happen(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        self._fold(rows, time_us, item, behavior)
        self._record_events(rows, time_us, item, behavior)

    def _fold(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        hour = self._hours(time_us)
        self.state.fold(rows, hour, item, behavior)
        self.laws.fold(rows, hour, item, behavior)

    def _record_events(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        if self.recorder is None:
            return
        inside = time_us < self.config.end_us
        columns = {"row": rows, "time_us": time_us, "item": item, "behavior": behavior}
        for name, values in columns.items():
            self.recorder.events[name].append(values[inside])

    def _record_requests(
        self, rows: np.ndarray, time_us: np.ndarray, bought_us: np.ndarray, offers: Offers, outcomes: Outcomes
    ) -> None:
        if self.recorder is None:
            return
        columns = {field.name: getattr(part, field.name) for part in (offers, outcomes) for field in fields(part)}
        for name in ("oracle", "market_NK", "untold_click_NK", "untold_conversion_NK"):
            del columns[name]
        columns |= {"bid_NK": offers.bid_NK, "expected_cost_NK": offers.expected_cost_NK}
        columns |= {"row": rows, "time_us": time_us, "conversion_time_us": bought_us, **offers.oracle}
        if offers.market_NK is not None:
            columns[f"{ORACLE}market_win"] = offers.win_rate_NK
        for name, values in columns.items():
            self.recorder.requests[name].append(values)

    def _draw_click_delay(self, time_us: np.ndarray, following_us: np.ndarray) -> np.ndarray:
        """A click falls strictly between its request and the user's next moment."""
        room = np.minimum(following_us - time_us, _LONGEST_CLICK_US)
        return 1 + (self.rng.random(len(time_us)) * 0.9 * (room - 2)).astype(np.int64)

    def _draw_conversion_delay(self, count: int) -> np.ndarray:
        """Half an hour for those who buy in the visit of the click, else log-uniform up to the window's end."""
        at_once = self.rng.random(count) < ONE_CLICK_CONVERSIONS
        longest = CONVERSION_WINDOW_US - _LONGEST_CLICK_US
        uniform = self.rng.random(count)
        later = 30 * MINUTE_US * (longest / (30 * MINUTE_US)) ** uniform
        return np.where(at_once, (0.02 + 0.98 * uniform) * 30 * MINUTE_US, later).astype(np.int64)

    def _schedule(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray) -> None:
        if (self.due_us_NP[rows] < _UNSCHEDULED).all(axis=1).any():
            width = self.due_us_NP.shape
            self.due_us_NP = np.hstack([self.due_us_NP, np.full(width, _UNSCHEDULED)])
            self.due_item_NP = np.hstack([self.due_item_NP, np.zeros(width, dtype=int)])
        slot = self.due_us_NP[rows].argmax(axis=1)
        self.due_us_NP[rows, slot], self.due_item_NP[rows, slot] = time_us, item
        self._record_events(rows, time_us, item, np.full(len(rows), int(Behavior.PURCHASE)))
