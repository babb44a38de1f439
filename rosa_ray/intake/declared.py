"""Declared columns of a log that was read: how much of each is known, and what its values are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rosa_ray.intake.scan import TableScan


@dataclass(frozen=True)
class Declared:
    """A declared column in one table.

    Attributes:
        known_share: of the good rows, those with a value.
        distinct: different values.
        examples: three of them at most, in words.
    """

    table: str
    name: str
    known_share: float
    distinct: int
    examples: tuple[str, ...]


def declared(scans: Mapping[str, TableScan]) -> Iterator[Declared]:
    """What was read of the declared columns of each table."""
    for table, scan in scans.items():
        for name in scan.kept.own:
            kept = scan.kept
            yield Declared(table, name, kept.known_share(name), kept.distinct(name), kept.examples(name))
