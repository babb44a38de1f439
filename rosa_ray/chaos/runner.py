"""Tries cases one after another: each within its time, each told in one line, all of them in a JSON document."""

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from rosa_ray.chaos import processes
from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import Case, NotHere, Seen, Short, StageName
from rosa_ray.chaos.run_copy import RunCopy
from rosa_ray.chaos.stages import ServiceStage
from rosa_ray.errors import InputError, RosaError

START_S = 240.0
"""A case that has to start a service gets so much longer."""

HUNG_S = 90.0
"""A case that does not even take notice of its end for so long ends the whole run."""

State = Literal["met", "not met", "not tried"]


@dataclass(frozen=True)
class Outcome:
    """What became of a case; one entry of the document.

    Attributes:
        state: `not tried` where this machine cannot.
        saw: in one line.
        shortfalls: what was not as expected.
        recovery_s: how long callers noticed it; None where there was nothing to recover from.
    """

    name: str
    does: str
    expects: str
    stage: str
    state: State
    saw: str
    shortfalls: tuple[str, ...] = ()
    recovery_s: float | None = None
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)

    def lines(self) -> str:
        """For a terminal."""
        recovery = "" if self.recovery_s is None else f"; recovered in {self.recovery_s:.1f} s"
        short = "".join(f"\n           not as expected: {one}" for one in self.shortfalls)
        return f"{self.state:<9}  {self.name}: {self.does}; expected: {self.expects}; saw: {self.saw}{recovery}{short}"


class OutOfTime(BaseException):
    """Cuts a case; a `BaseException`, so that nothing in it handles it as an error."""


class Document:
    """The outcomes on disk, after every case.

    Args:
        path: of the JSON file.
        resume: keep what an earlier run wrote there.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.outcomes: dict[str, Outcome] = {}
        self.saturation_per_s: dict[str, float] = {}
        if resume and path.exists():
            held = json.loads(path.read_bytes())
            for one in held["cases"]:
                self.outcomes[one["name"]] = Outcome(**{**one, "shortfalls": tuple(one["shortfalls"])})
            self.saturation_per_s = held["saturation_per_s"]

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome, and write all.

        Raises:
            InputError: the file cannot be written.
        """
        self.outcomes[outcome.name] = outcome
        body = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "saturation_per_s": self.saturation_per_s,
            "counts": self.counts(),
            "cases": [asdict(one) for one in self.outcomes.values()],
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_suffix(".draft")
            draft.write_text(json.dumps(body, indent=1, default=str) + "\n", encoding="utf-8")
            draft.replace(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def counts(self) -> dict[str, int]:
        """How many cases are met, not met, not tried."""
        states = [one.state for one in self.outcomes.values()]
        return {state: states.count(state) for state in ("met", "not met", "not tried")}


class Runner:
    """Runs cases on a copied run.

    Args:
        say: prints a line.
    """

    def __init__(self, copy: RunCopy, document: Document, say: Callable[[str], object]) -> None:
        self._copy, self._document, self._say = copy, document, say
        self._stages: dict[StageName, ServiceStage] = {}

    def run(self, cases: Sequence[Case]) -> None:
        """Try cases, those of one stage together; what is in the document already is passed over."""
        left = [case for case in cases if case.name not in self._document.outcomes]
        try:
            for place, case in enumerate(left):
                outcome = self._try(case)
                self._document.add(outcome)
                self._say(outcome.lines())
                if place + 1 == len(left) or left[place + 1].stage != case.stage:
                    self._end_stage(case.stage)
        finally:
            for name in list(self._stages):
                self._end_stage(name)

    def _try(self, case: Case) -> Outcome:
        began_s = time.monotonic()
        bench: Bench | None = None
        spoiled = case.spoils
        scratch = self._copy.root / "cases" / case.name
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            with limited(START_S if case.stage != "none" else case.limit_s):
                bench = self._bench(case, scratch)
            with limited(case.limit_s), hung(case, self._document, self._say):
                seen = case.run(bench)  # type: ignore[arg-type]
            state: State = "not met" if seen.shortfalls else "met"
        except NotHere as error:
            seen, state = Seen(str(error)), "not tried"
        except OutOfTime:
            seen, state, spoiled = (
                Seen("it was cut off", [f"it did not end within {case.limit_s:g} s"]),
                "not met",
                True,
            )
        except (Short, RosaError) as error:
            seen, state = Seen(_one_line(error), [_one_line(error)]), "not met"
        except Exception as error:
            (scratch / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            text = f"{type(error).__name__}: {_one_line(error)}"
            seen, state, spoiled = Seen(text, [f"the case itself failed: {text}"]), "not met", True
        finally:
            if bench is not None:
                bench.tidy()
        self._heal(case, spoiled, state == "not met")
        return Outcome(
            case.name,
            case.does,
            case.expects,
            case.stage,
            state,
            seen.text,
            tuple(seen.shortfalls),
            seen.recovery_s,
            round(time.monotonic() - began_s, 1),
            seen.figures,
        )

    def _bench(self, case: Case, scratch: Path) -> Bench:
        if case.stage == "none":
            return Bench(self._copy, scratch)
        if case.stage not in self._stages:
            stage = ServiceStage(self._copy, self._copy.root / case.stage, case.stage, self._say)
            stage.saturation_per_s = self._document.saturation_per_s.get(case.stage, 0.0)
            self._stages[case.stage] = stage
        bench = self._stages[case.stage].bench(scratch)
        self._document.saturation_per_s[case.stage] = round(self._stages[case.stage].saturation_per_s, 1)
        return bench

    def _heal(self, case: Case, spoiled: bool, doubted: bool) -> None:
        stage = self._stages.get(case.stage)
        if stage is not None:
            stage.heal(spoiled, doubted)

    def _end_stage(self, name: StageName) -> None:
        stage = self._stages.pop(name, None)
        if stage is not None:
            stage.stop()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block after so long; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cut(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, cut)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def hung(case: Case, document: Document, say: Callable[[str], object]) -> Iterator[None]:
    """End the process where the block does not heed its limit: something in it never comes back to Python."""
    done = threading.Event()

    def watch() -> None:
        if done.wait(case.limit_s + HUNG_S):
            return
        text = f"it hung for {HUNG_S:g} s after its limit; the same command with --resume goes on behind it"
        document.add(Outcome(case.name, case.does, case.expects, case.stage, "not met", "it hung", (text,)))
        say(document.outcomes[case.name].lines())
        processes.end_all(processes.below(os.getpid()))
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
