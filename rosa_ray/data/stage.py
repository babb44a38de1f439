"""First pass of preprocessing: raw files, checked and exchanged through hash-partitioned Parquet.

Each input file is one task that streams it, so memory is bounded by a batch and not by a file. Partitions are written
to files: Ray Data's own shuffle would move every row through the object store.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from rosa_ray.data.stage_report import OK, SET_ASIDE, FileReport, StageReport
from rosa_ray.data.staging_area import StagedWriter
from rosa_ray.data.staging_marks import keep_unchanged, mark_staged, setup_digest
from rosa_ray.data.time_bounds import add_days, count_days, days_to_plain
from rosa_ray.errors import ConfigError, InputError, RosaError
from rosa_ray.schema import BEHAVIORS, Violation
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from rosa_ray.sources import RawBatch, Source, SourceFile, require_tables
from rosa_ray.storage import fingerprint

TASKS_PER_CPU = 4


def stage_source(
    source: Source,
    staging_dir: str,
    partitions: int,
    own: tuple[OwnColumn, ...] = (),
    behaviors: Sequence[str] = BEHAVIORS,
) -> StageReport:
    """Check every file of a source and write its good rows to `staging_dir`; what lies there unchanged stays.

    Ray must be initialised. What the staging area holds in the end depends on the source alone, neither on earlier
    runs nor on the order in which tasks ran.

    Args:
        source: what to read; it is pickled to the tasks.
        staging_dir: local directory that all nodes share, or a URL such as `s3://bucket/run/staging`.
        partitions: number of hash partitions P of users.
        own: declared columns that the source brings beside those of the contracts.
        behaviors: that an event may have.

    Returns:
        What became of each file; `partial` when some were set aside.

    Raises:
        ConfigError: `partitions` is below 1, or the source has no table that a declared column needs.
        InputError: the source has no files, or no file of one of its contracts is usable.
        RosaError: a task could not write.
    """
    if partitions < 1:
        raise ConfigError(f"preprocess.partitions is {partitions}; give 1 or more")
    files = source.files()
    require_tables({file.contract_name for file in files}, own)
    setup = setup_digest(source, partitions, own, behaviors)
    kept = keep_unchanged(staging_dir, setup, files)
    fresh = [file for file in files if file not in kept]
    reports = kept | (_stage_all(source, fresh, staging_dir, partitions, setup, own, behaviors) if fresh else {})
    report = StageReport(staging_dir, partitions, tuple(reports[file] for file in files), files_reused=len(kept))
    _require_usable(report)
    return report


def stage_file(
    source: Source,
    file: SourceFile,
    staging_dir: str,
    partitions: int,
    own: tuple[OwnColumn, ...] = (),
    behaviors: Sequence[str] = BEHAVIORS,
) -> FileReport:
    """Check one file and stage its good rows; a file that fails half way leaves nothing behind.

    Returns:
        Status `set_aside` with a reason when the file cannot be read, breaks its contract, or keeps no row.
    """
    contract = contract_with(file.contract_name, own, behaviors)
    tally = _Tally()
    with StagedWriter(staging_dir, contract, file.name, partitions) as writer:
        try:
            for batch in source.read(file):
                table, violations = contract.check(batch.table, file.path, batch.rows)
                tally.add(batch, table, violations, contract.lacking(batch.table.column_names))
                writer.add(table)
        except InputError as error:
            return FileReport(file.path, contract.name, SET_ASIDE, tally.rows_read, 0, tally.violations, str(error))
        writer.publish()
    return tally.report(file)


class _Tally:
    """Counts over the batches of one file."""

    def __init__(self) -> None:
        self.rows_read = 0
        self.rows_kept = 0
        self._violations = _Reasons()
        self._noted = _Reasons()
        self._days: dict[str, Counter[int]] = {}
        self._lacking: dict[str, None] = {}
        self._weighted = False

    def add(
        self, batch: RawBatch, kept: pa.Table, violations: Iterable[Violation], lacking: Iterable[str] = ()
    ) -> None:
        self.rows_read += batch.rows_read
        self.rows_kept += kept.num_rows
        add_days(self._days, count_days(kept))
        self._weighted |= has_weights(kept)
        self._violations.add((*batch.rejected, *violations))
        self._noted.add(batch.noted)
        self._lacking |= dict.fromkeys(lacking)

    @property
    def violations(self) -> tuple[Violation, ...]:
        return self._violations.sums()

    def report(self, file: SourceFile) -> FileReport:
        useless = self.rows_read > 0 and self.rows_kept == 0
        reason = f"no row is usable: {max(self.violations, key=lambda v: v.rows)}" if useless else ""
        return FileReport(
            path=file.path,
            contract=file.contract_name,
            status=SET_ASIDE if useless else OK,
            rows_read=self.rows_read,
            rows_kept=self.rows_kept,
            violations=self.violations,
            reason=reason,
            noted=self._noted.sums(),
            days=days_to_plain(self._days),
            lacking=tuple(self._lacking),
            weighted=self._weighted,
        )


def has_weights(rows: pa.Table) -> bool:
    """Whether a row has a weight other than 1.

    >>> has_weights(pa.table({"weight": [1.0, None]})), has_weights(pa.table({"weight": [2.0]}))
    (False, True)
    """
    return "weight" in rows.column_names and bool(pc.any(pc.not_equal(rows["weight"], 1.0)).as_py())


class _Reasons:
    """Violations summed by place and reason, with the first example of each."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, str], Violation] = {}
        self._rows: Counter[tuple[str, str, str]] = Counter()

    def add(self, violations: Iterable[Violation]) -> None:
        for violation in violations:
            key = violation.where, violation.column, violation.reason
            self._first.setdefault(key, violation)
            self._rows[key] += violation.rows

    def sums(self) -> tuple[Violation, ...]:
        return tuple(replace(self._first[key], rows=rows) for key, rows in sorted(self._rows.items()))


def _stage_all(
    source: Source,
    files: list[SourceFile],
    staging_dir: str,
    partitions: int,
    setup: str,
    own: tuple[OwnColumn, ...],
    behaviors: Sequence[str],
) -> dict[SourceFile, FileReport]:
    tasks = min(len(files), TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1))))
    stage = partial(
        _stage_row,
        source=source,
        staging_dir=staging_dir,
        partitions=partitions,
        setup=setup,
        own=own,
        behaviors=behaviors,
    )
    dataset = ray.data.from_items([asdict(file) for file in files], override_num_blocks=tasks).map(stage)
    rows = dataset.take_all()
    failure = next((row["failure"] for row in rows if row["failure"]), "")
    if failure:
        raise RosaError(f"{staging_dir}: staging failed: {failure}; is there space, and is it shared by all nodes?")
    reports = {(row["contract_name"], row["name"]): FileReport.from_dict(json.loads(row["report"])) for row in rows}
    return {file: reports[file.contract_name, file.name] for file in files}


def _stage_row(
    row: dict[str, Any],
    source: Source,
    staging_dir: str,
    partitions: int,
    setup: str,
    own: tuple[OwnColumn, ...],
    behaviors: Sequence[str],
) -> dict[str, str]:
    file = SourceFile(**row)
    answer = {"contract_name": file.contract_name, "name": file.name, "report": "", "failure": ""}
    try:
        identity = fingerprint(file.path)
        report = stage_file(source, file, staging_dir, partitions, own, behaviors)
        mark_staged(staging_dir, setup, file, identity, report)
    except (OSError, InputError) as error:
        return answer | {"failure": f"{type(error).__name__}: {error}".splitlines()[0]}
    return answer | {"report": json.dumps(report.to_dict())}


def _require_usable(report: StageReport) -> None:
    for name in dict.fromkeys(file.contract for file in report.files):
        files = [file for file in report.files if file.contract == name]
        if not any(file.status == OK for file in files):
            raise InputError(f"none of {len(files)} {name} files is usable; the first: {files[0].reason}")
