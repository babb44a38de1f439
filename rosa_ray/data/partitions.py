"""The per-partition work of preprocessing: plain functions from staged rows to user rows, testable without Ray."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa

from rosa_ray.data.counter_files import counters_of, counters_table, read_counters, shard_count, write_part
from rosa_ray.data.parquet import read_json, read_parquet, write_json, write_parquet
from rosa_ray.data.staging import read_staged, staged_files
from rosa_ray.features import (
    AdTable,
    FeatureConfig,
    FitPart,
    Split,
    SplitBounds,
    UserRows,
    build_user_rows,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.schema import CANDIDATES, EVENTS, IMPRESSIONS
from rosa_ray.sources.paths import readable
from rosa_ray.storage import exists, fingerprint

__all__ = ["Layout", "counters_table", "fold_partition", "join_partition", "read_counters"]

Columns = dict[str, np.ndarray]

MAX_NAMES = 1000
"""Device names remembered; others are shown by their key."""

FOLDED = (EVENTS, IMPRESSIONS, CANDIDATES)
"""Contracts whose rows belong to users."""

_LOGS = tuple(contract.name for contract in FOLDED)
_SHARED_KEYS = ("item_key", "category_key", "ad_key", "campaign_key")
_PERIODS = tuple(split.name.lower() for split in Split)


@dataclass(frozen=True)
class Layout:
    """Where preprocessing keeps its files below the data directory."""

    root: str

    @property
    def staging(self) -> str:
        return f"{self.root}/staging"

    @property
    def users(self) -> str:
        return f"{self.root}/users"

    @property
    def ads(self) -> str:
        return f"{self.root}/ads.parquet"

    @property
    def names(self) -> str:
        return f"{self.root}/names.json"

    @property
    def counters(self) -> str:
        return f"{self.root}/counters.parquet"

    @property
    def features(self) -> str:
        return f"{self.root}/features"

    @property
    def report(self) -> str:
        return f"{self.root}/report.json"

    @property
    def spec(self) -> str:
        return f"{self.root}/spec.json"

    def keyed(self, log: str, part: int) -> str:
        return f"{self.staging}/keyed/{log}-{part:05d}.parquet"

    def part_counters(self, part: int) -> str:
        return f"{self.staging}/counters/part-{part:05d}.parquet"

    def shared_counters(self, shard: int) -> str:
        return f"{self.staging}/counters/shared-{shard:05d}.parquet"

    def folded(self, part: int) -> str:
        return f"{self.staging}/folded/{part:05d}.json"


def fold_partition(layout: Layout, part: int, config: FeatureConfig, partitions: int) -> tuple[dict[str, Any], bool]:
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


def _fold_inputs(layout: Layout, part: int, config: FeatureConfig, partitions: int) -> str:
    """Digest of all that decides what `fold_partition` writes."""
    paths = [path for contract in FOLDED for path in staged_files(layout.staging, contract, part)]
    with readable(layout.ads, "a Parquet file"), fsspec.open(layout.ads, "rb") as handle:
        ads = hashlib.sha256(handle.read()).hexdigest()
    content = [asdict(config), partitions, ads, [fingerprint(path) for path in paths]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _fold(layout: Layout, part: int, config: FeatureConfig, partitions: int) -> dict[str, Any]:
    ads = AdTable.from_table(read_parquet(layout.ads))
    staged = {contract.name: read_staged(layout.staging, contract, part) for contract in FOLDED}
    events = keyed_events(staged[EVENTS.name])
    impressions, unknown = keyed_impressions(staged[IMPRESSIONS.name], ads)
    candidates, unknown_candidates = keyed_impressions(staged[CANDIDATES.name], ads)
    for log, columns in zip(_LOGS, (events, impressions, candidates), strict=True):
        write_parquet(pa.table(columns), layout.keyed(log, part))
    states = fold_events(events, config) | fold_impressions(impressions, config)
    write_part(states, layout.part_counters(part), shard_count(partitions))
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


def join_partition(
    layout: Layout, part: int, config: FeatureConfig, bounds: SplitBounds, partitions: int
) -> tuple[FitPart, dict[str, Any]]:
    """Read the merged counters at every request of one partition and write its user rows.

    Returns:
        The partition's share of the feature fit, and figures for the report.
    """
    events, impressions, candidates = (_read_keyed(layout.keyed(log, part)) for log in _LOGS)
    held_out = candidates["time_us"] >= bounds.valid_us
    candidates = {name: values[held_out] for name, values in candidates.items()}
    asked = np.concatenate([shared_keys(log) for log in (impressions, candidates)])
    shared = [layout.shared_counters(shard) for shard in range(shard_count(partitions))]
    counters = counters_of(layout.part_counters(part), shared, asked)
    rows = build_user_rows(events, impressions, candidates, counters, config, bounds)
    write_parquet(rows.to_table(), f"{layout.users}/part-{part:05d}.parquet")
    return FitPart.of(rows, bounds.valid_us), _describe(rows, impressions, bounds)


def shared_keys(columns: Columns) -> np.ndarray:
    """Entities whose counters users share, of the rows of a log or of the catalogue."""
    return np.concatenate([columns[name] for name in _SHARED_KEYS])


def advertised_keys(layout: Layout) -> np.ndarray:
    """All that requests can ask about: what stands in the catalogue."""
    return shared_keys(vars(AdTable.from_table(read_parquet(layout.ads))))


def _distinct(names: pa.ChunkedArray) -> list[str]:
    return sorted(names.unique().drop_null().to_pylist())[:MAX_NAMES]


def _read_keyed(path: str) -> Columns:
    table = read_parquet(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def _describe(rows: UserRows, impressions: Columns, bounds: SplitBounds) -> dict[str, Any]:
    shown = rows.impressions
    splits = {}
    for code, name in enumerate(_PERIODS):
        chosen = shown["split"] == code
        splits[name] = {
            "impressions": int(chosen.sum()),
            "clicks": int(shown["click"][chosen].sum()),
            "conversions": int(shown["conversion"][chosen].sum()),
            "revenue": float(shown["revenue"][chosen].sum()),
            "cost": float(shown["cost"][chosen].sum()),
            "users": int((np.add.reduceat(np.r_[chosen, False], rows.impression_offsets[:-1]) > 0).sum())
            if len(rows)
            else 0,
        }
    return {
        "users": len(rows),
        "users_with_events": int((np.diff(rows.event_offsets) > 0).sum()),
        "splits": splits,
        "leakage": _leakage(rows, impressions, bounds),
    }


def _leakage(rows: UserRows, impressions: Columns, bounds: SplitBounds) -> dict[str, int]:
    order = np.diff(rows.events["time_us"])
    inside = np.ones(max(len(order), 0), bool)
    starts = rows.event_offsets[1:-1]
    inside[starts[(starts > 0) & (starts <= len(order))] - 1] = False
    train = rows.impressions["split"] == 0
    before_test = impressions["time_us"] < bounds.test_us
    return {
        "timelines_out_of_order": int((order[inside] < 0).sum()),
        "train_impressions_after_valid_begins": int((rows.impressions["time_us"][train] >= bounds.valid_us).sum()),
        "policy_candidates_before_test_begins": int(
            ((rows.impressions["split"] == 3) & (rows.impressions["time_us"] < bounds.test_us)).sum()
        ),
        "labels_that_mature_after_test_begins": int(
            (
                before_test & (impressions["conversion"] > 0) & (impressions["conversion_time_us"] >= bounds.test_us)
            ).sum()
        ),
    }
