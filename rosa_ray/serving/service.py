"""The ranking service: a scorer, the writing of events, and the condition of its parts."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rosa_ray.data.time_bounds import iso
from rosa_ray.errors import OverloadError, RosaError
from rosa_ray.records import Parsed, RecordParser, RecordsConfig, Refusal, late_refusals
from rosa_ray.records.dead_letters import DeadLetter, DeadLetters
from rosa_ray.records.money import MoneyGuard
from rosa_ray.serving.api import EventsResponse, Problem, RankRequest, RejectedEvent
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import Written
from rosa_ray.serving.telemetry import Telemetry, first_line

logger = logging.getLogger(__name__)

WRITE_SHARE = 0.8
"""Of the time that a request may take; so a write that waits is answered 503 here, and not 408 by Serve."""


class RankingService:
    """What the HTTP interface calls.

    Args:
        records: how producers write live records.
        instance: name of this deployment, which `readiness` tells.
    """

    def __init__(
        self,
        scorer: HybridScorer,
        telemetry: Telemetry | None = None,
        records: RecordsConfig | None = None,
        instance: str = "",
    ) -> None:
        self.scorer, self.config = scorer, scorer.config
        self._records, self._instance = records or RecordsConfig(), instance
        self._money = MoneyGuard(self._records)
        self._telemetry = telemetry or Telemetry()
        letters = self.config.dead_letters
        self._dead_letters = DeadLetters(letters, "http") if letters else None

    async def rank(self, request: RankRequest, request_id: str) -> dict[str, Any]:
        """Answer `POST /rank`."""
        return await self.scorer.rank(request, request_id)

    async def write_events(self, body: object) -> EventsResponse:
        """Answer `POST /events`: each record of the body is stored, known already, or rejected with its reason.

        Args:
            body: JSON, one record or a mapping with a list `events` of them.

        Raises:
            Problem: 422 no events or too many in one body; 503 the store is down and nothing was stored.
        """
        scorer, records = self.scorer, self._records_of(body)
        parser = RecordParser(
            scorer.model.catalogue,
            self.config.max_future_s,
            pseudonym=scorer.pseudonym,
            now_us=scorer.now_us,
            time_form=self._records.time_form,
            features=scorer.model.features.config,
            money=self._money,
        )
        if any(map(_tells_of_ad, records)):
            # Records of an ad come before those that show it, so that these count for its campaign.
            told = _parse(replace(parser, money=None), scorer, records).only_changes
            if not told.asks_nothing:
                await self._store(scorer, told)
        parsed = _parse(parser, scorer, records)
        self._telemetry.unknown_ads(parsed.unknown_ads)
        written = Written(0, 0, ()) if parsed.asks_nothing else await self._store(scorer, parsed)
        _tell(scorer, parsed, written)
        refusals = [*parsed.refusals, *late_refusals(parsed, np.array(written.late_rows, np.int64))]
        await self._set_aside(records, refusals)
        self._telemetry.ignored(sum(parsed.ignored_fields.values()))
        rejected = [
            RejectedEvent(index=refusal.index, code=refusal.reason, reason=refusal.detail)
            for refusal in sorted(refusals, key=lambda refusal: refusal.index)
        ]
        return EventsResponse(
            accepted=written.accepted + parsed.changed,
            duplicates=written.duplicates,
            rejected=rejected,
            ignored_fields=dict(parsed.ignored_fields) or None,
        )

    async def write_ads(self, body: object) -> EventsResponse:
        """Answer `POST /ads`: as `write_events`, but records are of ads and need not say so.

        Args:
            body: JSON, one record of an ad or a mapping with a list `ads` of them.

        Raises:
            Problem: as of `write_events`.
        """
        if not isinstance(body, dict) or "ads" not in body:
            return await self.write_events({"events": [_of_ad(body)]})
        ads = body["ads"]
        if not isinstance(ads, list) or not ads:
            raise Problem(422, "`ads` must be a list of at least one record of an ad")
        return await self.write_events({"events": [_of_ad(one) for one in ads]})

    def describe_ad(self, ad_id: str) -> dict[str, Any]:
        """Answer `GET /ads/AD`.

        Raises:
            Problem: 404, the catalogue lacks it.
        """
        scorer = self.scorer
        catalogue, now_us = scorer.model.catalogue, scorer.now_us()
        with catalogue.lock:
            number, terms = catalogue.number(ad_id), catalogue.terms(ad_id, now_us)
            if number is None or terms is None:
                raise Problem(404, f"the catalogue of {len(catalogue)} ads lacks it")
            shown, trained = number in catalogue.active(now_us), number < catalogue.in_table
        end_us = terms.get("valid_until")
        said = {**terms, "valid_until": None if end_us is None else iso(end_us)}
        return {"ad_id": ad_id, "shown": shown, "trained": trained, "terms": said}

    def _records_of(self, body: object) -> list[object]:
        """The records of a body, unread."""
        if isinstance(body, list):
            raise Problem(422, 'the body is a list; a batch is {"events": [...]}')
        if not isinstance(body, dict) or "events" not in body:
            return [body]
        events = body["events"]
        if not isinstance(events, list) or not events:
            raise Problem(422, "`events` must be a list of at least one record")
        if len(events) > self.config.max_batch_events:
            raise Problem(422, f"a batch holds at most {self.config.max_batch_events} events, this one {len(events)}")
        return events

    async def _store(self, scorer: HybridScorer, parsed: Parsed) -> Written:
        try:
            async with asyncio.timeout(self.config.request_timeout_ms / 1000 * WRITE_SHARE):
                written = await scorer.lookup.write(parsed.columns, parsed.changes)
                if parsed.ads and scorer.ads is not None:
                    await asyncio.to_thread(scorer.ads.catch_up)
                return written
        except OverloadError as error:
            detail = "too many events wait for the store; send them again, repeated ids change nothing"
            raise Problem(503, detail, self.config.retry_after_s) from error
        except Exception as error:
            logger.warning("events not stored: %s: %s", type(error).__name__, first_line(error))
            detail = "the store did not take the events; send them again, repeated ids change nothing"
            raise Problem(503, detail, self.config.retry_after_s) from error

    async def _set_aside(self, records: Sequence[object], refusals: Sequence[Refusal]) -> None:
        """Count refused records and keep them with their reasons; a full disk must not fail the others."""
        if not refusals:
            return
        self._telemetry.refused(Counter(refusal.reason for refusal in refusals))
        if self._dead_letters is None:
            return
        line_of = _as_line if self.scorer.pseudonym is None else _no_line
        letters = [
            DeadLetter(refusal.reason, refusal.detail, "http", refusal.index, line_of(records[refusal.index]))
            for refusal in refusals
        ]
        try:
            await asyncio.to_thread(self._dead_letters.write, letters)
        except RosaError as error:
            logger.warning("%s", error)

    async def readiness(self) -> dict[str, Any]:
        """Answer `GET /readyz`.

        Raises:
            Problem: 503, the store or the encoder is missing.
        """
        scorer = self.scorer
        parts: dict[str, Any] = {"status": "ready", "model_version": scorer.model.version}
        if self._instance:
            parts["instance"] = self._instance
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
            "catalogue": {} if self.scorer.ads is None else self.scorer.ads.describe(),
            "window": model.window,
            "context_events": model.context_events,
            "keeps_states": model.keeps_states,
            "rule": self.config.rule,
            "score": self.scorer.ranking.kind,
            "theta": self.scorer.ranking.theta,
            "level": self.scorer.ranking.level,
            "metrics": model.bundle.metrics,
        }


def _parse(parser: RecordParser, scorer: HybridScorer, records: Sequence[object]) -> Parsed:
    with scorer.model.catalogue.lock:
        return parser.parse_values(records)


def _tell(scorer: HybridScorer, parsed: Parsed, written: Written) -> None:
    """Let the steps of the scorer's policy know what was stored."""
    if scorer.policy is None or not len(parsed.rows):
        return
    late = set(written.late_rows)
    with scorer.model.catalogue.lock:
        taken = (row for row in range(len(parsed.rows)) if row not in late)
        scorer.policy.tell(parsed.columns, taken, scorer.model.catalogue)


def _tells_of_ad(record: object) -> bool:
    return isinstance(record, dict) and record.get("type") == "ad"


def _of_ad(record: object) -> object:
    """A record that need not say that it is of an ad; another kind is none, and so it is refused."""
    if not isinstance(record, dict):
        return record
    return {**record, "type": "ad" if record.get("type", "ad") == "ad" else "?"}


def _as_line(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _no_line(record: object) -> None:
    """Nothing of a record whose user wants a pseudonym."""
