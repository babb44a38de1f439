"""The per-partition work of preprocessing: plain functions from staged rows to user rows, testable without Ray."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.data.parquet import read_parquet, write_parquet
from rosa_ray.data.staging import read_staged
from rosa_ray.features import (
    VIEWS,
    AdTable,
    Counters,
    CounterStates,
    FeatureConfig,
    FitPart,
    SplitBounds,
    UserRows,
    build_user_rows,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.schema import CANDIDATES, EVENTS, IMPRESSIONS

Columns = dict[str, np.ndarray]

MAX_NAMES = 1000
"""Device names remembered; others are shown by their key."""

_LOGS = (EVENTS.name, IMPRESSIONS.name, CANDIDATES.name)


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
        return f"{self.staging}/counters/{part:05d}.parquet"


def fold_partition(layout: Layout, part: int, config: FeatureConfig) -> dict[str, Any]:
    """Deduplicate, sort and key one partition, and count it.

    Writes the keyed columns of each log and the partition's counters.

    Returns:
        Row counts and the first and last request time, for the report; and the `devices` seen.
    """
    ads = AdTable.from_table(read_parquet(layout.ads))
    staged = {
        contract.name: read_staged(layout.staging, contract, part) for contract in (EVENTS, IMPRESSIONS, CANDIDATES)
    }
    events = keyed_events(staged[EVENTS.name])
    impressions, unknown = keyed_impressions(staged[IMPRESSIONS.name], ads)
    candidates, unknown_candidates = keyed_impressions(staged[CANDIDATES.name], ads)
    for log, columns in zip(_LOGS, (events, impressions, candidates), strict=True):
        write_parquet(pa.table(columns), layout.keyed(log, part))
    states = fold_events(events, config) | fold_impressions(impressions, config)
    write_parquet(counters_table(states), layout.part_counters(part))
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
    layout: Layout, part: int, config: FeatureConfig, bounds: SplitBounds
) -> tuple[FitPart, dict[str, Any]]:
    """Read the merged counters at every request of one partition and write its user rows.

    Returns:
        The partition's share of the feature fit, and figures for the report.
    """
    events, impressions, candidates = (_read_keyed(layout.keyed(log, part)) for log in _LOGS)
    in_test = candidates["time_us"] >= bounds.test_us
    candidates = {name: values[in_test] for name, values in candidates.items()}
    counters = read_counters(layout.counters)
    rows = build_user_rows(events, impressions, candidates, counters, config, bounds)
    write_parquet(rows.to_table(), f"{layout.users}/part-{part:05d}.parquet")
    return FitPart.of(rows, bounds.valid_us), _describe(rows, impressions, bounds)


def counters_table(states: CounterStates) -> pa.Table:
    """All views in one table."""
    return pa.concat_tables([counters.to_table(view) for view, counters in sorted(states.items())])


def read_counters(path: str) -> CounterStates:
    """Counter states by view from a file of `counters_table`; rows of one entity and bucket are summed.

    Raises:
        InputError: the file is missing or damaged.
    """
    return split_counters(read_parquet(path))


def split_counters(table: pa.Table) -> CounterStates:
    """Inverse of `counters_table`."""
    names = table["view"].to_numpy(zero_copy_only=False)
    return {
        str(name): Counters.from_table(table.filter(pa.array(names == name)), len(VIEWS[name].measures))
        for name in np.unique(names.astype(str))
    }


def merge_counter_files(layout: Layout, partitions: int) -> int:
    """Sum the partitions' counters into one file; returns its rows."""
    tables = [read_parquet(layout.part_counters(part)) for part in range(partitions)]
    merged = counters_table(split_counters(pa.concat_tables(tables)))
    write_parquet(merged, layout.counters)
    return merged.num_rows


def _distinct(names: pa.ChunkedArray) -> list[str]:
    return sorted(names.unique().drop_null().to_pylist())[:MAX_NAMES]


def _read_keyed(path: str) -> Columns:
    table = read_parquet(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def _describe(rows: UserRows, impressions: Columns, bounds: SplitBounds) -> dict[str, Any]:
    shown = rows.impressions
    splits = {}
    for code, name in enumerate(("train", "valid", "test", "policy")):
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
