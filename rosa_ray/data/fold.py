"""Second pass of preprocessing, on one partition and without Ray: rows are deduplicated, sorted, keyed and counted."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import fsspec
import pyarrow as pa

from rosa_ray.data.counter_files import shard_count, write_partition_counters
from rosa_ray.data.staging_area import read_staged, staged_files
from rosa_ray.features import (
    AdTable,
    FeatureConfig,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import CANDIDATES, EVENTS, IMPRESSIONS
from rosa_ray.storage import exists, fingerprint, read_json, read_parquet, readable, write_json, write_parquet

MAX_NAMES = 1000
"""Device names remembered; others are shown by their key."""

FOLDED = (EVENTS, IMPRESSIONS, CANDIDATES)
"""Contracts whose rows belong to users."""

FOLDED_LOGS = tuple(contract.name for contract in FOLDED)
"""Their names, in the same order."""


def fold_partition(layout: DataDir, part: int, config: FeatureConfig, partitions: int) -> tuple[dict[str, Any], bool]:
    """Deduplicate, sort and key one partition, and count it, unless an earlier run did so on the very same files.

    Writes the keyed columns of each log and the partition's counters.

    Returns:
        Row counts, the first and last request time and the `devices` seen; and whether an earlier run's work stands.
    """
    inputs = _fold_inputs(layout, part, config, partitions)
    former = read_json(layout.folded(part)) if exists(layout.folded(part)) else {}
    if former.get("inputs") == inputs:
        return former["figures"], True
    figures = _fold(layout, part, config, partitions)
    write_json({"inputs": inputs, "figures": figures}, layout.folded(part))
    return figures, False


def _fold_inputs(layout: DataDir, part: int, config: FeatureConfig, partitions: int) -> str:
    """Digest of all that decides what `fold_partition` writes."""
    paths = [path for contract in FOLDED for path in staged_files(layout.staging, contract, part)]
    with readable(layout.ads, "a Parquet file"), fsspec.open(layout.ads, "rb") as handle:
        ads = hashlib.sha256(handle.read()).hexdigest()
    content = [asdict(config), partitions, ads, [fingerprint(path) for path in paths]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _fold(layout: DataDir, part: int, config: FeatureConfig, partitions: int) -> dict[str, Any]:
    ads = AdTable.from_table(read_parquet(layout.ads))
    staged = {contract.name: read_staged(layout.staging, contract, part) for contract in FOLDED}
    events = keyed_events(staged[EVENTS.name])
    impressions, unknown = keyed_impressions(staged[IMPRESSIONS.name], ads)
    candidates, unknown_candidates = keyed_impressions(staged[CANDIDATES.name], ads)
    for log, columns in zip(FOLDED_LOGS, (events, impressions, candidates), strict=True):
        write_parquet(pa.table(columns), layout.keyed(log, part))
    states = fold_events(events, config) | fold_impressions(impressions, config)
    write_partition_counters(states, layout.part_counters(part), shard_count(partitions))
    times = impressions["time_us"]
    return {
        "events": len(events["time_us"]),
        "impressions": len(times),
        "candidates": len(candidates["time_us"]),
        "duplicate_events": staged[EVENTS.name].num_rows - len(events["time_us"]),
        "duplicate_impressions": staged[IMPRESSIONS.name].num_rows - len(times) - unknown,
        "impressions_of_unknown_ads": unknown,
        "candidates_of_unknown_ads": unknown_candidates,
        "start_us": int(times.min()) if len(times) else None,
        "end_us": int(times.max()) if len(times) else None,
        "devices": _distinct(staged[IMPRESSIONS.name]["device"]),
    }


def _distinct(names: pa.ChunkedArray) -> list[str]:
    return sorted(names.unique().drop_null().to_pylist())[:MAX_NAMES]
