"""The clockwork: walks all users of a chunk through their moments, and records events and auctions."""

from collections import defaultdict
from dataclasses import dataclass, fields

import numpy as np

from rosa_ray.schema import Behavior
from rosa_ray.simulation.auction import Auctions, run_auctions
from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.laws.law import Laws, enact
from rosa_ray.simulation.marginals import ONE_CLICK_CONVERSIONS
from rosa_ray.simulation.organic import next_event
from rosa_ray.simulation.state import UserState
from rosa_ray.simulation.users import Timetable, Users, draw_timetable, draw_users
from rosa_ray.simulation.world import World
from rosa_ray.units import HOUR_US, MINUTE_US, SECOND_US

CONVERSION_WINDOW_US = 72 * HOUR_US
_LONGEST_CLICK_US = 10 * SECOND_US
_UNSCHEDULED = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ChunkLog:
    """What one chunk of users did.

    Attributes:
        users: their traits; row r of `events` and `requests` is user `users.first_id + r`.
        events: columns row, time_us, item, behavior; includes clicks on ads and conversions.
        requests: columns row, time_us, conversion_time_us, every field of `Auctions`, and each
            column of its `oracle`.
    """

    users: Users
    events: dict[str, np.ndarray]
    requests: dict[str, np.ndarray]


def simulate_chunk(config: SimulationConfig, world: World, chunk: int) -> ChunkLog:
    """Simulate the users of one chunk; depends on the config and the chunk's number alone."""
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(1, chunk)))
    first = chunk * config.chunk_users
    count = min(config.chunk_users, config.users - first)
    users = draw_users(config, world, first, count, rng)
    timetable = draw_timetable(config, count, rng)
    run = _ChunkRun(config, world, users, timetable, enact(config, world, count, chunk), rng)
    for step in range(timetable.time_us_NL.shape[1]):
        run.advance(step)
    return run.log()


class _ChunkRun:
    """Mutable state of one simulated chunk; conversions wait in `due_us_NP` until their moment has come."""

    def __init__(
        self,
        config: SimulationConfig,
        world: World,
        users: Users,
        timetable: Timetable,
        laws: Laws,
        rng: np.random.Generator,
    ) -> None:
        self.config, self.world, self.users, self.timetable = config, world, users, timetable
        self.laws, self.rng = laws, rng
        self.state = UserState(len(users), world)
        self.due_us_NP = np.full((len(users), 2), _UNSCHEDULED)
        self.due_item_NP = np.zeros((len(users), 2), dtype=int)
        self.events: dict[str, list[np.ndarray]] = defaultdict(list)
        self.requests: dict[str, list[np.ndarray]] = defaultdict(list)

    def advance(self, step: int) -> None:
        """Let every user who has that many moments live through one more."""
        rows = np.arange(int(np.searchsorted(-self.timetable.length_N, -step)))
        time_us = self.timetable.time_us_NL[rows, step]
        self._complete_conversions(rows, time_us)
        asks = self.timetable.is_request_NL[rows, step]
        if not asks.all():
            self._act(rows[~asks], time_us[~asks], self.timetable.opens_session_NL[rows[~asks], step])
        if asks.any():
            self._serve(rows[asks], time_us[asks], step)

    def log(self) -> ChunkLog:
        """Return everything recorded so far."""
        events = {name: np.concatenate(parts) for name, parts in self.events.items()}
        requests = {name: np.concatenate(parts) for name, parts in self.requests.items()}
        return ChunkLog(self.users, events, requests)

    def _hours(self, time_us: np.ndarray) -> np.ndarray:
        return (time_us - self.config.start_us) / HOUR_US

    def _act(self, rows: np.ndarray, time_us: np.ndarray, opens: np.ndarray) -> None:
        item, behavior = next_event(self.state, self.users, self.laws, rows, self._hours(time_us), opens, self.rng)
        self._happen(rows, time_us, item, behavior)

    def _happen(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        self._fold(rows, time_us, item, behavior)
        self._record_events(rows, time_us, item, behavior)

    def _fold(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        hour = self._hours(time_us)
        self.state.fold(rows, hour, item, behavior)
        self.laws.fold(rows, hour, item, behavior)

    def _record_events(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        inside = time_us < self.config.end_us
        columns = {"row": rows, "time_us": time_us, "item": item, "behavior": behavior}
        for name, values in columns.items():
            self.events[name].append(values[inside])

    def _serve(self, rows: np.ndarray, time_us: np.ndarray, step: int) -> None:
        auctions = run_auctions(self.config, self.state, self.users, self.laws, rows, self._hours(time_us), self.rng)
        ad = auctions.ad_NK[np.arange(len(rows)), auctions.shown_N]
        self.state.expose(rows, self._hours(time_us), ad)
        click_us = time_us + self._draw_click_delay(rows, time_us, step)
        bought_us = click_us + self._draw_conversion_delay(len(rows))
        self._record_requests(rows, time_us, bought_us, auctions)
        clicked, converted = auctions.click_N, auctions.conversion_N
        item = self.world.ad_item_A[ad]
        if clicked.any():
            code = np.full(int(clicked.sum()), int(Behavior.CLICK))
            self._happen(rows[clicked], click_us[clicked], item[clicked], code)
        if converted.any():
            self._schedule(rows[converted], bought_us[converted], item[converted])

    def _draw_click_delay(self, rows: np.ndarray, time_us: np.ndarray, step: int) -> np.ndarray:
        """A click falls strictly between its request and the user's next moment."""
        length = self.timetable.time_us_NL.shape[1]
        following = self.timetable.time_us_NL[rows, step + 1] if step + 1 < length else time_us + _LONGEST_CLICK_US
        room = np.minimum(following - time_us, _LONGEST_CLICK_US)
        return 1 + (self.rng.random(len(rows)) * 0.9 * (room - 2)).astype(np.int64)

    def _draw_conversion_delay(self, count: int) -> np.ndarray:
        """Half an hour for those who buy in the visit of the click, else log-uniform up to the window's end."""
        at_once = self.rng.random(count) < ONE_CLICK_CONVERSIONS
        longest = CONVERSION_WINDOW_US - _LONGEST_CLICK_US
        uniform = self.rng.random(count)
        later = 30 * MINUTE_US * (longest / (30 * MINUTE_US)) ** uniform
        return np.where(at_once, (0.02 + 0.98 * uniform) * 30 * MINUTE_US, later).astype(np.int64)

    def _record_requests(
        self, rows: np.ndarray, time_us: np.ndarray, bought_us: np.ndarray, auctions: Auctions
    ) -> None:
        columns = {field.name: getattr(auctions, field.name) for field in fields(auctions) if field.name != "oracle"}
        columns |= {"row": rows, "time_us": time_us, "conversion_time_us": bought_us, **auctions.oracle}
        for name, values in columns.items():
            self.requests[name].append(values)

    def _schedule(self, rows: np.ndarray, time_us: np.ndarray, item: np.ndarray) -> None:
        if (self.due_us_NP[rows] < _UNSCHEDULED).all(axis=1).any():
            width = self.due_us_NP.shape
            self.due_us_NP = np.hstack([self.due_us_NP, np.full(width, _UNSCHEDULED)])
            self.due_item_NP = np.hstack([self.due_item_NP, np.zeros(width, dtype=int)])
        slot = self.due_us_NP[rows].argmax(axis=1)
        self.due_us_NP[rows, slot], self.due_item_NP[rows, slot] = time_us, item
        self._record_events(rows, time_us, item, np.full(len(rows), int(Behavior.PURCHASE)))

    def _complete_conversions(self, rows: np.ndarray, time_us: np.ndarray) -> None:
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
