"""What callers of a service see while something is done to it: rankings asked for at an even pace, until Ctrl-C.

    python benchmarks/watch_service.py http://127.0.0.1:8000 u7 u42 --seconds 120

Answers that are alike one after another are one line: since when, how many, of which model, what was degraded. A caller
who finds nobody at the first address tries those of `--or`.
"""

import argparse
import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import httpx
import numpy as np
from record import record, save

NOBODY = "no answer"


@dataclass(frozen=True)
class Answer:
    """One ranking as its caller saw it.

    Attributes:
        at_s: since the begin, when it was asked for.
        took_ms: until it was there.
        status: of HTTP, or `NOBODY`.
        model: its version; empty where there is no ranking.
        degraded: what was missing.
    """

    at_s: float
    took_ms: float
    status: str
    model: str
    degraded: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, str, tuple[str, ...]]:
        """What makes two answers alike."""
        return self.status, self.model, self.degraded


@dataclass(frozen=True)
class Stretch:
    """Answers that were alike, one after another.

    Attributes:
        from_s, to_s: since the begin, when the first and the last of them were asked for.
        p50_ms, max_ms: what they took.
    """

    from_s: float
    to_s: float
    answers: int
    status: str
    model: str
    degraded: tuple[str, ...]
    p50_ms: float
    max_ms: float

    def __str__(self) -> str:
        lacked = f", degraded: {' '.join(self.degraded)}" if self.degraded else ""
        return (
            f"{self.from_s:7.1f} to {self.to_s:7.1f} s  {self.answers:5d} x {self.status} {self.model}{lacked}"
            f"  (p50 {self.p50_ms:.0f} ms, max {self.max_ms:.0f} ms)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of the service")
    parser.add_argument("users", nargs="+", help="users to rank for, in turn")
    parser.add_argument("--or", dest="others", action="append", default=[], help="address to try where nobody answers")
    parser.add_argument("--per-second", type=float, default=4.0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--time", default=None, help="context.time of the requests; now when absent")
    parser.add_argument("--out", default=None)
    arguments = parser.parse_args()
    context = {"time": arguments.time} if arguments.time else {}
    asked = ask([arguments.url, *arguments.others], arguments.users, arguments.per_second, arguments.seconds, context)
    answers: list[Answer] = []
    try:
        for answer in asked:
            if answers and answers[-1].kind != answer.kind:
                print(list(stretches(answers))[-1], flush=True)
            answers.append(answer)
    except KeyboardInterrupt:
        pass
    found = list(stretches(answers))
    print(found[-1] if found else "nothing was asked")
    save(record("watch_service", stretches=[asdict(one) for one in found]), arguments.out)


def ask(
    urls: list[str], users: list[str], per_second: float, seconds: float, context: dict[str, str]
) -> Iterator[Answer]:
    """Ask at an even pace; a slow answer delays none of those after it by more than itself."""
    began_s = time.monotonic()
    with httpx.Client(timeout=10.0, trust_env=False) as http:
        for place, user in enumerate(itertools.cycle(users)):
            due_s = place / per_second
            if due_s > seconds:
                return
            time.sleep(max(began_s + due_s - time.monotonic(), 0.0))
            yield _ask_once(http, urls, {"user_id": user, "context": context, "top_k": 3}, began_s)


def _ask_once(http: httpx.Client, urls: list[str], body: dict[str, object], began_s: float) -> Answer:
    asked_s = time.monotonic()
    for url in urls:
        try:
            answer = http.post(f"{url}/rank", json=body)
        except httpx.HTTPError:
            continue
        told = answer.json() if answer.status_code == 200 else {}
        took_ms = 1000 * (time.monotonic() - asked_s)
        model, degraded = told.get("model_version", ""), tuple(told.get("degraded", ()))
        return Answer(asked_s - began_s, took_ms, str(answer.status_code), model, degraded)
    return Answer(asked_s - began_s, 1000 * (time.monotonic() - asked_s), NOBODY, "", ())


def stretches(answers: Iterable[Answer]) -> Iterator[Stretch]:
    """Answers that were alike one after another, together.

    >>> one, other = Answer(0.0, 5.0, "200", "m", ()), Answer(0.5, 7.0, "200", "m", ("store",))
    >>> [(stretch.answers, stretch.degraded) for stretch in stretches([one, one, other])]
    [(2, ()), (1, ('store',))]
    """
    for _, group in itertools.groupby(answers, key=lambda answer: answer.kind):
        alike = list(group)
        took_ms = [answer.took_ms for answer in alike]
        first = alike[0]
        yield Stretch(
            round(first.at_s, 2),
            round(alike[-1].at_s, 2),
            len(alike),
            *first.kind,
            round(float(np.median(took_ms)), 1),
            round(max(took_ms), 1),
        )


if __name__ == "__main__":
    main()
