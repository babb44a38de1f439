"""Second pass of preprocessing, on one partition and without Ray: rows are deduplicated, sorted, keyed and counted."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.arrays import Columns
from rosa_ray.data.counter_files import shard_count, write_partition_counters
from rosa_ray.data.coverage import AdSample, count_partition
from rosa_ray.data.label_join import join_labels
from rosa_ray.data.label_routes import LABEL_LOGS, read_routed, routed_files
from rosa_ray.data.own_coverage import coverage_of
from rosa_ray.data.own_join import Things, keyed_table, read_things, with_shared, with_things
from rosa_ray.data.same_id import RULES, unique_rows
from rosa_ray.data.staging_area import read_staged, staged_files
from rosa_ray.data.time_bounds import LogBounds, within
from rosa_ray.features import (
    AdTable,
    FeatureConfig,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
    of_known_ads,
    with_categories,
)
from rosa_ray.features.own import of_prefix, own_columns
from rosa_ray.labels import LabelsConfig, count_delays, forget_late
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import CANDIDATES, EVENTS, IMPRESSIONS
from rosa_ray.schema.own_columns import ITEM, REQUEST, USER, contract_with
from rosa_ray.schema.spans import CONVERSION_TIME, TIME_COLUMNS, TimeBounds
from rosa_ray.storage import exists, fingerprint, read_json, read_parquet, readable, write_json, write_parquet

MAX_NAMES = 1000
"""Device names remembered; others are shown by their key."""

FORMAT = 5
"""Of what the fold writes; a higher one makes every partition be counted again."""

NOTHING_FROZEN: Columns = {}

FOLDED = (EVENTS, IMPRESSIONS, CANDIDATES)
"""Contracts whose rows belong to users."""

FOLDED_LOGS = tuple(contract.name for contract in FOLDED)
"""Their names, in the same order."""


def fold_partition(
    layout: DataDir,
    part: int,
    config: FeatureConfig,
    partitions: int,
    bounds: LogBounds,
    labels: LabelsConfig,
    negative_keep_rate: float = 1.0,
    frozen: Columns = NOTHING_FROZEN,
) -> tuple[dict[str, Any], bool]:
    """Label, deduplicate, sort, key and count one partition, unless an earlier run did so on the very same files.

    Writes the keyed columns of each log and the partition's counters.

    Args:
        negative_keep_rate: see `keyed_impressions`.
        frozen: name of each vector that belongs to the model -> keys of the ids that have one.

    Returns:
        `counts` of rows, an example of each kind of loss, what it says of `coverage`, the first and last request time
        and the `devices` seen; and whether an earlier run's work stands.
    """
    settings = _FoldSettings(config, partitions, bounds, labels, negative_keep_rate)
    inputs = _fold_inputs(layout, part, settings, frozen)
    former = read_json(layout.folded(part)) if exists(layout.folded(part)) else {}
    if former.get("inputs") == inputs:
        return former["figures"], True
    figures = _fold(layout, part, settings, frozen)
    write_json({"inputs": inputs, "figures": figures}, layout.folded(part))
    return figures, False


@dataclass(frozen=True)
class _FoldSettings:
    """What decides the fold of a partition beside its files."""

    config: FeatureConfig
    partitions: int
    bounds: LogBounds
    labels: LabelsConfig
    negative_keep_rate: float


def _fold_inputs(layout: DataDir, part: int, settings: _FoldSettings, frozen: Columns) -> str:
    """Digest of all that decides what `fold_partition` writes."""
    paths = [path for contract in FOLDED for path in staged_files(layout.staging, contract, part)]
    tables = {USER: layout.users_table(part), ITEM: layout.items}
    things = [path for prefix, path in tables.items() if of_prefix(prefix, settings.config.columns)]
    # Routed files are written anew by every run, so that their content tells, and not when they were written.
    contents = [_digest(path) for path in (layout.ads, *things, *routed_files(layout, part))]
    vectors = {name: hashlib.sha256(keys.tobytes()).hexdigest() for name, keys in frozen.items()}
    content = [FORMAT, asdict(settings), contents, [fingerprint(path) for path in paths], vectors]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _digest(path: str) -> str:
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def _fold(layout: DataDir, part: int, settings: _FoldSettings, frozen: Columns) -> dict[str, Any]:
    config, labels = settings.config, settings.labels
    catalogue = read_parquet(layout.ads)
    ads = AdTable.from_table(catalogue)
    logs = {contract.name: _staged(layout, contract.name, config, part) for contract in FOLDED}
    clicks, conversions = (read_routed(layout, contract, part) for contract in LABEL_LOGS)
    labelled, joined, examples = join_labels(logs[IMPRESSIONS.name], clicks, conversions, catalogue, labels)
    logs[IMPRESSIONS.name] = labelled
    counts = Counter(joined)
    staged = {name: _clean(rows, name, settings.bounds, counts, examples) for name, rows in logs.items()}
    things = read_things(layout, part, catalogue, config.columns)
    said = keyed_events(staged[EVENTS.name], config.behavior_names)
    events = with_shared(with_categories(said, ads), things)
    given = of_prefix(REQUEST, config.columns)
    impressions, unknown = keyed_impressions(staged[IMPRESSIONS.name], ads, given, settings.negative_keep_rate)
    impressions, late = forget_late(with_things(impressions, things), labels.as_of_us, labels.window_us)
    asked, unknown_candidates = keyed_impressions(staged[CANDIDATES.name], ads, given)
    candidates = with_things(of_known_ads(asked), things)
    for log, columns in zip(FOLDED_LOGS, (events, impressions, candidates), strict=True):
        write_parquet(keyed_table(columns), layout.keyed(log, part))
    states = fold_events(events, config) | fold_impressions(impressions, config)
    write_partition_counters(states, layout.part_counters(part), shard_count(settings.partitions))
    impressions = of_known_ads(impressions)
    times = impressions["time_us"]
    for name, columns in ((IMPRESSIONS.name, impressions), (CANDIDATES.name, candidates)):
        for kind, rows, example in _outside_of_their_ads(columns, ads, catalogue, name):
            counts[kind] = rows
            examples.update({kind: example} if rows else {})
    for name, rows in ((IMPRESSIONS.name, unknown), (CANDIDATES.name, unknown_candidates)):
        counts[f"{name}_of_unknown_ads"] = rows
        if rows:
            examples[f"{name}_of_unknown_ads"] = f"ad_id {_first_unknown(staged[name]['ad_id'], catalogue['ad_id'])!r}"
    filled = np.flatnonzero(events["category_key"] != said["category_key"])
    if len(filled):
        counts["category_of_the_ad"] = len(filled)
        examples["category_of_the_ad"] = f"event_id {min(events['event_id'][filled])!r}"
    untouched = (impressions["conversion"] > 0) & (impressions["click"] == 0)
    return {
        "counts": {
            "events": len(events["time_us"]),
            "impressions": len(times),
            "candidates": len(candidates["time_us"]),
            **counts,
            **late,
            "conversions_without_a_click": int(untouched.sum()),
        },
        "examples": examples,
        "coverage": count_partition(said, impressions, AdSample.of(catalogue), staged[EVENTS.name]),
        "start_us": int(times.min()) if len(times) else None,
        "end_us": int(times.max()) if len(times) else None,
        "first_event_us": int(events["time_us"].min()) if len(events["time_us"]) else None,
        "newest_us": int(max(times.max(initial=0), events["time_us"].max(initial=0))),
        "delays": count_delays(impressions) if labels.window_us and labels.young == "weight" else {},
        **({"own": _coverage_of_columns(impressions, config, things, frozen)} if config.columns else {}),
        "devices": _distinct(staged[IMPRESSIONS.name]["device"]),
    }


def _coverage_of_columns(
    impressions: Columns, config: FeatureConfig, things: Things, frozen: Columns
) -> dict[str, Any]:
    return coverage_of(impressions, config.columns, {prefix: known.key for prefix, known in things.items()}, frozen)


def _staged(layout: DataDir, name: str, config: FeatureConfig, part: int) -> pa.Table:
    return read_staged(layout.staging, contract_with(name, own_columns(config.columns)), part)


def _clean(rows: pa.Table, name: str, bounds: LogBounds, counts: Counter[str], examples: dict[str, str]) -> pa.Table:
    """Leave the rows of the log's time, one of every thing that an id names, and note what became of the others."""
    for kind, limits in (("left_out", bounds.period), ("outlying", bounds.usual.get(name, TimeBounds()))):
        rows, outside = within(rows, name, limits)
        counts[f"{kind}_{name}"] = outside.num_rows
        if outside.num_rows:
            examples[f"{kind}_{name}"] = _first_outside(outside, name)
    rows, repeats = unique_rows(rows, RULES[name])
    for kind, number in (
        ("duplicate", repeats.copies),
        ("versions_of", repeats.versions),
        ("conflicting", repeats.conflicts),
        ("shared_ids_of", repeats.shared),
    ):
        counts[f"{kind}_{name}"] = number
    told = {f"conflicting_{name}": repeats.conflict, f"shared_ids_of_{name}": repeats.sharing}
    examples.update({key: text for key, text in told.items() if text})
    return rows


def _outside_of_their_ads(
    columns: Columns, ads: AdTable, catalogue: pa.Table, name: str
) -> Iterator[tuple[str, int, str]]:
    """Rows that come before the first version of their ad, or after its end: their name, number and first ad."""
    row, _ = ads.lookup(columns["ad_key"], columns["time_us"])
    early, late = columns["time_us"] < ads.from_us[row], columns["time_us"] >= ads.until_us[row]
    for when, rows in (("before", row[early]), ("after", row[late])):
        places = AdTable.order(catalogue)[np.unique(rows)] if len(rows) else rows
        example = f"ad_id {pc.min(catalogue['ad_id'].take(pa.array(places))).as_py()!r}" if len(rows) else ""
        yield f"{name}_{when}_their_ads", len(rows), example


def _first_outside(rows: pa.Table, name: str) -> str:
    """The row with the first id, so that no order of files decides."""
    key = RULES[name].id
    row = rows.take(pc.sort_indices(rows, sort_keys=[(key, "ascending")])[:1]).to_pylist()[0]
    told = f"{key} {row[key]!r}: {row[TIME_COLUMNS[name]].isoformat()}"
    bought = row.get(CONVERSION_TIME)
    return f"{told}, {CONVERSION_TIME} {bought.isoformat()}" if bought else told


def _first_unknown(asked: pa.ChunkedArray, known: pa.ChunkedArray) -> str:
    return str(pc.min(asked.filter(pc.invert(pc.is_in(asked, value_set=known.combine_chunks())))).as_py())


def _distinct(names: pa.ChunkedArray) -> list[str]:
    return sorted(names.unique().drop_null().to_pylist())[:MAX_NAMES]
