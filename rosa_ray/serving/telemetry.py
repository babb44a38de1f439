"""What the service counts. Outside Ray it only logs failures; in a replica it also feeds Ray's metrics."""

import logging
from collections.abc import Mapping, Sequence

from rosa_ray.serving.messages import Outcome

logger = logging.getLogger(__name__)


class Telemetry:
    """Logs the failures that requests survive."""

    def ranked(self, seconds: float, candidates: int, offline_weight: float, degraded: Sequence[str]) -> None:
        """A request was ranked."""

    def decided(self, offline_weight: float, cause: str, load: float) -> None:
        """λ was decided under a load in [0, 1]; `cause` is one of `rosa_ray.serving.offline_weight.Cause`."""

    def encoded(self, outcome: Outcome, cached_bytes: int, evicted: int) -> None:
        """A timeline was encoded; the cache then held `cached_bytes`, and had let go of `evicted` users for it."""

    def refused(self, reasons: Mapping[str, int]) -> None:
        """Live records were refused, so many for each reason."""

    def failed(self, part: str, error: Exception) -> None:
        """A part of a request failed, and the request went on without it."""
        logger.warning("%s unavailable: %s: %s", part, type(error).__name__, first_line(error))


def first_line(error: BaseException) -> str:
    """The first line of an error's text; those of Ray go on with a stack trace."""
    return next(iter(str(error).splitlines()), "")
