"""What a check has to say, one line each, and the exit code that follows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rosa_ray.errors import EXIT_PARTIAL, InputError

Level = Literal["unreadable", "lost", "odd", "off", "note"]
LEVELS: tuple[Level, ...] = ("unreadable", "lost", "odd", "off", "note")
"""From the gravest: files or tables that cannot be read; rows that would go; what looks wrong; parts of the model
that the log cannot teach; what is good to know."""


@dataclass(frozen=True)
class Remark:
    """One thing that a check found.

    Attributes:
        where: a table, two tables, or a part of the model.
        text: what was found, with numbers and an example.
        remedy: what to set or to do; empty where nothing is to be done.
    """

    level: Level
    where: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line.

        >>> print(Remark("odd", "events", "12 rows are odd", "look at them"))
        odd: events: 12 rows are odd; look at them
        """
        return f"{self.level}: {self.where}: {self.text}{f'; {self.remedy}' if self.remedy else ''}"


def exit_code(remarks: Iterable[Remark]) -> int:
    """0 where all is well, 3 where something cannot be read, 4 where something would be lost or is odd.

    >>> exit_code([Remark("off", "value", "no revenue")]), exit_code([Remark("odd", "ads", "twice")])
    (0, 4)
    """
    levels = {remark.level for remark in remarks}
    if "unreadable" in levels:
        return InputError.exit_code
    return EXIT_PARTIAL if levels & {"lost", "odd"} else 0


def gravest_first(remarks: Iterable[Remark]) -> list[Remark]:
    """Return remarks by level, each level in its order."""
    return sorted(remarks, key=lambda remark: LEVELS.index(remark.level))
