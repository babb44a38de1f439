"""Third pass of preprocessing, on one partition and without Ray: counters at every request, one row per user."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.data.counter_files import counters_for_partition, shard_count
from rosa_ray.data.fold import FOLDED_LOGS
from rosa_ray.data.own_join import keyed_columns_of
from rosa_ray.features import (
    AdTable,
    FeatureConfig,
    FitSums,
    Split,
    SplitBounds,
    UserRows,
    build_user_rows,
    of_known_ads,
)
from rosa_ray.features.counting import counted_views
from rosa_ray.features.encoding import owners
from rosa_ray.features.own_counters import is_of_ads
from rosa_ray.features.views import View
from rosa_ray.labels import Maturity
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import MISSING_KEY
from rosa_ray.storage import read_parquet, write_parquet

_SHARED_KEYS = ("item_key", "category_key", "ad_key", "campaign_key")
_PERIODS = tuple(split.name.lower() for split in Split if split != Split.UNKNOWN_AD)


def join_partition(
    layout: DataDir,
    part: int,
    config: FeatureConfig,
    bounds: SplitBounds,
    partitions: int,
    maturity: Maturity | None = None,
) -> tuple[FitSums, dict[str, Any]]:
    """Read the merged counters at every request of one partition and write its user rows.

    Args:
        maturity: which impressions are old enough for their conversions to be known; None takes all.

    Returns:
        The partition's share of the feature fit, and figures for the report.
    """
    events, impressions, candidates = (_read_keyed(layout.keyed(log, part)) for log in FOLDED_LOGS)
    if maturity is not None:
        impressions = {**impressions, "conversion_weight": maturity.weights(impressions)}
    held_out = candidates["time_us"] >= bounds.valid_us
    candidates = {name: values[held_out] for name, values in candidates.items()}
    views = own_shared_views(config)
    asked = np.concatenate([shared_keys(log, views) for log in (of_known_ads(impressions), candidates)])
    shared = [layout.shared_counters(shard) for shard in range(shard_count(partitions))]
    counters = counters_for_partition(layout.part_counters(part), shared, asked)
    rows = build_user_rows(events, impressions, candidates, counters, config, bounds)
    write_parquet(rows.to_table(), layout.user_rows(part))
    return FitSums.of(rows, bounds.valid_us, config), _describe(rows, impressions, bounds, maturity)


def own_shared_views(config: FeatureConfig) -> list[View]:
    """Own counters of what users share."""
    return [view for view in counted_views(config) if view.parts and not view.of_users]


def shared_keys(columns: Columns, views: Iterable[View] = ()) -> np.ndarray:
    """Entities whose counters users share, of the rows of a log or of the catalogue.

    Args:
        views: own counters whose entities are asked about as well.
    """
    own = [view.keys(columns) for view in views]
    return np.concatenate([*(columns[name] for name in _SHARED_KEYS), *own])


def advertised_keys(layout: DataDir, config: FeatureConfig) -> tuple[np.ndarray, list[str]]:
    """What requests can ask about: all that stands in the catalogue; and names of views of which they can ask for more.

    An own counter by a column of the request, say, has entities that no catalogue names.
    """
    views = own_shared_views(config)
    ads = vars(AdTable.from_table(read_parquet(layout.ads)))
    told = [view for view in views if is_of_ads(view)]
    return shared_keys(ads, told), [view.name for view in views if not is_of_ads(view)]


def _read_keyed(path: str) -> Columns:
    return keyed_columns_of(read_parquet(path))


def _describe(rows: UserRows, impressions: Columns, bounds: SplitBounds, maturity: Maturity | None) -> dict[str, Any]:
    shown = rows.impressions
    splits = {}
    owner = rows.user_key[owners(rows.impression_offsets)]
    for code, name in enumerate(_PERIODS):
        chosen = shown["split"] == code
        weight, click = shown["weight"][chosen], shown["click"][chosen]
        known = weight * shown["conversion_weight"][chosen]
        splits[name] = {
            "impressions": int(chosen.sum()),
            "stands_for": {
                "impressions": float(weight.sum()),
                "clicks": float((weight * click).sum()),
                "conversions": float((known * click * shown["conversion"][chosen]).sum()),
                "final_clicks": float((known * click).sum()),
            },
            "young": 0 if maturity is None else int((~maturity.is_final(shown["time_us"][chosen])).sum()),
            "clicks": int(shown["click"][chosen].sum()),
            "conversions": int((shown["click"] * shown["conversion"])[chosen].sum()),
            "revenue": float(shown["revenue"][chosen].sum()),
            "cost": float(shown["cost"][chosen].sum()),
            "users": len(np.unique(owner[chosen & (owner != MISSING_KEY)])),
        }
    return {
        "users": int((rows.user_key != MISSING_KEY).sum()),
        "users_with_events": int((np.diff(rows.event_offsets) > 0).sum()),
        "splits": splits,
        "leakage": _leakage(rows, impressions, bounds),
    }


def _leakage(rows: UserRows, impressions: Columns, bounds: SplitBounds) -> dict[str, int]:
    order = np.diff(rows.events["time_us"])
    # Steps from one user's last event to the next user's first may go back in time: they are left out.
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
