"""What the service counts. Outside Ray it only logs failures; in a replica it also feeds Ray's metrics."""

import logging
from collections.abc import Sequence

logger = logging.getLogger(__name__)


class Telemetry:
    """Logs the failures that requests survive."""

    def ranked(self, seconds: float, candidates: int, offline_weight: float, degraded: Sequence[str]) -> None:
        """A request was ranked."""

    def failed(self, part: str, error: Exception) -> None:
        """A part of a request failed, and the request went on without it."""
        logger.warning("%s unavailable: %s: %s", part, type(error).__name__, first_line(error))


def first_line(error: BaseException) -> str:
    """The first line of an error's text; those of Ray go on with a stack trace."""
    return next(iter(str(error).splitlines()), "")
