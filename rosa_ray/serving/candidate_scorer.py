"""Scores N candidates of one user against given encoder states."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from rosa_ray.arrays import Columns
from rosa_ray.features import EVENT_COLUMNS, UserRows, collate, encode_users, event_columns, no_events
from rosa_ray.models import Predictions, UserBatch
from rosa_ray.schema import MISSING_KEY
from rosa_ray.schema.own_columns import prefix_of
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.request_features import one_user


@dataclass(frozen=True)
class History:
    """What ads are scored against: C events, at most those the model counts, and the states of the last S of them.

    Attributes:
        events: `EVENT_COLUMNS` of the events, and shared columns of their items where these are known, each (C,).
        states: float32 (S, D), S at most the window and at most C.
    """

    events: Columns
    states: np.ndarray

    @classmethod
    def of(cls, events: Columns, states: np.ndarray, score_events: int) -> "History":
        """The last `score_events` of a timeline that the states end with."""
        names = (*EVENT_COLUMNS, *filter(prefix_of, events))
        return cls({name: events[name][-score_events:] for name in names}, states)

    def preceded_by(self, timeline: Columns, score_events: int) -> "History":
        """The same with as many earlier events of the timeline before its own as there is room for."""
        own = len(self.events["time_us"])
        room = score_events - own if own else 0
        before = timeline["time_us"] < self.events["time_us"].min(initial=np.iinfo(np.int64).max)
        if room <= 0 or not before.any():
            return self
        earlier = {name: timeline[name][before][-room:] for name in EVENT_COLUMNS}
        events = {name: np.concatenate([earlier[name], values]) for name, values in self.events.items()}
        return History(events, self.states)


@dataclass(frozen=True)
class Scores:
    """Calibrated predictions per candidate, float64 (N,).

    Attributes:
        p_ctr_spread: standard deviation of `p_ctr` among the members of an ensemble; None of a single model.
    """

    p_ctr: np.ndarray
    p_cvr: np.ndarray
    value: np.ndarray
    p_ctr_spread: np.ndarray | None = None

    @property
    def finite(self) -> bool:
        """Whether all of them are numbers."""
        return all(bool(np.isfinite(head).all()) for head in (self.p_ctr, self.p_cvr, self.value))

    def mix(self, other: "Scores", weight: float) -> "Scores":
        """Return `weight` of these and the rest of the other, head by head (paper §3.5).

        >>> one, two = (Scores(*[np.array([x])] * 3) for x in (1.0, 2.0))
        >>> one.mix(two, 0.25).p_ctr
        array([1.75])
        """
        names = ("p_ctr", "p_cvr", "value", *(() if self.p_ctr_spread is None else ("p_ctr_spread",)))
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return Scores(*(weight * mine + (1 - weight) * theirs for mine, theirs in pairs))


class CandidateScorer:
    """The ranker's cross-attention and heads, off the event loop; all of a ranker that keeps no states."""

    def __init__(self, model: ServedModel, threads: int) -> None:
        self._model = model
        self._executor = ThreadPoolExecutor(1, "scorer", torch.set_num_threads, (threads,))

    def empty_history(self) -> History:
        """Return the history of a user without states."""
        return History(no_events(), self._no_states())

    def whole_history(self, events: Columns) -> History:
        """Return a timeline as a ranker reads it that keeps no states."""
        return History.of(events, self._no_states(), self._model.score_events)

    async def score(
        self, histories: Sequence[History], candidates: Mapping[str, np.ndarray], dense: np.ndarray
    ) -> list[Scores]:
        """Score candidates (impression columns, (N,)) with raw dense features (N, F) against each history."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self.score_now, histories, candidates, dense)

    @torch.inference_mode()
    def score_now(
        self, histories: Sequence[History], candidates: Mapping[str, np.ndarray], dense: np.ndarray
    ) -> list[Scores]:
        """`score` in the calling thread; several histories go through the ranker as one batch."""
        model = self._model
        users = encode_users(_rows(histories, candidates, dense), model.features)
        if not model.keeps_states:
            users = users.trim(model.context_events)
        batch = UserBatch.from_numpy(collate(users, np.arange(len(histories)))).to(model.device)
        predictions = self._predict(histories, batch)
        logits = (predictions.ctr_logit, predictions.cvr_logit, predictions.log_value)
        ctr, cvr, log_value = (head.double().cpu() for head in logits)
        raw = {"p_ctr": torch.sigmoid(ctr), "p_cvr": torch.sigmoid(cvr), "value": torch.exp(log_value)}
        scored = {name: values.numpy() for name, values in raw.items()}
        scores = model.calibration.apply({**scored, "price": candidates["price"]})
        heads = [scores["p_ctr"], scores["p_cvr"], scores["value"]]
        if predictions.ctr_spread is not None:
            # Calibration moves all members alike, so that the spread keeps its ratio to the probability.
            heads.append(predictions.ctr_spread.double().cpu().numpy() * scores["p_ctr"] / scored["p_ctr"])
        return [Scores(*(head[row] for head in heads)) for row in range(len(histories))]

    def _predict(self, histories: Sequence[History], batch: UserBatch) -> Predictions:
        model = self._model
        if not model.keeps_states:
            whole: Predictions = model.ranker(batch)
            return whole
        lengths = [len(history.events["time_us"]) for history in histories]
        states_BTD = np.zeros((len(histories), max(*lengths, 1), model.states.width), np.float32)
        for row, (history, length) in enumerate(zip(histories, lengths, strict=True)):
            # States belong to the last events; earlier ones are only counted, so that their rows may stay zero.
            states_BTD[row, length - len(history.states) : length] = history.states
        return model.states.score(torch.from_numpy(states_BTD).to(model.device), batch)

    def _no_states(self) -> np.ndarray:
        return np.empty((0, self._model.states.width if self._model.keeps_states else 0), np.float32)


def _rows(histories: Sequence[History], candidates: Mapping[str, np.ndarray], dense: np.ndarray) -> UserRows:
    """A user for each history, each with all candidates."""
    shared = dict.fromkeys(name for history in histories for name in filter(prefix_of, history.events))
    timelines = [_timeline(history.events, shared) for history in histories]
    if len(histories) == 1:
        return one_user(0, timelines[0], candidates, dense)
    count, shown = len(histories), len(dense)
    events = {name: np.concatenate([timeline[name] for timeline in timelines]) for name in timelines[0]}
    return replace(
        one_user(0, events),
        user_id=np.full(count, "", object),
        user_key=np.zeros(count, np.int64),
        event_offsets=np.cumsum([0, *(len(timeline["time_us"]) for timeline in timelines)]),
        impression_offsets=np.arange(count + 1) * shown,
        impressions={name: np.concatenate([values] * count) for name, values in candidates.items()},
        dense=np.tile(dense, (count, 1)),
    )


def _timeline(events: Columns, shared: Iterable[str]) -> dict[str, np.ndarray]:
    """Events of a history; shared columns that stored states did not keep are missing."""
    unknown = np.full(len(events["time_us"]), MISSING_KEY)
    plain = {name: values for name, values in events.items() if not prefix_of(name)}
    return event_columns(**plain) | {name: events.get(name, unknown) for name in shared}
