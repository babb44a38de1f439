"""The feature lookup: reads a user and the candidates' counters at one moment, and writes events.

Users, counters and events each have threads and a link to the store of their own. So a lock that stops a write, or
counters that are slow to read, make nobody cold. When the store is down the lookup answers from what it read last, then
with the features of an unknown user, and says so. When it has more to do than it can, it says that instead.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import OverloadError
from rosa_ray.features import FeatureState
from rosa_ray.features.changes import Changes
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.feature_reader import FeatureReader, How, Reading
from rosa_ray.serving.messages import FeatureQuery, Features, Written
from rosa_ray.serving.refresher import NotHeldError, Refresher
from rosa_ray.serving.store_link import StoreLink
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.store import OnlineStore, StoreInfo

Answer = TypeVar("Answer")

_DEADLINE_SHARE = 0.8
"""Of the lookup's deadline: then it still has time to answer from what it knows."""


class FeatureLookup:
    """Features of one request from the online store, within a deadline; and the writing of events.

    Args:
        open_store: connects to the store; called for each link, and again after a failure.
        context_events: events of a timeline that the ranker can use.
    """

    def __init__(
        self,
        open_store: Callable[[], OnlineStore],
        features: FeatureState,
        context_events: int,
        config: ServingConfig,
        telemetry: Telemetry | None = None,
    ) -> None:
        telemetry = telemetry or Telemetry()
        self._reader = FeatureReader(open_store, features, context_events, config, telemetry)
        self._of_events = StoreLink(open_store, config.store_retry_s, locked_breaks=True)
        refresher = Refresher(lambda error: telemetry.failed("refresh", error))
        self._at_once, self._waiting = How(refresher.later, wait=False), How(refresher.later)
        self._deadline_s = config.lookup_deadline_ms / 1000 * _DEADLINE_SHARE
        self._readers = ThreadPoolExecutor(config.lookup_threads, "lookup")
        self._filler, self._writer = ThreadPoolExecutor(1, "counters"), ThreadPoolExecutor(1, "events")
        self._writing, self._most_writing = 0, config.max_waiting_writes

    async def read(self, query: FeatureQuery) -> Features:
        """Return the features of a request; degraded, not failed, when the store is down or slow.

        Raises:
            OverloadError: other requests left no time to look at this one.
            StoreError: the asking model has other features than this lookup.
        """
        reading, store = Reading(query), self._reader.of_users
        if store.hangs():
            return self._reader.read_held(reading)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._read(reading)
        except TimeoutError:
            if not reading.started and not store.hangs() and not store.broken:
                raise OverloadError("feature lookup: other requests left no time for this one") from None
            return self._reader.read_held(reading)

    async def write(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """Store live records (`RECORD_COLUMNS`), each id of a kind once, and changes; the next `read` sees them.

        Raises:
            OverloadError: too many wait for the store already; nothing was stored.
            StoreError: the store is down; nothing was stored.
        """
        if self._writing >= self._most_writing:
            raise OverloadError(f"feature lookup: {self._writing} batches of events wait for the store already")
        self._writing += 1
        work = asyncio.get_running_loop().run_in_executor(self._writer, self.write_now, records, changes)
        work.add_done_callback(self._wrote)
        return await asyncio.shield(work)

    async def describe(self) -> dict[str, Any]:
        """Return the condition of the store.

        Raises:
            StoreError: the store is down or was filled for other features.
        """
        return asdict(await _run(self._readers, self._info))

    def read_now(self, query: FeatureQuery) -> Features:
        """`read` in the calling thread, without a deadline; what has aged is read again at once."""
        return self._reader.read(Reading(query))

    def write_now(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """`write` in the calling thread."""
        result = self._of_events.ask(lambda store: store.apply(records, (), changes))
        self.forget(records if result.accepted else {}, changes)
        return Written(result.accepted, result.duplicates, tuple(result.late_rows.tolist()))

    def forget(self, records: Columns, changes: Sequence[Changes] = ()) -> None:
        """Let go of what records and changes in the store made old; without records, of what changes did."""
        self._reader.forget(records, changes)

    def forget_columns(self) -> None:
        """Read columns of items and ads again: another process changed them. Without this they are read when aged."""
        self._reader.forget_columns()

    def close(self) -> None:
        """Close the connections; the next call connects again."""
        for link in (self._reader.of_users, self._reader.of_counters, self._of_events):
            link.close()

    def _info(self) -> StoreInfo:
        return self._reader.of_users.ask(lambda store: store.info())

    async def _read(self, reading: Reading) -> Features:
        """What many share is read in a thread apart, so that a request that lacks some of it delays no other."""
        try:
            return await _run(self._readers, self._reader.read, reading, self._at_once)
        except NotHeldError:
            return await _run(self._filler, self._reader.read, reading, self._waiting)

    def _wrote(self, work: asyncio.Future[Written]) -> None:
        self._writing -= 1
        if not work.cancelled():
            work.exception()  # taken, so that a caller who went away is no error of its own


async def _run(executor: Executor, function: Callable[..., Answer], *arguments: Any) -> Answer:
    """Run a function in another thread; one that nobody waits for any more is not begun."""
    return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)
