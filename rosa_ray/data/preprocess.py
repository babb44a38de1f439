"""Preprocessing on Ray Data: contracts to one row per user, in three passes over hash partitions of the users.

1. stage: files are checked and their rows exchanged through partitioned Parquet (`rosa_ray.data.stage`).
2. fold: each partition is deduplicated, sorted and counted; the counters of all partitions are summed.
3. join: each partition reads the counters at its requests and becomes user rows; the features are fitted on the
   training period.

A pass is a Ray Data job of few large tasks whose only output is files under stable names, so a task that is run
again writes the same bytes. A task holds one partition, or one shard of the counters, whatever the size of the log.

Where staging was kept, a run reads only input files that are new or changed, and counts only partitions that they
touched. The join is always done anew: a new day moves the periods, and with them the splits, the candidates and the
features' fit.
"""

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt

from rosa_ray.data.catalogue import read_versions
from rosa_ray.data.counter_files import combine_counters, merge_shard, shard_count
from rosa_ray.data.data_report import PARTIAL, merge_reports, time_span
from rosa_ray.data.fold import FOLDED_LOGS, MAX_NAMES, fold_partition
from rosa_ray.data.join import advertised_keys, join_partition
from rosa_ray.data.label_routes import LABEL_LOGS, route_labels
from rosa_ray.data.own_join import take_frozen
from rosa_ray.data.own_tables import write_own_tables
from rosa_ray.data.stage import stage_source
from rosa_ray.data.stage_report import StageReport
from rosa_ray.data.staging_area import read_staged
from rosa_ray.data.tasks import run_tasks
from rosa_ray.data.time_bounds import LogBounds, iso, parse_time
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.features import FeatureConfig, FeatureState, SplitBounds
from rosa_ray.features.config import WEIGHTED_UNITS
from rosa_ray.features.own import own_columns
from rosa_ray.labels import DelayCurve, LabelsConfig, Maturity, ripe_shares
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import ADS, CONTRACTS
from rosa_ray.schema.own_columns import contract_with
from rosa_ray.schema.spans import TimeBounds, find_bounds
from rosa_ray.settings import section
from rosa_ray.sources import Source
from rosa_ray.storage import remove_tree, write_bytes, write_json, write_parquet

DEFAULT_LABELS = LabelsConfig()


@section("preprocess")
class PreprocessConfig:
    """How the log is partitioned and split."""

    partitions: Annotated[int, Ge(1)] = 4
    """Hash partitions of the users. Each must fit in a worker's memory."""
    valid_from: str = ""
    """When the validation period begins, ISO 8601 with offset. Empty takes `valid_fraction`."""
    test_from: str = ""
    """When the test period begins, ISO 8601 with offset. Empty takes `test_fraction`."""
    valid_fraction: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the log's time span that is validated on, before the test period."""
    test_fraction: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of the log's time span, at its end, that is tested on."""
    from_time: str = ""
    """Rows before this moment are left out, ISO 8601 with offset. Empty takes the log from its begin."""
    until_time: str = ""
    """Rows from this moment on are left out, ISO 8601 with offset. Empty takes the log to its end."""
    time_outliers: Literal["set_aside", "keep"] = "set_aside"
    """Whether rows are set aside whose time lies far outside of the log. They are few, a thousandth at most, and a gap
    parts them from the others: more than a week, and more than a quarter of the others' span."""
    negative_keep_rate: Annotated[float, Ge(1e-6), Le(1)] = 1.0
    """Share of the impressions without a click that the log kept. Below 1 each of them stands for 1 / rate impressions,
    beside its own `weight` where it has one."""
    without_impressions: bool = False
    """Take a log that may have no impressions, for `rosa pretrain`. The periods then cut the span of its events."""
    max_lost_share: Annotated[float, Ge(0), Le(1)] = 0.01
    """When a table lost a larger share of its rows, the exit code is 4."""
    keep_staging: bool = False
    """Keep the intermediate files, about the size of the log, so that the next run on it reads only new days."""


@dataclass(frozen=True)
class PreprocessResult:
    """What preprocessing found; `report` is also in `report.json`."""

    report: dict[str, Any]
    partial: bool


def preprocess(
    source: Source,
    data_dir: str,
    config: PreprocessConfig,
    features: FeatureConfig,
    user_key_id: str = "",
    labels: LabelsConfig = DEFAULT_LABELS,
) -> PreprocessResult:
    """Turn a log into user rows, counters, fitted features and a data report under `data_dir`.

    Ray must be initialised. What an earlier run wrote there is replaced once the new input has proved usable.

    Args:
        user_key_id: of the secret that the source's user ids are made pseudonyms with; it is part of the features.
        labels: how clicks and conversions of logs of their own are joined, and from when on labels are final.

    Raises:
        InputError: the input is missing or unusable, has no impressions, or no training data.
        ConfigError: the periods make no sense for this log.
    """
    layout, clock = DataDir(data_dir), _Clock()
    period = period_of(config)
    own, behaviors = own_columns(features.columns), features.behavior_names
    staged = stage_source(source, layout.staging, config.partitions, own, behaviors)
    _require_impressions(staged, config.without_impressions)
    remove_tree(layout.spec)
    remove_tree(layout.users)
    catalogue = read_versions(read_staged(layout.staging, contract_with(ADS.name, own), 0))
    tables = write_own_tables(layout, config.partitions, own)
    ads, vectors = take_frozen(layout, catalogue.table, features.columns)
    write_parquet(ads, layout.ads)
    if any(staged.rows_kept(contract.name) for contract in LABEL_LOGS):
        route_labels(layout, config.partitions)
    else:
        remove_tree(layout.routes)
    clock.lap("ingest")  # the pass is called so in the reports of earlier versions too
    parts = range(config.partitions)
    limits = _log_bounds(staged, known_by(period, labels), keep=config.time_outliers == "keep")
    features = replace(features, conversion_days=labels.attribution_days)
    features = _counted_in(features, weighted=staged.weighted or config.negative_keep_rate < 1)
    fold = partial(
        fold_partition,
        layout,
        config=features,
        partitions=config.partitions,
        bounds=limits,
        labels=labels,
        negative_keep_rate=config.negative_keep_rate,
        frozen={name: one.keys for name, one in vectors.items()},
    )
    outcomes = run_tasks(fold, parts, f"counting {data_dir}")
    folded = [figures for figures, _ in outcomes]
    counter_rows = _merge_counters(layout, config.partitions, features)
    write_json(_names(folded), layout.names)
    clock.lap("fold")
    span_us = start_us, end_us = time_span(folded, config.without_impressions)
    bounds = split_bounds(config, start_us, end_us)
    maturity = _maturity(labels, folded, bounds)
    join = partial(
        join_partition, layout, config=features, bounds=bounds, partitions=config.partitions, maturity=maturity
    )
    joined = run_tasks(join, parts, f"writing {layout.users}")
    sums = [part for part, _ in joined]
    state = FeatureState.fit(sums, features, user_key_id, vectors, require_clicks=not config.without_impressions)
    _save_features(state, layout)
    clock.lap("join")
    ingest, figures = staged.to_dict(), [figures for _, figures in joined]
    report = {
        **merge_reports(
            folded, figures, ingest["files"], catalogue, config.max_lost_share, tables, config.without_impressions
        ),
        **(_ripe(labels, folded, bounds, span_us) if maturity is None else {"labels_as_of": iso(maturity.as_of_us)}),
        "counter_rows": counter_rows,
        "partitions_reused": sum(reused for _, reused in outcomes),
        "ingest": ingest,
        "feature_fingerprint": state.fingerprint,
        "seconds": clock.laps,
    }
    write_json(report, layout.report)
    write_json(_spec(config, features, bounds, start_us, end_us), layout.spec)
    if not config.keep_staging:
        remove_tree(layout.staging)
    return PreprocessResult(report, staged.partial or report[PARTIAL])


def split_bounds(config: PreprocessConfig, start_us: int, end_us: int) -> SplitBounds:
    """Where the periods begin, from dates or from fractions of the span.

    >>> split_bounds(PreprocessConfig(valid_fraction=0.1, test_fraction=0.2), 0, 1000)
    SplitBounds(valid_us=700, test_us=800)

    Raises:
        ConfigError: a date cannot be read, or the three periods are not in order within the log.
    """
    span = end_us - start_us
    test_us = parse_time("preprocess.test_from", config.test_from) or int(end_us - config.test_fraction * span)
    valid_us = parse_time("preprocess.valid_from", config.valid_from) or int(test_us - config.valid_fraction * span)
    if not start_us < valid_us < test_us <= end_us:
        raise ConfigError(
            f"preprocess: validation from {iso(valid_us)} and test from {iso(test_us)} do not cut the log, whose "
            f"impressions run from {iso(start_us)} to {iso(end_us)}; they must lie inside, in that order"
        )
    return SplitBounds(valid_us, test_us)


def period_of(config: PreprocessConfig) -> TimeBounds:
    """When rows are taken, as configured.

    Raises:
        ConfigError: a date cannot be read, or the period ends before it begins.
    """
    begin, end = (
        parse_time("preprocess.from_time", config.from_time),
        parse_time("preprocess.until_time", config.until_time),
    )
    if begin is not None and end is not None and begin >= end:
        raise ConfigError(f"preprocess.from_time is '{config.from_time}', not before until_time '{config.until_time}'")
    return TimeBounds(begin, end)


def known_by(period: TimeBounds, labels: LabelsConfig) -> TimeBounds:
    """The period without what came after the moment as of which the log is taken.

    >>> known_by(TimeBounds(), LabelsConfig(as_of="1970-01-01T00:00:01+00:00")).until_us
    1000001
    """
    as_of = None if labels.as_of_us is None else labels.as_of_us + 1
    ends = [end for end in (period.until_us, as_of) if end is not None]
    return replace(period, until_us=min(ends)) if ends else period


def _maturity(labels: LabelsConfig, folded: list[dict[str, Any]], bounds: SplitBounds) -> Maturity | None:
    """Which rows are final; how long conversions take is learned from final rows of the training period alone."""
    if labels.window_us is None:
        return None
    as_of_us = _as_of(labels, folded)
    until_us = min(as_of_us - labels.window_us, bounds.valid_us)
    curve = DelayCurve.fit([part["delays"] for part in folded], until_us) if labels.young == "weight" else None
    return Maturity(as_of_us, labels.window_us, curve)


def _as_of(labels: LabelsConfig, folded: list[dict[str, Any]]) -> int:
    """The moment as of which the log is taken, microseconds."""
    newest_us: int = max(part["newest_us"] for part in folded)
    return newest_us if labels.as_of_us is None else labels.as_of_us


def _ripe(
    labels: LabelsConfig, folded: list[dict[str, Any]], bounds: SplitBounds, span_us: tuple[int, int]
) -> dict[str, dict[str, float]]:
    """Share of each period's conversions that the log can know, where all labels are taken as final."""
    start_us, end_us = span_us
    periods = {
        "train": (start_us, bounds.valid_us),
        "valid": (bounds.valid_us, bounds.test_us),
        "test": (bounds.test_us, end_us + 1),
    }
    shares = ripe_shares([part["delays"] for part in folded], start_us, _as_of(labels, folded), periods)
    return {"ripe": shares} if shares else {}


def _log_bounds(staged: StageReport, period: TimeBounds, keep: bool) -> LogBounds:
    usual = {} if keep else {name: find_bounds(name, staged.days(name), period) for name in FOLDED_LOGS}
    return LogBounds(period, usual)


def _counted_in(features: FeatureConfig, *, weighted: bool) -> FeatureConfig:
    """Features with counters in small units where rows have weights, so that sums stay whole numbers."""
    if weighted and features.units_per_impression == 1:
        return replace(features, units_per_impression=WEIGHTED_UNITS)
    return features


def _require_impressions(report: StageReport, without_impressions: bool) -> None:
    if without_impressions and not report.rows_kept("impressions"):
        return
    for name in ("impressions", "ads"):
        if not report.rows_kept(name):
            raise InputError(
                f"the source has no usable {name}; give a log with impressions and ads, or put simulated exposure on "
                "its timelines with `rosa simulate`, or set preprocess.without_impressions=true for `rosa pretrain`"
            )


def _merge_counters(layout: DataDir, partitions: int, features: FeatureConfig) -> int:
    """Sum the partitions' counters and write all of them into one file; returns its rows."""
    parts = [layout.part_counters(part) for part in range(partitions)]
    shards = [layout.shared_counters(shard) for shard in range(shard_count(partitions))]
    merge = partial(_merge_shard, layout, parts, features)
    run_tasks(merge, list(enumerate(shards)), f"merging the counters of {layout.root}")
    return combine_counters(parts, shards, layout.counters)


def _merge_shard(layout: DataDir, parts: list[str], features: FeatureConfig, shard: tuple[int, str]) -> int:
    return merge_shard(parts, *shard, *advertised_keys(layout, features))


def _save_features(state: FeatureState, layout: DataDir) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder))
        for path in sorted(Path(folder).iterdir()):
            write_bytes(path.read_bytes(), f"{layout.features}/{path.name}")


def _names(folded: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Names behind hashed keys, for people who read the metrics."""
    return {"device": sorted({name for part in folded for name in part["devices"]})[:MAX_NAMES]}


def _spec(
    config: PreprocessConfig, features: FeatureConfig, bounds: SplitBounds, start_us: int, end_us: int
) -> dict[str, Any]:
    return {
        "bounds": asdict(bounds),
        "start_us": start_us,
        "end_us": end_us,
        "partitions": config.partitions,
        "negative_keep_rate": config.negative_keep_rate,
        "feature_config": features.definition(),
        "contracts": {name: contract_with(name, (), features.behavior_names).fingerprint for name in CONTRACTS},
    }


class _Clock:
    """Seconds per pass."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._since, 3)
        self._since = now
