"""From what callers saw to what is explained and what is not. Nothing here asks a service."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rosa_ray.load.answers import NO_ANSWER, Answer

CLOCK_S = 0.15
"""A kill takes effect some milliseconds after it is asked for; so far around it a request counts as under way."""


@dataclass(frozen=True)
class Fault:
    """When something was wrong, seconds since the begin of the load.

    Attributes:
        began_s: when it was done; of several moments, such as two kills, all.
        over_s: when the cause was gone: a lock released, a server started. A kill is over at once.
    """

    began_s: tuple[float, ...]
    over_s: float

    def under_way(self, answer: Answer) -> bool:
        """Whether a request was under way when the fault was done."""
        return any(answer.sent_s - CLOCK_S <= at <= answer.done_s + CLOCK_S for at in self.began_s)

    def since_s(self, at_s: float) -> float:
        """Seconds from the last moment of the fault that lies before; negative before the first."""
        return at_s - max((moment for moment in self.began_s if moment <= at_s + CLOCK_S), default=float("inf"))


@dataclass(frozen=True)
class Allowed:
    """What a caller has to put up with.

    Attributes:
        in_flight: requests that were under way when the fault was done may fail.
        unanswered_s: for so long after each moment of the fault, requests may find nobody who answers.
        rank, events: statuses that rankings and events may be answered with, from the fault until `recovery_s` after
            it was over. 503 and 429 must say when to come again.
        degraded: parts that rankings may lack for that time.
        cold: rankings may not know their users for that time.
        recovery_s: from the end of the fault until everything is whole again.
        models: versions that may answer; any where empty.
        whole_at_least: share of the rankings in the time of the fault that must be whole all the same, in [0, 1].
    """

    in_flight: bool = False
    unanswered_s: float = 0.0
    rank: frozenset[int] = frozenset()
    events: frozenset[int] = frozenset()
    degraded: frozenset[str] = frozenset()
    cold: bool = False
    recovery_s: float = 3.0
    models: frozenset[str] = frozenset()
    whole_at_least: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What is explained, and what is not.

    Attributes:
        answers: how many answers of each status and kind.
        explained: failures, lacking parts and cold answers by what explains them.
        shortfalls: those that nothing explains, in words.
        degraded, cold: rankings that lacked a part, or did not know a known user.
        recovery_s: from the end of the fault to the last answer that was not whole; 0 where all were.
    """

    answers: dict[str, int]
    explained: dict[str, int]
    shortfalls: tuple[str, ...]
    degraded: int
    cold: int
    recovery_s: float
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What callers saw, in one line."""
        counts = ", ".join(f"{count} x {name}" for name, count in sorted(self.answers.items()))
        lacking = f", {self.degraded} degraded" * bool(self.degraded) + f", {self.cold} cold" * bool(self.cold)
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(self.explained.items()))
        return f"{counts or 'no requests'}{lacking}{f'; explained: {why}' if why else ''}"


def is_whole(answer: Answer) -> bool:
    """Whether an answer is all that was asked for.

    >>> is_whole(Answer("rank", 0, 0, 0.1, 200, degraded=("store",), user_known=True))
    False
    """
    return answer.ok and not answer.degraded and answer.user_known is not False


def judge(answers: Sequence[Answer], fault: Fault | None = None, allowed: Allowed | None = None) -> Verdict:
    """Explain every answer that is not whole, or say that nothing does.

    Args:
        answers: of users that are known.
        fault: None where nothing should be noticed at all.
    """
    fault, allowed = fault or Fault((), 0.0), allowed or Allowed()
    explained: Counter[str] = Counter()
    unexplained: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for answer in answers:
        for name, reason in _reasons(answer, fault, allowed):
            if reason:
                explained[reason] += 1
            else:
                unexplained[name] += 1
                examples.setdefault(name, f"first at {answer.sent_s:.1f} s{f', {answer.reason}' * bool(answer.reason)}")
    lacking = [f"{count} x {name} ({examples[name]})" for name, count in unexplained.items()]
    share = _whole_share(answers, fault, allowed)
    if share is not None and share < allowed.whole_at_least:
        lacking.append(f"{share:.0%} of the rankings meanwhile were whole, expected {allowed.whole_at_least:.0%}")
    recovery_s = recovery_of(answers, fault)
    if recovery_s > allowed.recovery_s:
        lacking.append(f"whole again after {recovery_s:.1f} s, expected {allowed.recovery_s:g} s")
    return Verdict(
        dict(Counter(_name(answer) for answer in answers)),
        dict(explained),
        tuple(lacking),
        sum(bool(answer.degraded) for answer in answers),
        sum(answer.user_known is False for answer in answers),
        round(recovery_s, 2),
        examples,
    )


def recovery_of(answers: Sequence[Answer], fault: Fault) -> float:
    """Seconds from the end of the fault until the last answer that was not whole had come; 0 where none was.

    >>> recovery_of([Answer("rank", 1, 1, 1.5, 503), Answer("rank", 2, 2, 2.1, 200)], Fault((1.0,), 1.0))
    0.5
    """
    late = [answer.done_s for answer in answers if not is_whole(answer)]
    return max(max(late) - fault.over_s, 0.0) if late else 0.0


def _reasons(answer: Answer, fault: Fault, allowed: Allowed) -> list[tuple[str, str]]:
    """What is not whole of an answer, each with what explains it; an empty explanation is none."""
    found = []
    meanwhile = _meanwhile(answer, fault, allowed)
    if not answer.ok:
        found.append((_name(answer), _why_failed(answer, fault, allowed, meanwhile)))
    for part in answer.degraded:
        in_flight = allowed.in_flight and fault.under_way(answer)
        found.append(
            (f"degraded: {part}", f"without {part}" if in_flight or (meanwhile and part in allowed.degraded) else "")
        )
    if answer.user_known is False and not answer.degraded:
        found.append(("cold answer for a known user", "cold" if meanwhile and allowed.cold else ""))
    if answer.ok and allowed.models and answer.model_version and answer.model_version not in allowed.models:
        found.append((f"answer of model {answer.model_version}", ""))
    return found


def _why_failed(answer: Answer, fault: Fault, allowed: Allowed, meanwhile: bool) -> str:
    status = answer.status
    if status == 404:
        return ""
    if allowed.in_flight and fault.under_way(answer):
        return "under way at the fault"
    if status == NO_ANSWER and 0 <= fault.since_s(answer.sent_s) + CLOCK_S <= allowed.unanswered_s + 2 * CLOCK_S:
        return "while nobody listened"
    if status in (allowed.rank if answer.kind == "rank" else allowed.events) and meanwhile:
        return f"{status} that says when to come again" if answer.retry_after or status not in (429, 503) else ""
    return ""


def _meanwhile(answer: Answer, fault: Fault, allowed: Allowed) -> bool:
    """Whether any part of a request lay in the time of the fault."""
    if not fault.began_s:
        return False
    return answer.done_s + CLOCK_S >= min(fault.began_s) and answer.sent_s <= fault.over_s + allowed.recovery_s


def _whole_share(answers: Sequence[Answer], fault: Fault, allowed: Allowed) -> float | None:
    if not fault.began_s:
        return None
    asked = [one for one in answers if one.kind == "rank" and min(fault.began_s) <= one.sent_s <= fault.over_s]
    return sum(map(is_whole, asked)) / len(asked) if asked else None


def _name(answer: Answer) -> str:
    return f"{answer.kind} {answer.status if answer.status != NO_ANSWER else 'no answer'}"
