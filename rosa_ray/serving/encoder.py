"""The encoder: from a user's timeline to the states that ads attend to."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from rosa_ray.features import collate, encode_users
from rosa_ray.models import UserBatch
from rosa_ray.serving.messages import Encoded, EncodeQuery
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.requests import one_user


class Encoder:
    """Encodes timelines with the ranker's weights, off the event loop.

    A timeline may be cut to its last `ServedModel.context_events` events: the states it returns do not reach further.
    """

    def __init__(self, model: ServedModel, threads: int = 1) -> None:
        self._model = model
        self._executor = ThreadPoolExecutor(1, "encoder", torch.set_num_threads, (threads,))

    async def encode(self, query: EncodeQuery) -> Encoded:
        """Return the states of the last window of events."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.encode_now, query)

    async def describe(self) -> dict[str, Any]:
        """Return what is loaded."""
        return {"model_version": self._model.version, "device": self._model.device}

    @torch.inference_mode()
    def encode_now(self, query: EncodeQuery) -> Encoded:
        """`encode` in the calling thread."""
        users = encode_users(one_user(query.user_key, query.events), self._model.features)
        batch = UserBatch.from_numpy(collate(users, np.zeros(1, np.int64))).to(self._model.device)
        states_TD = self._model.ranker.encode(batch.events)[0, : len(query.events["time_us"])]
        return Encoded(self._model.version, states_TD[-self._model.window :].cpu().numpy())
