"""What the service counts. Outside Ray it only logs failures; in a replica it also feeds Ray's metrics."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rosa_ray.serving.messages import Outcome

logger = logging.getLogger(__name__)

_TELL_EVERY_S = 60.0
_LATENCY_MS = [1.0, 2, 5, 10, 20, 35, 50, 75, 100, 150, 250, 500, 1000, 2500]
_WEIGHTS = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]
_CANDIDATES = [1.0, 10, 50, 100, 250, 500, 1000, 2500, 5000]


@dataclass
class _Failing:
    """A part that fails: when that was last told, and how often it has failed since it was well."""

    told_s: float
    failures: int = 0


class Telemetry:
    """Logs the failures that requests survive: when a part begins to fail, once a minute, and when it is well again."""

    now_s: Callable[[], float] = staticmethod(time.monotonic)

    @cached_property
    def _failing(self) -> dict[str, _Failing]:
        """Parts that fail now."""
        return {}

    def ranked(self, seconds: float, candidates: int, offline_weight: float, degraded: Sequence[str]) -> None:
        """A request was ranked."""
        for part in [*self._failing]:
            if part not in degraded and (part != "encoder" or offline_weight < 1):
                failing = self._failing.pop(part)
                logger.warning("%s is well again after %d failures", part, failing.failures)

    def decided(self, offline_weight: float, cause: str, load: float) -> None:
        """λ was decided under a load in [0, 1]; `cause` is one of `rosa_ray.serving.offline_weight.Cause`."""

    def encoded(self, outcome: Outcome, cached_bytes: int, evicted: int) -> None:
        """A timeline was encoded; the cache then held `cached_bytes`, and had let go of `evicted` users for it."""

    def refused(self, reasons: Mapping[str, int]) -> None:
        """Live records were refused, so many for each reason."""

    def unknown_ads(self, records: int) -> None:
        """So many live records were of ads that the catalogue lacks."""

    def ignored(self, fields: int) -> None:
        """Live records had so many fields that no contract knows."""

    def impossible(self, kinds: Sequence[str]) -> None:
        """The store held what cannot be, and it was read as missing: of users, counters, features or scores."""
        logger.warning("the store holds impossible values: %s", ", ".join(kinds))

    def failed(self, part: str, error: Exception) -> None:
        """A part of a request failed, and the request went on without it."""
        failing = self._failing.setdefault(part, _Failing(self.now_s()))
        failing.failures += 1
        if failing.failures == 1 or self.now_s() - failing.told_s >= _TELL_EVERY_S:
            failing.told_s = self.now_s()
            kind, reason = type(error).__name__, first_line(error)
            logger.error("%s unavailable: %s: %s; %d failures so far", part, kind, reason, failing.failures)


class RayTelemetry(Telemetry):
    """The same as Ray exports it to Prometheus, tagged by deployment and replica."""

    def __init__(self) -> None:
        from ray.serve.metrics import Counter, Gauge, Histogram  # takes seconds, and only a replica needs it

        self._latency = Histogram("rosa_rank_latency_ms", "Time in the scorer, its calls included.", _LATENCY_MS)
        self._candidates = Histogram("rosa_rank_candidates", "Ads ranked per request.", _CANDIDATES)
        self._rankings = Counter("rosa_rankings", "Rankings, by whether the encoder was used.", ("encoded",))
        self._weight = Histogram("rosa_offline_weight", "Weight of the offline score in rankings.", _WEIGHTS)
        self._skips = Counter("rosa_encoder_skips", "Rankings without the encoder, by why.", ("cause",))
        self._load = Gauge("rosa_load", "How busy the scorer is, from 0 to 1.")
        self._degraded = Counter("rosa_degraded", "Rankings that lacked a part.", ("part",))
        self._refused = Counter("rosa_events_refused", "Posted records that were not stored.", ("reason",))
        self._unknown_ads = Counter("rosa_events_unknown_ads", "Posted records of ads that the catalogue lacks.")
        self._ignored = Counter("rosa_events_ignored_fields", "Fields of posted records that no contract knows.")
        self._failures = Counter("rosa_part_failures", "Calls that failed or were late.", ("part",))
        self._impossible = Counter("rosa_impossible_features", "Requests whose features cannot be.", ("kind",))
        self._encodings = Counter("rosa_encodings", "Encodings, by what the encoder knew already.", ("outcome",))
        self._cached_bytes = Gauge("rosa_encoder_cache_bytes", "Memory of cached encodings.")
        self._evicted = Counter("rosa_encoder_cache_evicted", "Users let go from the encoder's cache for space.")

    def ranked(self, seconds: float, candidates: int, offline_weight: float, degraded: Sequence[str]) -> None:
        """Count one ranking."""
        super().ranked(seconds, candidates, offline_weight, degraded)
        self._latency.observe(seconds * 1000)
        self._candidates.observe(candidates)
        self._rankings.inc(tags={"encoded": str(offline_weight < 1).lower()})
        for part in degraded:
            self._degraded.inc(tags={"part": part})

    def decided(self, offline_weight: float, cause: str, load: float) -> None:
        """Note λ and the load it was decided under."""
        self._weight.observe(offline_weight)
        self._load.set(load)
        if offline_weight == 1:
            self._skips.inc(tags={"cause": cause})

    def encoded(self, outcome: Outcome, cached_bytes: int, evicted: int) -> None:
        """Count one encoding."""
        self._encodings.inc(tags={"outcome": outcome})
        self._cached_bytes.set(cached_bytes)
        if evicted:
            self._evicted.inc(evicted)

    def refused(self, reasons: Mapping[str, int]) -> None:
        """Count refused live records."""
        for reason, count in reasons.items():
            self._refused.inc(count, tags={"reason": reason})

    def unknown_ads(self, records: int) -> None:
        """Count live records of unknown ads."""
        if records:
            self._unknown_ads.inc(records)

    def ignored(self, fields: int) -> None:
        """Count ignored fields."""
        if fields:
            self._ignored.inc(fields)

    def impossible(self, kinds: Sequence[str]) -> None:
        """Count and log impossible features."""
        super().impossible(kinds)
        for kind in kinds:
            self._impossible.inc(tags={"kind": kind})

    def failed(self, part: str, error: Exception) -> None:
        """Count and log one failure."""
        super().failed(part, error)
        self._failures.inc(tags={"part": part})


def first_line(error: BaseException) -> str:
    """The first line of an error's text; those of Ray go on with a stack trace."""
    return next(iter(str(error).splitlines()), "")
