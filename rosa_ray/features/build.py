"""From contract tables of one user partition to user rows: deduplicate, sort, join, read the counters.

No feature sees the future, by construction. Timelines are sorted, and counters are read at buckets that were closed at
the request. Which events an impression may see (`t_j < t`, strictly) follows from the times alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.arrays import Columns
from rosa_ray.features.catalogue import Ads, AdTable
from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.counting import CounterStates, expected_cost, read_dense
from rosa_ray.features.own import ColumnConfigs, keyed_columns, row_columns, shared_names
from rosa_ray.features.rows import EVENT_COLUMNS, IMPRESSION_COLUMNS, Split, UserRows
from rosa_ray.schema import BEHAVIORS, MISSING_KEY, derive_key, hash_ids

MISSING_ID = ""
ANONYMOUS_ROWS = 64
"""Impressions without a user that make one row of the user table: they share nothing but the place."""


@dataclass(frozen=True)
class SplitBounds:
    """Where the periods begin, microseconds UTC: training before `valid_us`, test from `test_us` on.

    >>> SplitBounds(valid_us=10, test_us=20).of(np.array([9, 10, 20]))
    array([0, 1, 2], dtype=int8)
    """

    valid_us: int
    test_us: int

    def of(self, time_us: np.ndarray) -> np.ndarray:
        """Split code of each request time, int8."""
        return ((time_us >= self.valid_us).astype(np.int8) + (time_us >= self.test_us)).astype(np.int8)


def with_categories(events: Columns, ads: Ads) -> Columns:
    """Events whose category is that of their item in the catalogue where they say none; the same offline and live.

    Args:
        events: columns with item_key and category_key, (n,).
    """
    silent = events["category_key"] == MISSING_KEY
    if not silent.any():
        return events
    filled = np.where(silent, ads.categories_of(events["item_key"]), events["category_key"])
    return {**events, "category_key": filled}


def keyed_events(table: pa.Table, behaviors: Sequence[str] = BEHAVIORS) -> dict[str, np.ndarray]:
    """Event columns of contract rows, each event once, sorted by user, time and event id.

    Rows are the same event where they agree in id, user, item and behaviour.

    Args:
        table: events contract; staged key columns (user_key, item_key, category_key) are used where present.
        behaviors: names in rising strength, as of `FeatureConfig.behavior_names`.

    Returns:
        `EVENT_COLUMNS` plus user_key and, as object columns, user_id and event_id.
    """
    if "user_key" not in table.column_names:
        table = table.append_column("user_key", pa.array(hash_ids(table["user_id"])))
    order = [("user_key", "ascending"), ("event_time", "ascending"), ("event_id", "ascending")]
    table = table.take(pc.sort_indices(table, sort_keys=order))
    ids, behavior = hash_ids(table["event_id"]), behavior_codes(table["behavior"], behaviors)
    first = _first_of_each(ids, table["user_key"].to_numpy(), _keys(table, "item_key", "item_id"), behavior)
    table = table.take(pa.array(first))
    return {
        "user_key": table["user_key"].to_numpy(),
        "user_id": table["user_id"].to_numpy(),
        "event_id": table["event_id"].to_numpy(),
        "time_us": table["event_time"].cast(pa.int64()).to_numpy(),
        "item_key": _keys(table, "item_key", "item_id"),
        "category_key": _keys(table, "category_key", "category"),
        "behavior": behavior_codes(table["behavior"], behaviors),
        "price": table["price"].cast(pa.float32()).fill_null(float("nan")).to_numpy(),
    }


def keyed_impressions(
    table: pa.Table, ads: AdTable, own: ColumnConfigs | None = None, negative_keep_rate: float = 1.0
) -> tuple[dict[str, np.ndarray], int]:
    """Impression columns of contract rows joined to the catalogue, each impression once, sorted by user and time.

    Rows are the same impression where they agree in id, user and ad. Each takes the version of its ad that held at its
    request. Rows of an ad that the catalogue lacks cannot be ranked, but they count. Their `in_catalogue` is False,
    their item, category and campaign are missing, and their price is NaN. A table of candidates has no labels; they
    read 0. What the log lacks as a whole is filled: a request is its impression, a bid that of the ad, the revenue of a
    conversion the price of the ad; both are 1 where the ad is unknown.

    Args:
        own: declared columns of requests, to take along.
        negative_keep_rate: share of the impressions without a click that the log kept, in (0, 1].

    Returns:
        `IMPRESSION_COLUMNS` (without split and expected_cost) and declared columns plus user_key, user_id,
        conversion_time_us and in_catalogue; and the number of rows of unknown ads.
    """
    keys = {name: _keys(table, f"{name}_key", f"{name}_id") for name in ("user", "impression", "request", "ad")}
    time_us = table["request_time"].cast(pa.int64()).to_numpy()
    order = np.lexsort((keys["ad"], keys["impression"], time_us, keys["user"]))
    row, known = ads.lookup(keys["ad"], time_us)
    kept = order[_first_of_each(*(keys[name][order] for name in ("impression", "user", "ad")))]
    columns = {
        "user_key": keys["user"],
        "user_id": table["user_id"].fill_null(MISSING_ID).to_numpy(),
        "time_us": time_us,
        "impression_key": keys["impression"],
        "request_key": np.where(keys["request"] == MISSING_KEY, keys["impression"], keys["request"]),
        "ad_key": keys["ad"],
        "item_key": np.where(known, ads.item_key[row], MISSING_KEY),
        "category_key": np.where(known, ads.category_key[row], MISSING_KEY),
        "campaign_key": np.where(known, ads.campaign_key[row], MISSING_KEY),
        "price": np.where(known, ads.price[row], np.nan),
        "in_catalogue": known,
        "device_key": hash_ids(table["device"]),
        "region_key": hash_ids(table["region"]),
        "bid": _filled(table["bid"], np.where(known, ads.bid[row], 1.0)),
        **keyed_columns(table, own or {}),
        **_labels(table, time_us, np.where(known, ads.price[row], 1.0)),
        "weight": _weights(table, negative_keep_rate),
    }
    return {name: values[kept] for name, values in columns.items()}, int((~known[kept]).sum())


def of_known_ads(impressions: Columns) -> dict[str, np.ndarray]:
    """The rows of `keyed_impressions` whose ads the catalogue knows: all that can be ranked."""
    known = impressions["in_catalogue"]
    return {name: values if known.all() else values[known] for name, values in impressions.items()}


def behavior_codes(behavior: pa.ChunkedArray, names: Sequence[str] = BEHAVIORS) -> np.ndarray:
    """Behaviours as int8 codes, the places of their names, (n,)."""
    return pc.index_in(behavior, pa.array(names, pa.string())).to_numpy().astype(np.int8)


def build_user_rows(
    events: Columns,
    impressions: Columns,
    candidates: Columns | None,
    counters: CounterStates,
    config: FeatureConfig,
    bounds: SplitBounds,
) -> UserRows:
    """Assemble the user rows of one partition.

    Args:
        events: from `keyed_events`, with the shared columns of their items.
        impressions: from `keyed_impressions` of the impressions log, with all declared columns that rows hold; those of
            unknown ads get split UNKNOWN_AD.
        candidates: the same of the candidates log, if there is one, of known ads, from the validation period on; they
            get split POLICY, those of the validation period VALID_POLICY.
        counters: merged counter states of the whole log.

    Returns:
        One row per user that has an event or an impression, by user key.
    """
    period = bounds.of(impressions["time_us"])
    split = np.where(impressions["in_catalogue"], period, Split.UNKNOWN_AD).astype(np.int8)
    shown = {**_stand_for_one(impressions), **impressions, "split": split}
    if candidates is not None:
        in_test = candidates["time_us"] >= bounds.test_us
        split = np.where(in_test, Split.POLICY, Split.VALID_POLICY).astype(np.int8)
        policy = {**_stand_for_one(candidates), **candidates, "split": split}
        shown = {name: np.concatenate([shown[name], policy[name]]) for name in shown}
        order = np.lexsort((shown["split"], shown["impression_key"], shown["time_us"], shown["user_key"]))
        shown = {name: values[order] for name, values in shown.items()}
    shown["expected_cost"] = expected_cost(counters, shown, config)
    user_key, index = np.unique(np.r_[events["user_key"], shown["user_key"]], return_index=True)
    event_offsets, impression_offsets = (_offsets(log["user_key"], user_key) for log in (events, shown))
    place, impression_offsets = _cut_anonymous(user_key, impression_offsets)
    return UserRows(
        user_id=np.concatenate([events["user_id"], shown["user_id"]])[index[place]],
        user_key=user_key[place],
        event_offsets=np.append(event_offsets[place], event_offsets[-1]),
        events={name: events[name] for name in (*EVENT_COLUMNS, *shared_names(config.columns))},
        impression_offsets=impression_offsets,
        impressions={name: shown[name] for name in (*IMPRESSION_COLUMNS, *row_columns(config.columns))},
        dense=read_dense(counters, shown, config),
        event_id=events.get("event_id"),
    )


def _stand_for_one(rows: Columns) -> dict[str, np.ndarray]:
    return {name: np.ones(len(rows["time_us"])) for name in ("weight", "conversion_weight")}


def _cut_anonymous(user_key: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the impressions without a user, who has no events, into rows of a size.

    Returns:
        Of each row its place among the users, and the offsets of its impressions.
    """
    place = np.arange(len(user_key))
    at = int(np.searchsorted(user_key, MISSING_KEY))
    if at == len(user_key) or user_key[at] != MISSING_KEY:
        return place, offsets
    starts = np.arange(offsets[at], offsets[at + 1], ANONYMOUS_ROWS)
    cut = np.r_[offsets[:at], starts, offsets[at + 1 :]].astype(np.int64)
    return np.repeat(place, np.where(place == at, len(starts), 1)), cut


def _keys(table: pa.Table, key: str, source: str) -> np.ndarray:
    return table[key].to_numpy() if key in table.column_names else hash_ids(table[source])


def _first_of_each(*keys: np.ndarray) -> np.ndarray:
    """The first row of every combination of keys, rising."""
    mixed = keys[0]
    for key in keys[1:]:
        mixed = derive_key(mixed, 1) ^ key
    return np.sort(np.unique(mixed, return_index=True)[1])


def _filled(values: pa.ChunkedArray, otherwise: np.ndarray) -> np.ndarray:
    return np.where(values.is_null().to_numpy(), otherwise, values.fill_null(0).to_numpy())


def _known(table: pa.Table, name: str) -> np.ndarray:
    known = table[name].fill_null(0.0).to_numpy() if name in table.column_names else np.zeros(table.num_rows)
    return np.asarray(known, np.float64)


def _labels(table: pa.Table, time_us: np.ndarray, price: np.ndarray) -> dict[str, np.ndarray]:
    count = table.num_rows
    if "click" not in table.column_names:
        zeros, zeros_int8 = np.zeros(count), np.zeros(count, np.int8)
        return {
            "position": np.full(count, -1, np.int32),
            "propensity": np.full(count, np.nan, np.float32),
            "cost": zeros,
            "click_cost": zeros,
            "revenue": zeros,
            "click": zeros_int8,
            "conversion": zeros_int8,
            "click_time_us": time_us,
            "conversion_time_us": time_us,
        }
    click, conversion = (table[name].cast(pa.int8()).to_numpy() for name in ("click", "conversion"))
    revenue = _filled(table["revenue"], conversion * price)
    return {
        "position": table["position"].fill_null(-1).to_numpy(),
        "propensity": table["propensity"].cast(pa.float32()).fill_null(float("nan")).to_numpy(),
        "cost": table["cost"].to_numpy(),
        "click_cost": _known(table, "click_cost"),
        # A conversion that follows no click counts, as a live one does, but it teaches the models nothing.
        "revenue": np.where(click > 0, revenue, 0.0),
        "click": click,
        "conversion": conversion,
        "click_time_us": _time_or_request(table, "click_time"),
        "conversion_time_us": _time_or_request(table, "conversion_time"),
    }


def _time_or_request(table: pa.Table, name: str) -> np.ndarray:
    names = [column for column in (name, "request_time") if column in table.column_names]
    return pc.coalesce(*(table[column].cast(pa.int64()) for column in names)).to_numpy()


def _weights(table: pa.Table, negative_keep_rate: float) -> np.ndarray:
    """How many impressions each row stands for, (n,): its own weight, shared out where a thinned log kept it."""
    if "click" not in table.column_names:
        return np.ones(table.num_rows)
    given = pc.fill_null(table["weight"], 1.0).to_numpy() if "weight" in table.column_names else 1.0
    return given / np.where(table["click"].to_numpy(), 1.0, negative_keep_rate)


def _offsets(sorted_keys: np.ndarray, users: np.ndarray) -> np.ndarray:
    return np.r_[np.searchsorted(sorted_keys, users, side="left"), len(sorted_keys)].astype(np.int64)
