"""The encoder: from a user's timeline to the states that ads attend to.

Keys and values of active users are kept, so that a new event costs one token instead of a whole timeline. The events
alone decide what may be used again: their columns are kept too, and compared bit for bit with those of the request.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch

from rosa_ray.arrays import Columns
from rosa_ray.errors import ServingError
from rosa_ray.features import EVENT_COLUMNS, encode_timeline
from rosa_ray.features.own import shared_names
from rosa_ray.models.encoder import EncoderCache
from rosa_ray.serving.messages import Encoded, EncodeQuery, Outcome
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.recent_users import RecentUsers
from rosa_ray.serving.telemetry import Telemetry

_MEGABYTE = 1_000_000

OBJECT_BYTES = 5_000
"""What the Python objects of an entry cost besides their numbers."""


@dataclass(frozen=True)
class CachedUser:
    """The encoding of one timeline.

    Attributes:
        timeline: `EVENT_COLUMNS` of the encoded events and shared columns of their items, each (T,), T at least 1.
        layers: keys and values after the last event.
        states: float32 (C, D), of the last C events, C at most the window.
    """

    timeline: Columns
    layers: EncoderCache
    states: np.ndarray

    @property
    def nbytes(self) -> int:
        """Memory that the entry takes, bytes."""
        columns = sum(values.nbytes for values in self.timeline.values())
        return columns + self.states.nbytes + self.layers.nbytes + OBJECT_BYTES

    def compact(self) -> "CachedUser":
        """The same in arrays of its own, which keep nothing larger alive."""
        layers = EncoderCache(
            tuple(key.clone() for key in self.layers.key_LBHCE),
            tuple(value.clone() for value in self.layers.value_LBHCE),
            self.layers.time_us_BC.clone(),
            self.layers.behavior_BC.clone(),
        )
        return replace(self, layers=layers, states=self.states.copy())


def count_new(timeline: Columns, known: Columns, context_events: int) -> int | None:
    """How many events a timeline has after those of a known one; None where it does not continue it.

    Both are the last `context_events` events of a user, or all where there are fewer. A timeline that was cut may begin
    with any number of the known one's last events: the last window of states does not reach what was cut off. One that
    was not cut must begin with all of them, or its first event is another.

    >>> def at(*time_us):
    ...     return {name: np.array(time_us) for name in EVENT_COLUMNS}
    >>> count_new(at(1, 2, 4), at(1, 2), 4), count_new(at(2, 4, 5, 6), at(1, 2, 4), 4)
    (1, 2)
    >>> count_new(at(1, 3), at(1, 2), 4), count_new(at(2, 4), at(1, 2), 4)
    (None, None)
    """
    time_us, known_us = timeline["time_us"], known["time_us"]
    fewest = int(np.searchsorted(time_us, known_us[-1], "left"))
    most = min(int(np.searchsorted(time_us, known_us[-1], "right")), len(known_us))
    whole = len(time_us) < context_events
    for shared in range(most, fewest, -1):
        if whole and shared < len(known_us):
            return None
        if _begins_with(timeline, known, shared):
            return len(time_us) - shared
    return None


def ends_before(timeline: Columns, known: Columns) -> bool:
    """Whether a timeline is of an earlier moment than a known one."""
    return bool(timeline["time_us"][-1] < known["time_us"][-1])


def _begins_with(timeline: Columns, known: Columns, shared: int) -> bool:
    return all(timeline[name][:shared].tobytes() == known[name][-shared:].tobytes() for name in timeline)


class Encoder:
    """Encodes timelines with the ranker's weights, off the event loop.

    A timeline may be cut to its last `ServedModel.context_events` events: the states it returns do not reach further.
    Of users that come again only new events are encoded. A timeline may not continue the one before: an event came late
    or is gone, or the request is of an earlier time. It is then encoded from the start. The states are the same.

    Args:
        cache_mb: memory for the keys and values of active users, 10^6 bytes; 0 encodes every timeline from the start.
        memory_s: seconds after which those of a user who did not come back are let go.

    Raises:
        BundleError: the model's ranker keeps no states.
    """

    def __init__(
        self,
        model: ServedModel,
        threads: int = 1,
        cache_mb: int = 0,
        memory_s: float = 3600,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._model, self._ranker, self._telemetry = model, model.states, telemetry or Telemetry()
        self._shared = shared_names(model.features.config.columns)
        self._users = RecentUsers[CachedUser](cache_mb * _MEGABYTE, memory_s)
        self._outcomes = dict.fromkeys(get_args(Outcome), 0)
        self._executor = ThreadPoolExecutor(1, "encoder", torch.set_num_threads, (threads,))

    async def encode(self, query: EncodeQuery) -> Encoded:
        """Return the states of the last window of events."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.encode_now, query)

    async def describe(self) -> dict[str, Any]:
        """Return what is loaded, and what became of the timelines asked for."""
        cache = {"users": len(self._users), "bytes": self._users.size, "capacity_bytes": self._users.capacity}
        cache |= {**self._outcomes, "evicted": self._users.evicted}
        return {"model_version": self._model.version, "device": self._model.device, "cache": cache}

    def encode_now(self, query: EncodeQuery) -> Encoded:
        """`encode` in the calling thread; for one thread at a time."""
        kept = slice(-self._model.context_events, None)
        timeline = {name: np.array(query.events[name][kept]) for name in (*EVENT_COLUMNS, *self._shared)}
        evicted = self._users.evicted
        states, outcome = self._encode(query.user_key, timeline)
        self._outcomes[outcome] += 1
        self._telemetry.encoded(outcome, self._users.size, self._users.evicted - evicted)
        return Encoded(self._model.version, states, outcome)

    def _encode(self, user_key: int, timeline: Columns) -> tuple[np.ndarray, Outcome]:
        if not len(timeline["time_us"]):
            self._users.drop(user_key)
            return self._no_states(), "miss"
        known = self._users.get(user_key)
        if known is None:
            encoded = self._encode_whole(timeline)
            self._keep(user_key, encoded)
            return encoded.states, "miss"
        new = count_new(timeline, known.timeline, self._model.context_events)
        if new == 0:
            return known.states, "hit"
        encoded = self._encode_whole(timeline) if new is None else self._encode_last(timeline, new, known)
        if not ends_before(timeline, known.timeline):
            self._keep(user_key, encoded)
        return encoded.states, "rebuilt" if new is None else "extended"

    def _keep(self, user_key: int, encoded: CachedUser) -> None:
        if encoded.nbytes <= self._users.capacity:
            self._users.put(user_key, encoded.compact(), encoded.nbytes)
        else:
            self._users.drop(user_key)

    def _encode_whole(self, timeline: Columns) -> CachedUser:
        nothing = CachedUser({}, self._ranker.empty_cache(), self._no_states())
        return self._encode_last(timeline, len(timeline["time_us"]), nothing)

    @torch.inference_mode()
    def _encode_last(self, timeline: Columns, new: int, known: CachedUser) -> CachedUser:
        """Encode the last `new` events of a timeline; the ones before them are those of `known`."""
        tail = {name: values[-new - 1 :] for name, values in timeline.items()}
        inputs = encode_timeline(tail, self._model.features, new)
        events = {name: torch.from_numpy(values)[None].to(self._model.device) for name, values in inputs.items()}
        states_1MD, layers = self._ranker.extend(events, known.layers)
        states = np.concatenate([known.states, states_1MD[0].float().cpu().numpy()])
        return CachedUser(timeline, layers, states[-self._model.window :])

    def _no_states(self) -> np.ndarray:
        return np.empty((0, self._ranker.width), np.float32)


class NoEncoder:
    """Stands in the encoder's place where the ranker reads the timeline itself."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    async def encode(self, query: EncodeQuery) -> Encoded:
        """Nothing is to be encoded.

        Raises:
            ServingError: always.
        """
        raise ServingError(f"model '{self._model.name}' keeps no states")

    async def describe(self) -> dict[str, Any]:
        """Return what is loaded."""
        return {"model_version": self._model.version, "device": self._model.device, "keeps_states": False}
