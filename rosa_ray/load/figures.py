"""From answers to figures: how many of which kind, how long they took, and when something went wrong."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rosa_ray.load.answers import NO_ANSWER, Answer, Kind

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
LATE_CLIENT_MS = 10.0
"""Where the client itself was later than this, its figures say as much of the client as of the service."""


@dataclass(frozen=True)
class KindFigures:
    """Requests of one kind.

    Attributes:
        requests: sent.
        per_s: answered 200 or 207, a second.
        statuses: how many answers of each HTTP status; `no answer` of those without.
        reasons: why those failed that did, with their number.
        degraded: rankings that lacked a part, by part.
        cold: rankings that did not know their user.
        model_versions: rankings of each model.
        percentiles_ms: latency of what was answered 200 or 207, from the time it was due, by percentile.
        max_ms: the longest of these; None where nothing was answered.
    """

    requests: int
    per_s: float
    statuses: dict[str, int]
    reasons: dict[str, int]
    degraded: dict[str, int]
    cold: int
    model_versions: dict[str, int]
    percentiles_ms: dict[str, float]
    max_ms: float | None

    @property
    def failed(self) -> int:
        """Requests that were not answered 200 or 207."""
        return self.requests - sum(self.statuses.get(status, 0) for status in ("200", "207"))


@dataclass(frozen=True)
class Second:
    """What was due within one second.

    Attributes:
        p50_ms, p99_ms: of its answers that were 200 or 207; NaN where there were none.
    """

    at_s: int
    requests: int
    failed: int
    degraded: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Stretch:
    """Answers that were alike, one after another.

    Attributes:
        from_s, to_s: when the first and the last of them were due.
        p50_ms, max_ms: what they took.
    """

    from_s: float
    to_s: float
    answers: int
    kind: Kind
    status: int
    reason: str
    model_version: str
    degraded: tuple[str, ...]
    p50_ms: float
    max_ms: float

    def __str__(self) -> str:
        status = self.reason if self.status == NO_ANSWER else f"{self.status} {self.reason or self.model_version}"
        lacked = f", degraded: {' '.join(self.degraded)}" if self.degraded else ""
        return (
            f"{self.from_s:7.1f} to {self.to_s:7.1f} s  {self.answers:6d} x {self.kind} {status.strip()}{lacked}"
            f"  (p50 {self.p50_ms:.0f} ms, max {self.max_ms:.0f} ms)"
        )


@dataclass(frozen=True)
class LoadFigures:
    """What a load found.

    Attributes:
        seconds: from the begin until the last answer.
        kinds: figures by kind of request.
        client_late_ms: how late the client sent the latest one in a hundred; above `LATE_CLIENT_MS` it was too slow.
        by_second: the course of it.
    """

    seconds: float
    kinds: dict[Kind, KindFigures]
    client_late_ms: float
    by_second: list[Second]

    @property
    def failed(self) -> int:
        """Requests of any kind that were not answered 200 or 207."""
        return sum(figures.failed for figures in self.kinds.values())

    @property
    def degraded(self) -> int:
        """Rankings that lacked a part."""
        return sum(sum(figures.degraded.values()) for figures in self.kinds.values())

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The figures in words, one thought a line."""
        for kind, figures in self.kinds.items():
            times = ", ".join(f"p{name} {value:.1f} ms" for name, value in figures.percentiles_ms.items())
            longest = "" if figures.max_ms is None else f", max {figures.max_ms:.1f} ms"
            yield f"{kind}: {figures.requests} sent, {figures.per_s:.1f}/s answered, {figures.failed} failed"
            if times:
                yield f"  latency from when it was due: {times}{longest}"
            for reason, count in figures.reasons.items():
                yield f"  {count} x {reason}"
            for part, count in figures.degraded.items():
                yield f"  {count} degraded: {part}"
            if len(figures.model_versions) > 1:
                yield f"  models: {', '.join(f'{name} {count}' for name, count in figures.model_versions.items())}"
        if self.client_late_ms > LATE_CLIENT_MS:
            yield (
                f"the client itself sent one in a hundred {self.client_late_ms:.0f} ms late; "
                "give it a core of its own, or a lower rate"
            )


def figures_of(answers: Sequence[Answer]) -> LoadFigures:
    """Sum answers up.

    >>> answers = [Answer("rank", 0.0, 0.0, 0.01, 200), Answer("rank", 0.5, 0.5, 0.52, 503, "busy")]
    >>> figures_of(answers).kinds["rank"].statuses
    {'200': 1, '503': 1}
    """
    seconds = max((answer.done_s for answer in answers), default=0.0)
    late_ms = [1000 * (answer.sent_s - answer.due_s) for answer in answers]
    of_kind: dict[Kind, list[Answer]] = {}
    for answer in answers:
        of_kind.setdefault(answer.kind, []).append(answer)
    return LoadFigures(
        seconds=round(seconds, 3),
        kinds={kind: _of_kind(some, seconds) for kind, some in of_kind.items()},
        client_late_ms=round(float(np.percentile(late_ms, 99)), 3) if late_ms else 0.0,
        by_second=list(_by_second(answers)),
    )


def stretches(answers: Iterable[Answer]) -> Iterator[Stretch]:
    """Answers that were alike one after another, together.

    >>> one, other = Answer("rank", 0.0, 0.0, 0.1, 200), Answer("rank", 0.5, 0.5, 0.6, 503, "busy")
    >>> [(stretch.answers, stretch.status) for stretch in stretches([one, one, other])]
    [(2, 200), (1, 503)]
    """
    for _, group in itertools.groupby(answers, key=lambda answer: answer.alike):
        some = list(group)
        first, took_ms = some[0], [answer.latency_ms for answer in some]
        yield Stretch(
            round(first.due_s, 2),
            round(some[-1].due_s, 2),
            len(some),
            *first.alike,  # type: ignore[arg-type]
            p50_ms=round(float(np.median(took_ms)), 1),
            max_ms=round(max(took_ms), 1),
        )


def _of_kind(answers: Sequence[Answer], seconds: float) -> KindFigures:
    took_ms = np.array([answer.latency_ms for answer in answers if answer.ok])
    statuses = Counter("no answer" if answer.status == NO_ANSWER else str(answer.status) for answer in answers)
    reasons = Counter(_why(answer) for answer in answers if not answer.ok)
    return KindFigures(
        requests=len(answers),
        per_s=round(len(took_ms) / seconds, 2) if seconds else 0.0,
        statuses=dict(sorted(statuses.items())),
        reasons=dict(reasons.most_common()),
        degraded=dict(Counter(part for answer in answers for part in answer.degraded).most_common()),
        cold=sum(answer.user_known is False for answer in answers),
        model_versions=dict(Counter(answer.model_version for answer in answers if answer.model_version)),
        percentiles_ms={f"{p:g}": round(float(np.percentile(took_ms, p)), 3) for p in PERCENTILES if len(took_ms)},
        max_ms=round(float(took_ms.max()), 3) if len(took_ms) else None,
    )


def _why(answer: Answer) -> str:
    return answer.reason if answer.status == NO_ANSWER else f"{answer.status}: {answer.reason}"


def _by_second(answers: Sequence[Answer]) -> Iterator[Second]:
    in_order = sorted(answers, key=lambda answer: answer.due_s)
    for second, group in itertools.groupby(in_order, key=lambda answer: int(answer.due_s)):
        some = list(group)
        took_ms = [answer.latency_ms for answer in some if answer.ok] or [float("nan")]
        yield Second(
            second,
            len(some),
            sum(not answer.ok for answer in some),
            sum(bool(answer.degraded) for answer in some),
            round(float(np.percentile(took_ms, 50)), 3),
            round(float(np.percentile(took_ms, 99)), 3),
        )
