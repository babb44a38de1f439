"""The live path of a parity check: a log on disk, the consumer that folds it into an empty store, and the lookup."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureState
from rosa_ray.features.counting import buckets_of
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.parity.faults import RandomlyKilled, SimulatedKill
from rosa_ray.parity.features import Request
from rosa_ray.records import RecordParser
from rosa_ray.records.columns import Pseudonym
from rosa_ray.records.log import LogConfig, LogWriter
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import FeatureQuery, Features
from rosa_ray.store import OnlineStore, StoreConfig, open_store
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer import Consumer
from rosa_ray.streaming.consumer_metrics import ConsumerMetrics
from rosa_ray.streaming.local_log import LocalLog

_CONSUMER = StreamConfig(poll_ms=1, min_batch=512, max_batch=8192, batch_ms=1000)
_LOG = LogConfig(segment_mb=16, retention_mb=64, fsync="never")


class LivePath:
    """An empty store that is filled as `rosa ingest` fills it and read as the service reads it.

    Args:
        scratch: directory of the log.
        store: of the kind to check; it is created.
        context_events: events of a timeline that the encoder can use.
        kill: end the consumer at one in so many of its calls, and start it again; 0 never.
    """

    def __init__(
        self,
        scratch: Path,
        store: StoreConfig,
        state: FeatureState,
        catalogue: LiveCatalogue,
        context_events: int,
        kill: int = 0,
        pseudonym: Pseudonym | None = None,
    ) -> None:
        self._config, self._state, self._log = store, state, scratch / "log"
        self._fingerprint, self._catalogue = state.fingerprint, catalogue
        self._kill, self._rng, self._clock_us = kill, np.random.default_rng(kill), 0
        self._parser = RecordParser(
            catalogue, pseudonym=pseudonym, now_us=lambda: self._clock_us, features=state.config
        )
        self._writer = LogWriter(self._log / "0", _LOG)
        self.metrics, self.restarts = ConsumerMetrics(), 0
        self._start()
        settings = ServingConfig(counter_ttl_s=3600.0)
        self.lookup = FeatureLookup(self._open, state, context_events, settings)

    def __enter__(self) -> "LivePath":
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._writer.close()

    def deliver(self, lines: list[bytes], clock_us: int) -> None:
        """Append lines to the log and fold it to its end."""
        self._clock_us = clock_us
        self._writer.append(lines)
        while True:
            try:
                self._consumer.run(until_end=True)
                self.lookup.forget_columns()
                return
            except SimulatedKill:
                self._stop()
                self.restarts += 1
                self._start()

    def answer(self, requests: Sequence[Request]) -> Iterator[Features]:
        """Read the features of requests, by time.

        Ads' counters are the same until the next bucket closes. They are read for all ads of a bucket's requests at
        once, as the lookup does when one request ranks many ads.
        """
        for _, group in itertools.groupby(requests, lambda request: self._last_closed(request.time_us)):
            together = list(group)
            if len(together) > 1:
                ad_key = np.unique(np.concatenate([request.ad_key for request in together]))
                self._read(together[0], ad_key, np.ones(len(ad_key)), {})
            for request in together:
                yield self._read(request, request.ad_key, request.bid, request.columns)

    def _read(self, request: Request, ad_key: np.ndarray, bid: np.ndarray, columns: Columns) -> Features:
        row, _ = self._catalogue.lookup(ad_key, request.time_us)
        keys = {name: getattr(self._catalogue, name)[row] for name in CATALOGUE_KEYS}
        query = FeatureQuery(request.user_key, request.time_us, ad_key, bid, self._fingerprint, columns, keys)
        found = self.lookup.read_now(query)
        if found.degraded:
            raise StoreError("the lookup could not read the store and answered from what it knew")
        return found

    def _last_closed(self, time_us: int) -> int:
        return int(buckets_of(self._state.config).last_closed(np.array([time_us]))[0])

    def _open(self) -> OnlineStore:
        return open_store(self._config, self._state.config, user_key_id=self._state.user_key_id, create=True)

    def _start(self) -> None:
        self._source, self._store = LocalLog(self._log, "parity"), self._open()
        source, store = self._killing(self._source, "resume", "poll"), self._killing(self._store, "apply")
        self._consumer = Consumer(source, store, self._parser, config=_CONSUMER, metrics=self.metrics)

    def _stop(self) -> None:
        self._source.close()
        self._store.close()

    def _killing(self, inner: Any, *methods: str) -> Any:
        return RandomlyKilled(inner, self._rng, self._kill, methods) if self._kill else inner
