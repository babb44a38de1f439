"""What a source is: a list of files, each of one contract, each read as a stream of unchecked tables."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from annotated_types import MinLen

from rosa_ray.schema import Violation
from rosa_ray.settings import Distinct, section, wrong
from rosa_ray.sources.kinds import source_kinds

_SUFFIXES = re.compile(r"(\.(csv|tsv|txt|tab|log|parquet|pq|snappy|gz|gzip|bz2|zst|zstd|lz4|xz))+$", re.IGNORECASE)

TimeUnit = Literal["", "s", "ms", "us", "ns"]
DecimalSign = Literal[".", ","]
Names = Annotated[tuple[str, ...], MinLen(1), Distinct()]


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
    """Location of a log that a named source knows, such as `log`, `taobao` or `open_bandit`."""
    events: str = ""
    """Location of the events, for `parquet` and `csv` only, like the other locations."""
    impressions: str = ""
    """Location of the impressions."""
    ads: str = ""
    """Location of the ads."""
    candidates: str = ""
    """Location of the unlabelled candidates."""
    clicks: str = ""
    """Location of the clicks, where they have a log of their own. They are joined to the impressions, whose files then
    need no column `click`."""
    conversions: str = ""
    """Location of the conversions, where they have a log of their own. They are joined to clicks and impressions, whose
    files then need no columns `conversion` and `revenue`."""
    users: str = ""
    """Location of what is known of users: declared columns `user.NAME`, and `valid_from` where they change."""
    items: str = ""
    """Location of what is known of items: declared columns `item.NAME`, and `valid_from` where they change."""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Table to {column: file column}; a column left out keeps its name. Names are matched exactly, or else ignoring
    case and surrounding spaces. Some values stand for no file column: `=view` is the value `view` in every row, `#row`
    is the row's number in its file, for logs without ids, `#file` the file's name and `#folder` its folder's. `#row` of
    a time says that rows are in order of time and say no more: they then lie a second apart."""
    header: Mapping[str, Names] = field(default_factory=dict)
    """Table to the names of its columns, in order, for text files that have no header line."""
    time_format: str | Mapping[str, str] = ""
    """How times are written, in the directives of `strptime`, such as `%d/%m/%Y %H:%M`. Empty reads ISO 8601. This
    setting and those below take one value for all, or a mapping of `table` or `table.column` to values."""
    time_unit: TimeUnit | Mapping[str, TimeUnit] = ""
    """Unit of times that are numbers since 1970: `s`, `ms`, `us` or `ns`. Empty refuses them."""
    time_zone: str | Mapping[str, str] = ""
    """Zone of times written without one, such as `UTC`, `Europe/Paris` or `+05:30`. Empty refuses them."""
    behaviors: Mapping[str, str] = field(default_factory=dict)
    """Value in the file to one of `features.behaviors`; values left out stay as they are."""
    values: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Table to {column: {value in the file: value}}, for any column; null is a value too. Values left out stay as they
    are."""
    null_words: tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = None
    """Fields that mean that nothing is known. Null takes the usual ones: `NULL`, `null`, `\\N`, `<NA>`, and in columns
    of numbers, times and labels also `NaN`, `NA`, `N/A`, `None`, `nil` and `-`. An empty field is always null."""
    decimal: DecimalSign | Mapping[str, DecimalSign] = "."
    """Decimal sign of numbers in text."""
    thousands: str | Mapping[str, str] = ""
    """What groups the digits of numbers in text, such as `.` in `1.234,56`. Empty refuses such numbers."""
    strip: str | Mapping[str, str] = ""
    """Characters to remove from both ends of numbers in text, such as `$`."""
    delimiter: str | Mapping[str, str] = ""
    """What separates the fields of a text file. Empty takes the one of `, ; tab |` that fits the first line best."""
    encoding: str | Mapping[str, str] = ""
    """Encoding of a text file, such as `latin-1`. Empty takes the file's byte order mark, or else UTF-8."""

    def setting(self, name: str, table: str, column: str = "") -> Any:
        """Return a setting that may differ by table or column: that of the column, or else of the table, or else all.

        >>> config = SourceConfig(time_unit={"events": "ms", "impressions.request_time": "s"})
        >>> [config.setting("time_unit", table, "request_time") for table in ("events", "impressions", "candidates")]
        ['ms', 's', '']
        """
        value = getattr(self, name)
        if not isinstance(value, Mapping):
            return value
        default = next(entry.default for entry in fields(self) if entry.name == name)
        return value.get(f"{table}.{column}", value.get(table, default))

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
        return _SUFFIXES.sub("", self.name)


@dataclass(frozen=True)
class RawBatch:
    """Consecutive rows of a file under contract column names, and the rows the source itself set aside.

    Attributes:
        table: unchecked rows; `Contract.check` comes next.
        rejected: rows of the batch that are not in `table`, counted by reason.
        noted: rows of `table` that look odd and are kept, counted by reason.
        rows: of each row of `table` its number in the file, from 1; None where the source does not say.
    """

    table: pa.Table
    rejected: tuple[Violation, ...] = ()
    noted: tuple[Violation, ...] = ()
    rows: np.ndarray | None = field(default=None, compare=False)

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
