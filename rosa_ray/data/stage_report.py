"""What became of every input file: the JSON-able result of staging."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rosa_ray.data.time_bounds import days_from_plain, sum_days
from rosa_ray.schema import Violation

OK = "ok"
SET_ASIDE = "set_aside"
_VIOLATIONS = ("violations", "noted")


@dataclass(frozen=True)
class FileReport:
    """One input file.

    Attributes:
        path: where it lies.
        contract: name of the contract its rows were checked against.
        status: `ok`, or `set_aside` when none of its rows went on.
        rows_read: rows seen; of a damaged file, those before the damage.
        rows_kept: rows staged.
        violations: rows set aside, by column and reason.
        reason: why the file was set aside, one line; empty when it is ok.
        noted: rows that look odd and were kept, by column and reason.
        days: rows kept per time column and day since 1970.
        lacking: required columns that the file does without.
        weighted: whether a row that was kept has a weight other than 1.
    """

    path: str
    contract: str
    status: str
    rows_read: int
    rows_kept: int
    violations: tuple[Violation, ...] = ()
    reason: str = ""
    noted: tuple[Violation, ...] = ()
    days: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    weighted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return asdict(self) | {name: [asdict(one) for one in getattr(self, name)] for name in _VIOLATIONS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FileReport":
        """Return the report `to_dict` came from.

        >>> report = FileReport("a.csv", "events", "ok", 3, 2, (Violation("a.csv", "price", 1, "are NaN"),))
        >>> FileReport.from_dict(report.to_dict()) == report
        True
        """
        broken = {name: tuple(Violation(**one) for one in values.get(name, ())) for name in _VIOLATIONS}
        return cls(**{**values, **broken, "lacking": tuple(values.get("lacking", ()))})


@dataclass(frozen=True)
class StageReport:
    """All input files, in listing order.

    Attributes:
        staging_dir: where the staged Parquet lies.
        partitions: number of hash partitions of users.
        files_reused: files that an earlier run had staged and that did not change.
    """

    staging_dir: str
    partitions: int
    files: tuple[FileReport, ...]
    files_reused: int = field(default=0, compare=False)

    @property
    def partial(self) -> bool:
        """Whether a file was set aside; the command line then exits with `EXIT_PARTIAL`."""
        return bool(self.set_aside)

    @property
    def set_aside(self) -> tuple[FileReport, ...]:
        """The files none of whose rows went on."""
        return tuple(file for file in self.files if file.status == SET_ASIDE)

    @property
    def weighted(self) -> bool:
        """Whether any row says that it stands for more, or for less, than one."""
        return any(file.weighted for file in self.files)

    def rows_kept(self, contract_name: str) -> int:
        """Rows staged for a contract, 0 when the source has no such files."""
        return sum(file.rows_kept for file in self.files if file.contract == contract_name)

    def days(self, contract_name: str) -> dict[str, Counter[int]]:
        """Rows kept of a contract per time column and day."""
        return sum_days(days_from_plain(file.days) for file in self.files if file.contract == contract_name)

    def rows_rejected(self, contract_name: str) -> int:
        """Rows of usable files set aside one by one; rows of files set aside whole are not counted."""
        return sum(
            file.rows_read - file.rows_kept
            for file in self.files
            if file.contract == contract_name and file.status == OK
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON, with the totals."""
        contracts = dict.fromkeys(file.contract for file in self.files)
        return {
            "staging_dir": self.staging_dir,
            "partitions": self.partitions,
            "partial": self.partial,
            "rows_kept": {name: self.rows_kept(name) for name in contracts},
            "rows_rejected": {name: self.rows_rejected(name) for name in contracts},
            "files_set_aside": len(self.set_aside),
            "files_reused": self.files_reused,
            "files": [{name: value for name, value in file.to_dict().items() if name != "days"} for file in self.files],
        }
