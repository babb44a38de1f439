"""The service's metrics as Ray exports them to Prometheus, tagged by deployment and replica."""

from collections.abc import Sequence

from ray.serve.metrics import Counter, Histogram

from rosa_ray.serving.telemetry import Telemetry

_LATENCY_MS = [1.0, 2, 5, 10, 20, 35, 50, 75, 100, 150, 250, 500, 1000, 2500]
_CANDIDATES = [1.0, 10, 50, 100, 250, 500, 1000, 2500, 5000]


class RayTelemetry(Telemetry):
    """Latency and size of rankings, how many were encoded, and what was missing."""

    def __init__(self) -> None:
        self._latency = Histogram("rosa_rank_latency_ms", "Time in the scorer, its calls included.", _LATENCY_MS)
        self._candidates = Histogram("rosa_rank_candidates", "Ads ranked per request.", _CANDIDATES)
        self._rankings = Counter("rosa_rankings", "Rankings, by whether the encoder was used.", ("encoded",))
        self._degraded = Counter("rosa_degraded", "Rankings that lacked a part.", ("part",))
        self._failures = Counter("rosa_part_failures", "Calls that failed or were late.", ("part",))

    def ranked(self, seconds: float, candidates: int, offline_weight: float, degraded: Sequence[str]) -> None:
        """Count one ranking."""
        self._latency.observe(seconds * 1000)
        self._candidates.observe(candidates)
        self._rankings.inc(tags={"encoded": str(offline_weight < 1).lower()})
        for part in degraded:
            self._degraded.inc(tags={"part": part})

    def failed(self, part: str, error: Exception) -> None:
        """Count and log one failure."""
        super().failed(part, error)
        self._failures.inc(tags={"part": part})
