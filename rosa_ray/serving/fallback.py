"""Parts in other processes, each with a stand-in in this one for the time the other cannot be used.

The other one may be dead, late, or of another version of the model during a rollout. The stand-in answers from the same
store with the same weights, so that the answer is the same. Nothing of it is degraded.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from rosa_ray.errors import OverloadError, ServingError, StoreError
from rosa_ray.features.changes import Changes
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import Encoded, EncodeQuery, EncoderPort, FeatureQuery, Features, LookupPort, Written
from rosa_ray.serving.telemetry import Telemetry, first_line

Answer = TypeVar("Answer")

DESCRIBED_WITHIN_S = 0.3
"""What does not say by then how it is counts as dead."""

_SHARE = 0.5
"""Of a deadline, for the other process; the rest is for this one."""


class _Shy:
    """Leaves another process alone for a while after it failed.

    Args:
        part: name of what the other process does, for metrics.
        deadline_ms: of the whole call.
        retry_s: for so long it is left alone.
    """

    def __init__(
        self,
        part: str,
        deadline_ms: float,
        retry_s: float,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._part, self._within_s, self._retry_s = part, deadline_ms / 1000 * _SHARE, retry_s
        self._telemetry, self._clock = telemetry or Telemetry(), clock
        self._alone_until_s = float("-inf")

    async def ask(
        self,
        call: Callable[[], Awaitable[Answer]],
        here: Callable[[], Awaitable[Answer]],
        final: tuple[type[Exception], ...] = (),
    ) -> Answer:
        """Return the other process's answer, else the one from here.

        Args:
            final: errors that would be the same here.
        """
        if self._clock() < self._alone_until_s:
            return await here()
        try:
            async with asyncio.timeout(self._within_s):
                return await call()
        except final:
            raise
        except Exception as error:
            self._telemetry.failed(self._part, error)
            self._alone_until_s = self._clock() + self._retry_s
        return await here()


class LookupWithFallback:
    """Another process's lookup, and one here.

    Args:
        remote: the lookup in another process; the store's writer.
        local: a lookup of this process.
        config: its deadlines, and how long a failed process is left alone.
        read_here: always read from the store here, as files are read; then only writes go to the other process.
    """

    def __init__(
        self,
        remote: LookupPort,
        local: FeatureLookup,
        config: ServingConfig,
        read_here: bool = False,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._remote, self._local, self._read_here = remote, local, read_here
        self._reads = _Shy("remote_lookup", config.lookup_deadline_ms, config.store_retry_s, telemetry)
        self._writes = _Shy("remote_writer", config.request_timeout_ms, config.store_retry_s, telemetry)

    async def read(self, query: FeatureQuery) -> Features:
        """See `FeatureLookup.read`. An answer that the other one degraded is asked for here as well."""
        if self._read_here:
            return await self._local.read(query)
        return await self._reads.ask(lambda: self._whole(query), lambda: self._local.read(query))

    async def write(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """See `FeatureLookup.write`. What both processes store counts once, by its ids.

        Raises:
            OverloadError: too many wait for the store already; nothing was stored.
            StoreError: the store is down; nothing was stored.
        """
        written = await self._writes.ask(
            lambda: self._remote.write(records, changes),
            lambda: self._local.write(records, changes),
            final=(StoreError, OverloadError),
        )
        self._local.forget(records, changes)
        return written

    async def describe(self) -> dict[str, Any]:
        """The condition of the store as it is read here; `other` where the other process does not answer."""
        return await _described(self._remote, self._local)

    async def _whole(self, query: FeatureQuery) -> Features:
        features = await self._remote.read(query)
        if features.degraded:
            raise ServingError(f"the remote lookup lacks {', '.join(features.degraded)}")
        return features


class EncoderWithFallback:
    """Encodes in another process, or here.

    Args:
        model_version: of the model that is served here; states of another one are of no use.
        config: its deadlines, and how long a failed process is left alone.
    """

    def __init__(
        self,
        remote: EncoderPort,
        local: EncoderPort,
        model_version: str,
        config: ServingConfig,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._remote, self._local, self._model_version = remote, local, model_version
        self._calls = _Shy("remote_encoder", config.encoder_deadline_ms, config.store_retry_s, telemetry)

    async def encode(self, query: EncodeQuery) -> Encoded:
        """See `Encoder.encode`."""
        return await self._calls.ask(lambda: self._same(query), lambda: self._local.encode(query))

    async def describe(self) -> dict[str, Any]:
        """What is loaded here; `other` where the other process does not answer."""
        return await _described(self._remote, self._local)

    async def _same(self, query: EncodeQuery) -> Encoded:
        encoded = await self._remote.encode(query)
        if encoded.model_version != self._model_version:
            raise ServingError(
                f"the remote encoder serves model {encoded.model_version}, this is {self._model_version}"
            )
        return encoded


async def _described(remote: LookupPort | EncoderPort, local: LookupPort | EncoderPort) -> dict[str, Any]:
    here = await local.describe()
    try:
        async with asyncio.timeout(DESCRIBED_WITHIN_S):
            await remote.describe()
    except Exception as error:
        reason = first_line(error) or type(error).__name__
        return {**here, "other": f"does not answer, this process stands in: {reason}"}
    return here
