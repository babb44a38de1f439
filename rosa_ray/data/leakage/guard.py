"""The leak guard: looks at preprocessed data before a model is trained on it, and says what should not be there.

A leak makes offline figures shine and online ones fall. The guard looks for five kinds:

- one input that predicts a label by itself,
- labels, or fields known only after a click, among the inputs,
- times that lie in the future or in the wrong period,
- declared columns of users, items and ads that tell what came after the request,
- features that saw more than the training period, a counter bucket that was still open, or an ad as it was later.

Blocks are streamed; a seeded sample bounds the work.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import fsspec
import numpy as np
from annotated_types import Ge, Gt, Lt

from rosa_ray.arrays import Columns
from rosa_ray.data.leakage.catalogue import CatalogueCheck
from rosa_ray.data.leakage.findings import FeaturePower, LeakFinding, LeakReport
from rosa_ray.data.leakage.foresight import ForesightCheck, check_static
from rosa_ray.data.leakage.mapping import check_mapping
from rosa_ray.data.leakage.periods import FitCheck, PeriodCheck, Span
from rosa_ray.data.leakage.predictive_inputs import (
    Limits,
    check_correlations,
    check_powers,
    check_reversals,
    feature_powers,
    labelled_columns,
)
from rosa_ray.data.leakage.recount import Recount
from rosa_ray.data.own_join import read_static
from rosa_ray.data.user_rows import read_spec
from rosa_ray.errors import InputError
from rosa_ray.features import AdTable, FeatureState, Split, SplitBounds, UserRows
from rosa_ray.run_dir import DataDir
from rosa_ray.settings import section
from rosa_ray.sources import SourceConfig
from rosa_ray.storage import exists, read_json, read_parquet, readable, write_json
from rosa_ray.units import HOUR_US

_EARLY = "convert before their request"


@section("leak_guard")
class LeakGuardConfig:
    """How data is checked for leaks before training."""

    action: Literal["fail", "warn", "off"] = "fail"
    """`fail` stops the training at a leak, `warn` only says it, `off` does not look."""
    auc_limit: Annotated[float, Gt(0.5), Lt(1)] = 0.98
    """An input that alone predicts a label with a higher AUC, or a lower one than its complement, is a leak."""
    min_positives: Annotated[int, Ge(1)] = 20
    """Rows of either class, and different values, that such a verdict needs."""
    max_rows: Annotated[int, Ge(1)] = 1_000_000
    """Impressions read, of a seeded sample of the files. What needs all of them is skipped beyond."""
    recounted_requests: Annotated[int, Ge(1)] = 64
    """Requests whose counters are counted again from the user rows."""
    clock_skew_hours: Annotated[float, Ge(0)] = 24.0
    """How far ahead of this machine's clock a time may lie."""
    top_features: Annotated[int, Ge(1)] = 10
    """Strongest single inputs kept in the report."""


def guard(data_dir: str, config: LeakGuardConfig, source: SourceConfig, now_us: int | None = None) -> LeakReport:
    """Check preprocessed data for leaks and write `leakage.json` beside it.

    Args:
        data_dir: what preprocessing wrote.
        source: the log it was made from, for its column map.
        now_us: the present, microseconds UTC; None is this machine's clock.

    Returns:
        The report; an empty one where `config.action` is off.

    Raises:
        InputError: a leak was found and `config.action` is fail; or there is no preprocessed data.
    """
    if config.action == "off":
        return LeakReport()
    began = time.perf_counter()
    layout = DataDir(data_dir)
    latest_us = (time.time_ns() // 1000 if now_us is None else now_us) + int(config.clock_skew_hours * HOUR_US)
    inspection = _Inspection(layout, config, latest_us)
    findings = sorted([*check_mapping(source), *inspection.findings()], key=lambda finding: finding.severity != "leak")
    report = LeakReport(
        findings=tuple(findings),
        features=tuple(inspection.powers[: config.top_features]),
        rows=inspection.rows,
        labelled=len(inspection.sample["click"]),
        files_read=inspection.files_read,
        files=inspection.files,
        skipped=inspection.skipped,
        seconds=round(time.perf_counter() - began, 3),
    )
    write_json({"action": config.action, "auc_limit": config.auc_limit, **report.to_dict()}, layout.leakage)
    if report.leaks and config.action == "fail":
        more = f" ({len(report.leaks) - 1} more in {layout.leakage})" if len(report.leaks) > 1 else ""
        raise InputError(f"{data_dir}: leak: {report.leaks[0]}{more}")
    return report


class _Inspection:
    """One pass over the files, and what every check made of it."""

    def __init__(self, layout: DataDir, config: LeakGuardConfig, latest_us: int) -> None:
        self.layout, self.limits = layout, Limits(config.auc_limit, config.min_positives)
        self.report = read_json(layout.report) if exists(layout.report) else {}
        spec, self.state = read_spec(layout), _load_state(layout.features)
        span = Span(SplitBounds(**spec["bounds"]), spec["start_us"], spec["end_us"])
        self.periods, self.fit = PeriodCheck(span, latest_us), FitCheck(self.state, span.bounds.valid_us)
        labelled_us = (span.start_us + span.bounds.test_us) // 2
        self.foresight = ForesightCheck(self.state.config.columns, labelled_us)
        # Data of an earlier version, or made by hand, may have no catalogue beside it.
        ads = [read_parquet(layout.ads)] if exists(layout.ads) else []
        self.catalogues = [CatalogueCheck(AdTable.from_table(table)) for table in ads]
        self.recount: Recount | None = None
        uncounted: list[str] = []
        self.rows = self.files_read = 0
        rng = np.random.default_rng(0)
        paths = _user_files(layout.users)
        self.files = len(paths)
        parts = []
        for place in rng.permutation(self.files):
            table = read_parquet(paths[place])
            self.files_read += 1
            parts += [self._read(UserRows.from_table(table), config, rng)] if table.num_rows else []
            if self.recount is None and table.num_rows:
                uncounted.append(paths[place])
            if self.rows >= config.max_rows:
                break
        self._recount_rest(uncounted)
        if not parts:
            raise InputError(f"{layout.users}: holds no user rows; run `rosa preprocess` first")
        self.sample = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self.powers: list[FeaturePower] = feature_powers(self.sample, self.state.config, self.limits)

    @property
    def whole(self) -> bool:
        """Whether every file was read."""
        return self.files_read == self.files

    @property
    def skipped(self) -> tuple[str, ...]:
        """Checks that need every file and did not have them."""
        reason = f"{self.files_read} of {self.files} files read (leak_guard.max_rows)"
        return () if self.whole else (f"fitted on later periods: {reason}", f"counters shared by users: {reason}")

    def findings(self) -> Iterator[LeakFinding]:
        yield from check_powers(self.powers, self.limits)
        yield from check_reversals(self.powers)
        yield from check_correlations(self.sample, self.state.config, self.limits)
        yield from self.periods.findings()
        for catalogue in self.catalogues:
            yield from catalogue.findings()
        yield from self.foresight.findings()
        yield from check_static(read_static(self.layout, self.state.config.columns), self.periods.span.start_us)
        yield from _early_conversions(self.report)
        for warning in self.report.get("warnings", ()):
            yield LeakFinding("data report", "warning", "rosa preprocess", warning, f"see {self.layout.report}")
        if self.whole:
            yield from self.fit.findings()
        if self.recount:
            yield from self.recount.findings(self.whole)

    def _recount_rest(self, paths: list[str]) -> None:
        """Count files that were read before the requests were drawn: they have events, but no labelled impression."""
        if self.recount is None:
            return
        for path in paths:
            self.recount.update(UserRows.from_table(read_parquet(path)))

    def _read(self, rows: UserRows, config: LeakGuardConfig, rng: np.random.Generator) -> Columns:
        features = self.state.config
        self.periods.update(rows)
        self.fit.update(rows)
        self.foresight.update(rows)
        for catalogue in self.catalogues:
            catalogue.update(rows)
        if self.recount is None and (rows.impressions["split"] < Split.POLICY).any():
            self.recount = Recount(rows, features, config.recounted_requests, rng)
        if self.recount:
            self.recount.update(rows)
        self.rows += len(rows.impressions["time_us"])
        return labelled_columns(rows, features)


def _early_conversions(report: dict[str, Any]) -> Iterator[LeakFinding]:
    """What staging set aside for converting before its request: a few are clocks, many a wrong column."""
    files = report.get("ingest", {}).get("files", [])
    early = sum(broken["rows"] for file in files for broken in file["violations"] if broken["reason"] == _EARLY)
    if early:
        yield LeakFinding(
            "periods",
            "warning",
            "conversion_time",
            f"{early} impressions converted before their request and were set aside",
            "check which columns source.columns.impressions reads as request_time and conversion_time",
        )


def _user_files(users_dir: str) -> list[str]:
    fs, root = fsspec.core.url_to_fs(users_dir)
    paths = sorted(fs.glob(f"{root}/*.parquet"))
    if not paths:
        raise InputError(f"{users_dir}: holds no user rows; run `rosa preprocess` first")
    return [fs.unstrip_protocol(path) for path in paths]


def _load_state(directory: str) -> FeatureState:
    with readable(directory, "fitted features"), tempfile.TemporaryDirectory() as folder:
        fs, root = fsspec.core.url_to_fs(directory)
        for path in fs.find(root) if fs.isdir(root) else ():
            fs.get_file(path, f"{folder}/{Path(path).name}")
        return FeatureState.load(Path(folder))
