"""What a source is: a list of files, each of one contract, each read as a stream of unchecked tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import pyarrow as pa

from rosa_ray.schema import Violation
from rosa_ray.settings import section, wrong
from rosa_ray.sources.kinds import source_kinds


@section("source")
class SourceConfig:
    """Where a log lies and how its columns map to the contracts.

    A location is a path, a directory (every file below it that does not begin with `.` or `_`) or a glob;
    local or `s3://bucket/key` with credentials and `AWS_ENDPOINT_URL` from the environment.
    """

    kind: str = "log"
    """Which source reads the log: a name of `SOURCES` in a module of `rosa_ray.sources`, or `package.module.name` of
    your own."""
    path: str = ""
    """Location of a log that a named source knows (`log`, `taobao`, `rees46`)."""
    events: str = ""
    """Location of the events, for `parquet` and `csv` only, like all settings below."""
    impressions: str = ""
    """Location of the impressions."""
    ads: str = ""
    """Location of the ads."""
    candidates: str = ""
    """Location of the unlabelled candidates."""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Contract name to {contract column: file column}; a column left out keeps its name. The file column `#row` stands
    for the row's number in its file, for logs without ids."""
    time_unit: Literal["", "s", "ms", "us", "ns"] = ""
    """Unit of integer times: `s`, `ms`, `us` or `ns`. Empty refuses integer times."""
    time_zone: str = ""
    """Zone of times written without one, such as `UTC`. Empty refuses them."""
    behaviors: Mapping[str, str] = field(default_factory=dict)
    """Value in the file to `view`, `click`, `cart` or `purchase`; values left out stay as they are."""
    delimiter: str = ","
    """What separates the fields of a CSV file."""

    def __post_init__(self) -> None:
        known = source_kinds()
        if self.kind not in known and not _is_dotted(self.kind):
            raise wrong(self, "kind", f"it must be one of {', '.join(known)}, or package.module.name of your own")


def _is_dotted(name: str) -> bool:
    return "." in name and all(part.isidentifier() for part in name.split("."))


@dataclass(frozen=True)
class SourceFile:
    """One input file.

    Attributes:
        path: absolute local path or URL.
        contract_name: the contract its rows are meant to satisfy.
        name: path below the configured location; the same on every machine, unique within its contract.
    """

    path: str
    contract_name: str
    name: str

    @property
    def stem(self) -> str:
        """The name without its suffixes, so that compressing a file changes no id made of it.

        >>> SourceFile("/logs/day.1/UserBehavior.csv.gz", "events", "day.1/UserBehavior.csv.gz").stem
        'day.1/UserBehavior'
        """
        folder, slash, base = self.name.rpartition("/")
        return folder + slash + base.split(".", 1)[0]


@dataclass(frozen=True)
class RawBatch:
    """Consecutive rows of a file under contract column names, and the rows the source itself set aside.

    Attributes:
        table: unchecked rows; `Contract.check` comes next.
        rejected: rows of the batch that are not in `table`, counted by reason.
    """

    table: pa.Table
    rejected: tuple[Violation, ...] = ()

    @property
    def rows_read(self) -> int:
        """Rows the file held for this batch: those passed on and those set aside."""
        passed_on: int = self.table.num_rows
        return passed_on + sum(violation.rows for violation in self.rejected)


class Source(Protocol):
    """A log of some format. Implementations are picklable and hold no open files."""

    def files(self) -> list[SourceFile]:
        """List the files in a stable order.

        Raises:
            InputError: a location does not exist, cannot be reached or holds no files.
        """
        ...

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file in bounded batches, in file order.

        Raises:
            InputError: the file is missing, truncated or of another format.
            ContractError: a column is missing or does not parse.
        """
        ...


class SourceFactory(Protocol):
    """Builds a source from its configuration; usually the class itself."""

    def __call__(self, config: SourceConfig) -> Source:
        """Return the source; raises `ConfigError` when an option does not fit it."""
        ...
