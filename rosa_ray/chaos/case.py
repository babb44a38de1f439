"""What a case is: what is done, what a caller may expect, and a function that tries it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from rosa_ray.errors import ConfigError
from rosa_ray.settings import Folder

if TYPE_CHECKING:
    from rosa_ray.chaos.bench import Bench
    from rosa_ray.chaos.live import Live

StageName = Literal["none", "fused", "graph", "redis"]
"""What a case is tried on: no service, one process a replica, three deployments, or one process a replica on Redis."""

STAGES: tuple[StageName, ...] = get_args(StageName)

Work = TypeVar("Work", bound=Callable[..., Any])


class Short(Exception):
    """Ends a case that cannot go on: what was seen falls short of what was expected."""


class NotHere(Exception):
    """Ends a case that this machine cannot try, such as a mount without the right to mount."""


@dataclass(frozen=True)
class Seen:
    """What a case saw.

    Attributes:
        text: in one line, for people.
        shortfalls: where it differs from what was expected; none where the case is met.
        figures: numbers behind it, for the JSON.
        recovery_s: how long callers noticed the fault; None where there was nothing to recover from.
    """

    text: str
    shortfalls: Sequence[str] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    recovery_s: float | None = None

    def also(self, shortfalls: Sequence[str], text: str = "") -> "Seen":
        """The same with more that fell short.

        >>> Seen("killed").also(["lost 2"]).shortfalls
        ('lost 2',)
        """
        words = f"{self.text}; {text}" if text else self.text
        return Seen(words, (*self.shortfalls, *shortfalls), self.figures, self.recovery_s)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        name: `subject.name`, by which it is asked for.
        does: what is done, as a phrase.
        expects: what a caller may expect, as a phrase.
        stage: what it is tried on.
        limit_s: it is cut off after so long.
        spoils: whether the service has to be started anew afterwards.
    """

    name: str
    does: str
    expects: str
    stage: StageName
    limit_s: float
    run: "Callable[[Bench], Seen] | Callable[[Live], Seen]"
    spoils: bool = False

    @property
    def subject(self) -> str:
        """The file it is in."""
        return self.name.partition(".")[0]


class CaseList:
    """Collects the cases of one file.

    Args:
        subject: first part of their names.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.cases: list[Case] = []

    def add(
        self, does: str, expects: str, stage: StageName = "none", limit_s: float = 30.0, spoils: bool = False
    ) -> Callable[[Work], Work]:
        """Decorate a function as a case; its name is the second part of the case's name."""

        def keep(work: Work) -> Work:
            name = f"{self.subject}.{work.__name__}"
            self.cases.append(Case(name, does, expects, stage, limit_s, work, spoils))
            return work

        return keep


def all_cases() -> list[Case]:
    """Every case, in the order of the stages, then of files and lines.

    >>> len({case.name for case in all_cases()}) == len(all_cases()) >= 60
    True
    """
    from rosa_ray.chaos import cases as package

    folder = Folder(package.__name__, package.__path__)
    modules = [folder.module(name) for name in folder.names()]
    found = [case for module in modules for case in _list_of(module).cases]
    return sorted(found, key=lambda case: STAGES.index(case.stage))


def _list_of(module: ModuleType) -> CaseList:
    found: CaseList = module.CASES
    return found


def chosen_cases(cases: Sequence[Case], only: Sequence[str]) -> list[Case]:
    """Those named, by subject or by full name; all of them without names.

    Raises:
        ConfigError: there is no such case.
    """
    for name in only:
        if not any(name in (case.name, case.subject) for case in cases):
            subjects = ", ".join(sorted({case.subject for case in cases}))
            raise ConfigError(f"--only is '{name}'; give a case that --list prints, or one of {subjects}")
    return [case for case in cases if not only or case.name in only or case.subject in only]
