"""The steps of a longer walk: each is announced, timed, and printed with the command that repeats it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import typer

Result = TypeVar("Result")


@dataclass(frozen=True)
class Step:
    """One finished step."""

    name: str
    command: str
    seconds: float


@dataclass
class StepLog:
    """Runs steps one after another and remembers them."""

    total: int
    steps: list[Step] = field(default_factory=list)

    def run(self, name: str, command: str, work: Callable[[], Result]) -> Result:
        """Do one step.

        Args:
            command: what a person types to do the same again.
        """
        typer.secho(f"\n[{len(self.steps) + 1}/{self.total}] {name}", bold=True)
        typer.secho(f"      {command}", dim=True)
        started_s = time.perf_counter()
        result = work()
        seconds = round(time.perf_counter() - started_s, 2)
        self.steps.append(Step(name, command, seconds))
        typer.echo(f"      {name} took {seconds:.1f} s")
        return result

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values for JSON."""
        return [asdict(step) for step in self.steps]
