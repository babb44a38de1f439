"""A small made-up log with something to learn, as user rows and as a data directory."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rosa_ray.features import (
    EncodedUsers,
    FeatureConfig,
    FeatureState,
    FitSums,
    SplitBounds,
    UserRows,
    build_user_rows,
    encode_users,
    fold_events,
    fold_impressions,
    merge_states,
)
from rosa_ray.units import DAY_US, HOUR_US

CATEGORIES, ITEMS = 6, 60
BOUNDS = SplitBounds(valid_us=8 * DAY_US, test_us=9 * DAY_US)
FEATURES = FeatureConfig(views=("user_events", "ad_impressions"), min_count=1, item_oov_buckets=8, oov_buckets=4)


Relabel = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
"""Takes the impressions of a log, gives the columns that are to be others."""


def tiny_rows(
    users: int = 40, per_user: int = 20, seed: int = 0, relabel: Relabel = lambda impressions: {}
) -> UserRows:
    """Users who like one category: they view its items, and click and buy its ads far more often."""
    rng = np.random.default_rng(seed)
    user_key = np.sort(rng.choice(10_000, users, replace=False)).astype(np.int64) + 1
    favourite = dict(zip(user_key.tolist(), rng.integers(0, CATEGORIES, users).tolist(), strict=True))
    events = _events(user_key, favourite, rng)
    impressions = _impressions(user_key, favourite, per_user, rng)
    impressions |= relabel(impressions)
    counters = merge_states(fold_events(events, FEATURES), fold_impressions(impressions, FEATURES))
    return build_user_rows(events, impressions, None, counters, FEATURES, BOUNDS)


def tiny_state(rows: UserRows) -> FeatureState:
    return FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], FEATURES)


def tiny_users(users: int = 40, per_user: int = 20, seed: int = 0) -> tuple[EncodedUsers, FeatureState]:
    rows = tiny_rows(users, per_user, seed)
    state = tiny_state(rows)
    return encode_users(rows, state), state


def write_data_dir(directory: Path, rows: UserRows, parts: int = 3) -> str:
    """What preprocessing would leave of these rows."""
    (directory / "users").mkdir(parents=True)
    table = rows.to_table()
    cuts = np.linspace(0, len(rows), parts + 1).astype(int)
    for part in range(parts):
        piece = table.slice(cuts[part], cuts[part + 1] - cuts[part])
        pq.write_table(piece, directory / "users" / f"part-{part:05d}.parquet", write_page_checksum=True)
    tiny_state(rows).save(directory / "features")
    pq.write_table(pa.table({"ad_id": ["a"], "campaign_id": ["k"]}), directory / "ads.parquet")
    (directory / "spec.json").write_text(json.dumps({"bounds": asdict(BOUNDS)}))
    return str(directory)


def _events(user_key: np.ndarray, favourite: dict[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    counts = rng.integers(0, 25, len(user_key))
    owner = np.repeat(user_key, counts)
    time_us = rng.integers(0, 10 * DAY_US, len(owner))
    order = np.lexsort((time_us, owner))
    owner, time_us = owner[order], time_us[order]
    liked = np.array([favourite[key] for key in owner.tolist()], np.int64)
    category = np.where(rng.random(len(owner)) < 0.8, liked, rng.integers(0, CATEGORIES, len(owner)))
    return {
        "user_key": owner,
        "user_id": owner.astype(str).astype(object),
        "time_us": time_us,
        "item_key": 1 + category * 10 + rng.integers(0, 10, len(owner)),
        "category_key": 100 + category,
        "behavior": rng.integers(0, 4, len(owner)).astype(np.int8),
        "price": np.full(len(owner), np.nan, np.float32),
    }


def _impressions(
    user_key: np.ndarray, favourite: dict[int, int], per_user: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    owner = np.repeat(user_key, per_user)
    count = len(owner)
    time_us = rng.integers(DAY_US, 10 * DAY_US, count)
    order = np.lexsort((time_us, owner))
    time_us = time_us[order]
    liked = np.array([favourite[key] for key in owner.tolist()], np.int64)
    category = np.where(rng.random(count) < 0.4, liked, rng.integers(0, CATEGORIES, count))
    click = (rng.random(count) < np.where(category == liked, 0.6, 0.1)).astype(np.int8)
    conversion = (click * (rng.random(count) < 0.4)).astype(np.int8)
    price = np.exp(rng.normal(3, 0.5, count))
    item = 1 + category * 10 + rng.integers(0, 10, count)
    return {
        "user_key": owner,
        "user_id": owner.astype(str).astype(object),
        "time_us": time_us,
        "impression_key": np.arange(count) + 1,
        "request_key": np.arange(count) // 4 + 1,
        "ad_key": item,
        "item_key": item,
        "category_key": 100 + category,
        "campaign_key": 200 + category,
        "device_key": rng.integers(1, 3, count),
        "region_key": rng.integers(1, 4, count),
        "position": np.full(count, -1, np.int32),
        "propensity": np.full(count, np.nan, np.float32),
        "bid": rng.uniform(0.1, 0.5, count),
        "price": price,
        "in_catalogue": np.ones(count, bool),
        "cost": rng.uniform(0.05, 0.1, count),
        "click": click,
        "conversion": conversion,
        "revenue": conversion * price * np.exp(rng.normal(0, 0.2, count)),
        "click_time_us": time_us,
        "conversion_time_us": time_us + HOUR_US,
    }
