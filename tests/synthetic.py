"""Small synthetic logs and batches for tests: random, seeded, with ties and users without events."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from rosa_ray.features import (
    AdTable,
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
    keyed_events,
    keyed_impressions,
)
from rosa_ray.features.own import row_columns
from rosa_ray.schema import ADS, BEHAVIORS, IMPRESSIONS
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.schema.contracts import events_with
from rosa_ray.units import DAY_US, MINUTE_US

START_US = 1_700_000_000_000_000
DAYS = 8
BOUNDS = SplitBounds(START_US + 5 * DAY_US, START_US + 6 * DAY_US)
CONFIG = FeatureConfig(item_oov_buckets=8, oov_buckets=4)


def times(rng: np.random.Generator, count: int) -> np.ndarray:
    """Times on a coarse grid of ten minutes, so that ties occur."""
    return START_US + rng.integers(0, DAYS * 144, count) * 10 * MINUTE_US


def events_table(
    rng: np.random.Generator,
    users: int = 12,
    events: int = 300,
    items: int = 30,
    behaviors: Sequence[str] = BEHAVIORS,
) -> pa.Table:
    """Events of users u1 … (u0 has none); item i is of category i mod 5."""
    item = rng.integers(0, items, events)
    table = pa.table(
        {
            "event_id": [f"e{number:06d}" for number in range(events)],
            "user_id": [f"u{number}" for number in rng.integers(1, users, events)],
            "item_id": [f"i{number}" for number in item],
            "behavior": [behaviors[code] for code in rng.integers(0, len(behaviors), events)],
            "event_time": pa.array(times(rng, events)).cast(TIMESTAMP),
            "category": [f"c{number % 5}" for number in item],
            "price": rng.uniform(1, 100, events),
        }
    )
    return events_with(behaviors).check(table, "synthetic")[0]


def ads_table(items: int = 30) -> pa.Table:
    """One ad per item."""
    table = pa.table(
        {
            "ad_id": [f"a{number}" for number in range(items)],
            "item_id": [f"i{number}" for number in range(items)],
            "campaign_id": [f"k{number % 3}" for number in range(items)],
            "category": [f"c{number % 5}" for number in range(items)],
            "bid": np.linspace(0.05, 0.2, items),
            "price": np.linspace(5, 50, items),
        }
    )
    return ADS.check(table, "synthetic")[0]


def impressions_table(rng: np.random.Generator, users: int = 12, impressions: int = 400, items: int = 30) -> pa.Table:
    """Impressions with clicks and conversions, four to a request."""
    request = np.arange(impressions) // 4
    click = rng.random(impressions) < 0.3
    conversion = click & (rng.random(impressions) < 0.4)
    request_time = times(rng, request.max() + 1)[request]
    table = pa.table(
        {
            "impression_id": [f"m{number}" for number in range(impressions)],
            "request_id": [f"r{number}" for number in request],
            "user_id": [f"u{number}" for number in rng.integers(0, users, request.max() + 1)[request]],
            "ad_id": [f"a{number}" for number in rng.integers(0, items, impressions)],
            "request_time": pa.array(request_time).cast(TIMESTAMP),
            "device": [("phone", "desk", None)[number] for number in rng.integers(0, 3, impressions)],
            "region": [f"g{number}" for number in rng.integers(0, 3, impressions)],
            "bid": rng.uniform(0.05, 0.2, impressions),
            "cost": rng.uniform(0.01, 0.05, impressions),
            "click": click,
            "conversion": conversion,
            "conversion_time": pa.array(request_time + DAY_US, mask=~conversion).cast(TIMESTAMP),
            "revenue": np.where(conversion, rng.uniform(5, 50, impressions), 0.0),
        }
    )
    return IMPRESSIONS.check(table, "synthetic")[0]


def user_rows(
    seed: int = 0, config: FeatureConfig = CONFIG, behaviors: Sequence[str] = BEHAVIORS, **sizes: int
) -> UserRows:
    """User rows of a synthetic log whose events have some behaviours."""
    rng = np.random.default_rng(seed)
    wanted = {k: v for k, v in sizes.items() if k in ("users", "events")}
    events = keyed_events(events_table(rng, behaviors=behaviors, **wanted), config.behavior_names)
    table = impressions_table(rng, **{k: v for k, v in sizes.items() if k in ("users", "impressions")})
    impressions, _ = keyed_impressions(table, AdTable.from_table(ads_table()))
    counters = fold_events(events, config) | fold_impressions(impressions, config)
    return build_user_rows(events, impressions, None, counters, config, BOUNDS)


def user_rows_of(
    config: FeatureConfig,
    own: dict[str, pa.Array],
    impressions: int = 400,
    event_own: dict[str, np.ndarray] | None = None,
) -> UserRows:
    """User rows of a synthetic log whose impressions, those of `impressions_table` of seed 0, have more columns.

    Args:
        event_own: keyed columns of the events.
    """
    events = keyed_events(events_table(np.random.default_rng(1))) | (event_own or {})
    table = impressions_table(np.random.default_rng(0), impressions=impressions)
    for name, values in own.items():
        table = table.append_column(name, values)
    shown, _ = keyed_impressions(table, AdTable.from_table(ads_table()), row_columns(config.columns))
    counters = fold_events(events, config) | fold_impressions(shown, config)
    return build_user_rows(events, shown, None, counters, config, BOUNDS)


def encoded_users(seed: int = 0, **sizes: int) -> tuple[EncodedUsers, FeatureState]:
    """Encoded users of a synthetic log and the features fitted on its training period."""
    rows = user_rows(seed, **sizes)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], CONFIG)
    return encode_users(rows, state), state
