"""The ranking service: a scorer that may lack its model, the writing of events, and the condition of its parts."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from rosa_ray.errors import RosaError
from rosa_ray.serving.api import EventBatch, EventIn, EventsResponse, RankRequest, RejectedEvent
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.events import as_list, event_store_columns, split_future
from rosa_ray.serving.problems import Problem
from rosa_ray.serving.scorer import HybridScorer
from rosa_ray.serving.telemetry import first_line

logger = logging.getLogger(__name__)


class RankingService:
    """What the HTTP interface calls.

    Args:
        build_scorer: loads the model and connects the parts. While it fails, the service answers 503 with the reason,
            and tries again every `reload_s` seconds.
    """

    def __init__(self, build_scorer: Callable[[], HybridScorer], config: ServingConfig, reload_s: float = 10.0) -> None:
        self.config, self._build_scorer, self._reload_s = config, build_scorer, reload_s
        self._scorer: HybridScorer | None = None
        self._failure = ""
        self._load()

    def _load(self) -> None:
        self._loaded_s = time.monotonic()
        try:
            self._scorer = self._build_scorer()
        except RosaError as error:
            self._failure = str(error)
            logger.error("no model: %s", error)

    @property
    def scorer(self) -> HybridScorer:
        """The scorer.

        Raises:
            Problem: 503, there is no model.
        """
        if self._scorer is None and time.monotonic() - self._loaded_s > self._reload_s:
            self._load()
        if self._scorer is None:
            raise Problem(503, f"no model is loaded: {self._failure}", self.config.retry_after_s)
        return self._scorer

    async def rank(self, request: RankRequest, request_id: str) -> dict[str, Any]:
        """Answer `POST /rank`."""
        return await self.scorer.rank(request, request_id)

    async def write_events(self, body: EventIn | EventBatch) -> EventsResponse:
        """Answer `POST /events`.

        Raises:
            Problem: 422 too many events in one body; 503 the store is down and nothing was stored.
        """
        events, scorer = as_list(body), self.scorer
        if len(events) > self.config.max_batch_events:
            raise Problem(422, f"a batch holds at most {self.config.max_batch_events} events, this one {len(events)}")
        kept, rejected = split_future(events, scorer.now_us(), self.config.max_future_s)
        if not len(kept):
            return EventsResponse(accepted=0, duplicates=0, rejected=rejected)
        try:
            async with asyncio.timeout(self.config.request_timeout_ms / 1000):
                written = await scorer.lookup.write(event_store_columns([events[row] for row in kept]))
        except Exception as error:
            logger.warning("events not stored: %s: %s", type(error).__name__, first_line(error))
            detail = "the store did not take the events; send them again, repeated ids change nothing"
            raise Problem(503, detail, self.config.retry_after_s) from error
        late = "the event lies further back than the store remembers event ids, and was set aside"
        rejected += [RejectedEvent(index=int(kept[row]), reason=late) for row in written.late_rows]
        rejected.sort(key=lambda event: event.index)
        return EventsResponse(accepted=written.accepted, duplicates=written.duplicates, rejected=rejected)

    async def readiness(self) -> dict[str, Any]:
        """Answer `GET /readyz`.

        Raises:
            Problem: 503, the model, the store or the encoder is missing.
        """
        scorer = self.scorer
        parts: dict[str, Any] = {"status": "ready", "model_version": scorer.model.version}
        for name, port in (("store", scorer.lookup), ("encoder", scorer.encoder)):
            try:
                async with asyncio.timeout(self.config.lookup_deadline_ms / 1000):
                    parts[name] = await port.describe()
            except Exception as error:
                reason = first_line(error) or type(error).__name__
                raise Problem(503, f"{name} is not ready: {reason}", self.config.retry_after_s) from error
        return parts

    def describe_model(self) -> dict[str, Any]:
        """Answer `GET /model`."""
        model = self.scorer.model
        manifest = model.bundle.manifest
        return {
            "model_version": model.version,
            "name": model.bundle.model["name"],
            "created": manifest.created,
            "feature_fingerprint": manifest.feature_fingerprint,
            "ads": len(model.catalogue),
            "window": model.window,
            "rule": self.config.rule,
            "score": self.config.score,
            "metrics": model.bundle.metrics,
        }
