"""A source whose user ids are pseudonyms: the edge at which a log enters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rosa_ray.schema import Violation
from rosa_ray.schema.pseudonyms import Pseudonyms
from rosa_ray.sources.protocol import RawBatch, Source, SourceFile

_USER = "user_id"


@dataclass(frozen=True)
class PseudonymousSource:
    """Reads another source and replaces its user ids, so that nothing after it ever holds them."""

    source: Source
    pseudonyms: Pseudonyms

    def files(self) -> list[SourceFile]:
        """See `Source.files`."""
        return self.source.files()

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """See `Source.read`."""
        for batch in self.source.read(file):
            table = batch.table
            if _USER in table.column_names:
                column = table.column_names.index(_USER)
                table = table.set_column(column, _USER, self.pseudonyms.column(table[_USER]))
            yield replace(batch, table=table, rejected=_masked(batch.rejected), noted=_masked(batch.noted))


def _masked(violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
    """Examples without the ids of users; the number of the row stays."""
    return tuple(
        replace(violation, example=violation.example.partition(",")[0]) if violation.column == _USER else violation
        for violation in violations
    )
