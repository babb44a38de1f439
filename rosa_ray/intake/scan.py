"""Read a configured log once, in bounded memory, through its source and contracts."""

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import cast

from rosa_ray.errors import ContractError, InputError
from rosa_ray.intake.columns_kept import KeptColumns
from rosa_ray.schema import BEHAVIORS, CONTRACTS, Contract, Violation
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from rosa_ray.sources import RawBatch, Source, SourceFile

MOST_FILES = 400
"""Files of a table that are opened at most where not all rows are read."""


@dataclass
class TableScan:
    """What was read of one table.

    Attributes:
        files: how many it has.
        files_read: how many were opened.
        files_cut: how many were not read to their ends.
        rows_read: rows seen.
        set_aside: rows that were set aside, by column and reason.
        noted: rows that look odd and were kept.
        unreadable: files that could not be used, with the reason.
        kept: the good rows.
        at: for the good rows of each file in turn: the file, and how many.
        lacking: required columns that a file does without, in contract order.
    """

    table: str
    kept: KeptColumns
    files: int = 0
    files_read: int = 0
    files_cut: int = 0
    rows_read: int = 0
    set_aside: list[Violation] = field(default_factory=list)
    noted: list[Violation] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    at: list[tuple[str, int]] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every row was read."""
        return self.files_read == self.files and not self.files_cut

    def place(self, row: int) -> str:
        """Name the file of a good row."""
        for path, rows in self.at:
            if row < rows:
                return path
            row -= rows
        return ""


def scan_log(
    source: Source, rows: int, own: Sequence[OwnColumn] = (), behaviors: Sequence[str] = BEHAVIORS
) -> dict[str, TableScan]:
    """Read a log's tables.

    Args:
        own: declared columns, which the source brings too.
        rows: to read of each table at most, from the beginnings of files all over the log; 0 reads all.
        behaviors: that an event may have.

    Returns:
        The tables that the source has, in contract order.

    Raises:
        InputError: a location does not exist or holds no files.
    """
    files = source.files()
    names = [name for name in CONTRACTS if any(file.contract_name == name for file in files)]
    contracts = {name: contract_with(name, own, behaviors) for name in names}
    return {
        name: _scan_table(source, contract, [file for file in files if file.contract_name == name], rows)
        for name, contract in contracts.items()
    }


def row_id_of(table: str) -> str:
    """The column whose values should differ from row to row.

    >>> row_id_of("ads"), row_id_of("impressions")
    ('ad_id', 'impression_id')
    """
    return CONTRACTS[table].columns[0].name


def _scan_table(source: Source, contract: Contract, files: Sequence[SourceFile], rows: int) -> TableScan:
    table = contract.name
    scan = TableScan(table, KeptColumns(contract.schema, row_id_of(table)), files=len(files))
    chosen = _spread(files)[:MOST_FILES] if rows else files
    tally = _Tally()
    for at, file in enumerate(chosen):
        left = rows - scan.rows_read
        share = -(-left // (len(chosen) - at)) if rows else 0
        if rows and left <= 0:
            break
        _scan_file(source, file, contract, share, scan, tally)
    scan.set_aside, scan.noted = tally.violations(tally.rejected), tally.violations(tally.noted)
    return scan


def _scan_file(
    source: Source, file: SourceFile, contract: Contract, most: int, scan: TableScan, tally: "_Tally"
) -> None:
    before, kept_before = scan.rows_read, scan.kept.rows
    scan.files_read += 1
    try:
        with closing(cast(Generator[RawBatch], source.read(file))) as batches:
            for batch in batches:
                table, violations = contract.check(batch.table, file.path, batch.rows)
                scan.lacking += [
                    name for name in contract.lacking(batch.table.column_names) if name not in scan.lacking
                ]
                scan.rows_read += batch.rows_read
                scan.kept.add(table)
                tally.add(batch, violations)
                if most and scan.rows_read - before >= most:
                    scan.files_cut += any(later.rows_read for later in batches)
                    break
    except InputError as error:
        kind = "" if isinstance(error, ContractError) or scan.rows_read == before else " after some rows"
        scan.unreadable.append((file.path, f"{str(error).removeprefix(f'{file.path}: ')}{kind}"))
    scan.at.append((file.path, scan.kept.rows - kept_before))


def _spread(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Files in an order whose beginnings lie evenly between the first and the last: 0, 4, 2, 6, 1, 5, 3, 7."""
    bits = max(1, (len(files) - 1).bit_length())
    return [files[at] for at in sorted(range(len(files)), key=lambda at: f"{at:0{bits}b}"[::-1])]


class _Tally:
    """Counts of set-aside and odd rows, with the first example of each."""

    def __init__(self) -> None:
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.noted: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], Violation] = {}

    def add(self, batch: RawBatch, violations: Iterable[Violation]) -> None:
        for counter, found in ((self.rejected, (*batch.rejected, *violations)), (self.noted, batch.noted)):
            for one in found:
                counter[one.column, one.reason] += one.rows
                self._first.setdefault((one.column, one.reason), one)

    def violations(self, counts: Counter[tuple[str, str]]) -> list[Violation]:
        """The commonest first; `where` is the file of the first row."""
        return [replace(self._first[key], rows=rows) for key, rows in counts.most_common()]
