"""Scores N candidates of one user against given encoder states."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from rosa_ray.features import collate, encode_users
from rosa_ray.features.rows import Columns
from rosa_ray.models import UserBatch
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.requests import event_columns, no_events, one_user
from rosa_ray.store import STATE_EVENT_COLUMNS


@dataclass(frozen=True)
class History:
    """The states ads attend to: those of C events, at most the window.

    Attributes:
        events: `STATE_EVENT_COLUMNS` of the events, each (C,).
        states: float32 (C, D).
    """

    events: Columns
    states: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Calibrated predictions per candidate, float64 (N,)."""

    p_ctr: np.ndarray
    p_cvr: np.ndarray
    value: np.ndarray

    def mix(self, other: "Scores", weight: float) -> "Scores":
        """Return `weight` of these and the rest of the other, head by head (paper §3.5).

        >>> one, two = (Scores(*[np.array([x])] * 3) for x in (1.0, 2.0))
        >>> one.mix(two, 0.25).p_ctr
        array([1.75])
        """
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("p_ctr", "p_cvr", "value"))
        return Scores(*(weight * mine + (1 - weight) * theirs for mine, theirs in pairs))


class CandidateScorer:
    """The ranker's cross-attention and heads, off the event loop."""

    def __init__(self, model: ServedModel, threads: int) -> None:
        self._model = model
        self._executor = ThreadPoolExecutor(1, "scorer", torch.set_num_threads, (threads,))

    def empty_history(self) -> History:
        """Return the history of a user without states."""
        nothing = no_events()
        none = {name: nothing[name] for name in STATE_EVENT_COLUMNS}
        return History(none, np.empty((0, self._model.ranker.config.width), np.float32))

    async def score(self, history: History, candidates: Mapping[str, np.ndarray], dense: np.ndarray) -> Scores:
        """Score candidates (impression columns, (N,)) with raw dense features (N, F)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self.score_now, history, candidates, dense)

    @torch.inference_mode()
    def score_now(self, history: History, candidates: Mapping[str, np.ndarray], dense: np.ndarray) -> Scores:
        """`score` in the calling thread."""
        model = self._model
        timeline = event_columns(**history.events)
        users = encode_users(one_user(0, timeline, candidates, dense), model.features)
        batch = UserBatch.from_numpy(collate(users, np.zeros(1, np.int64))).to(model.device)
        padded_TD = np.zeros((max(len(history.states), 1), model.ranker.config.width), np.float32)
        padded_TD[: len(history.states)] = history.states
        predictions = model.ranker.score(torch.from_numpy(padded_TD)[None].to(model.device), batch)
        logits = (predictions.ctr_logit, predictions.cvr_logit, predictions.log_value)
        ctr, cvr, log_value = (head[0].double().cpu() for head in logits)
        raw = {"p_ctr": torch.sigmoid(ctr), "p_cvr": torch.sigmoid(cvr), "value": torch.exp(log_value)}
        scores = model.calibration.apply({name: values.numpy() for name, values in raw.items()})
        return Scores(scores["p_ctr"], scores["p_cvr"], scores["value"])
