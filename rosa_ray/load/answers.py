"""One answer of a service, as its caller saw it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

NO_ANSWER = 0
"""Status of a request without an answer: refused, cut off, or later than the caller waits."""

Kind = Literal["rank", "events"]


@dataclass(frozen=True)
class Answer:
    """What came back for one request. All times are seconds since the begin of the load.

    Attributes:
        kind: `rank` or `events`.
        due_s: when it should have been sent.
        sent_s: when it was sent; later than `due_s` where the client itself was busy.
        done_s: when the answer was there, or was given up.
        status: of HTTP, or `NO_ANSWER`.
        reason: of a problem document its detail; without an answer, the kind of failure. Empty for a 200.
        model_version: of a ranking.
        degraded: parts that a ranking lacked.
        user_known: whether the ranking knew its user; None of anything else.
        retry_after: whether the answer said when to come again.
    """

    kind: Kind
    due_s: float
    sent_s: float
    done_s: float
    status: int
    reason: str = ""
    model_version: str = ""
    degraded: tuple[str, ...] = ()
    user_known: bool | None = None
    retry_after: bool = False

    @property
    def ok(self) -> bool:
        """Whether it was answered as asked, whole or degraded."""
        return self.status in (200, 207)

    @property
    def latency_ms(self) -> float:
        """From the time it was due.

        >>> Answer("rank", due_s=1.0, sent_s=1.25, done_s=1.5, status=200).latency_ms
        500.0
        """
        return 1000 * (self.done_s - self.due_s)

    @property
    def alike(self) -> tuple[str, int, str, str, tuple[str, ...]]:
        """What makes two answers the same to their callers."""
        return self.kind, self.status, self.reason, self.model_version, self.degraded


def answer_of(
    kind: Kind,
    due_s: float,
    sent_s: float,
    done_s: float,
    status: int,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
) -> Answer:
    """Read an answer.

    Args:
        body: JSON of the answer; empty where it was none.
        headers: of the answer.

    >>> answer_of("rank", 0.0, 0.0, 0.1, 503, {"detail": "busy"}, {"Retry-After": "1"}).reason
    'busy'
    """
    ok = status in (200, 207)
    return Answer(
        kind,
        due_s,
        sent_s,
        done_s,
        status,
        reason="" if ok else str(body.get("detail") or f"answered {status}"),
        model_version=str(body.get("model_version", "")),
        degraded=tuple(body.get("degraded", ())),
        user_known=body.get("user_known"),
        retry_after="Retry-After" in headers,
    )
