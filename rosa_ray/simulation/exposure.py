"""Simulated ad exposure on real timelines: what users really did next, among what others did that day.

Every event from a user's sixth on becomes a request. It shows the item of that event, the positive, which is clicked,
beside items of other users' events of the same local day. Negatives are drawn from events: an item is as likely a
negative as it is popular, so neither popularity nor novelty tells the positive. Ids, bids and prices do not depend on
labels.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import Ge, Gt, Le

from rosa_ray.errors import InputError
from rosa_ray.schema import ADS, BEHAVIORS, IMPRESSIONS, hash_ids
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.settings import section
from rosa_ray.simulation.keyed_random import hash_uniform, mix64
from rosa_ray.simulation.marginals import category_prices
from rosa_ray.simulation.market import sample_price_fen
from rosa_ray.simulation.negatives import draw_negatives
from rosa_ray.units import DAY_US, HOUR_US

UNKNOWN_CATEGORY = "unknown"
_ORDER_SALT, _BID_SALT, _COST_SALT, _PRICE_SALT, _SPREAD_SALT, _DEFAULT_BID_SALT = range(6)


@section("exposure")
class ExposureConfig:
    """Settings of the exposure put on real timelines."""

    seed: Annotated[int, Ge(0)] = 7
    """Seed of every draw. Equal seeds give equal logs."""
    min_events: Annotated[int, Ge(1)] = 8
    """Users with fewer events get no requests. They still lend items to others' requests."""
    first_position: Annotated[int, Ge(0)] = 5
    """Index of a user's first event that gets a request; 5 is the sixth event."""
    negatives: Annotated[int, Ge(1)] = 4
    """Items of other users beside each positive."""
    conversion_window_days: Annotated[float, Gt(0)] = 3.0
    """The positive converts when the user buys in its category within so many days."""
    day_offset_hours: Annotated[int, Ge(-12), Le(14)] = 8
    """Local time less UTC; it decides which events share a day."""
    campaigns: Annotated[int, Ge(1)] = 20
    """Campaigns the categories are spread over."""
    cost_scale: Annotated[float, Gt(0)] = 0.1
    """Currency units an impression costs at a market price of 1 fen per 1,000 impressions."""


@dataclass(frozen=True)
class _Log:
    """Events as codes, sorted by (user, time, event_id); n events, I items, C categories."""

    user_N: np.ndarray
    time_us_N: np.ndarray
    item_N: np.ndarray
    category_N: np.ndarray
    purchase_N: np.ndarray
    event_ids: pa.Array
    user_ids: pa.Array
    item_ids: pa.Array
    category_ids: pa.Array
    price_I: np.ndarray


def build_exposure(
    events: pa.Table, config: ExposureConfig, purchase: str = BEHAVIORS[-1]
) -> tuple[pa.Table, pa.Table]:
    """Build impressions and ads from real events.

    Args:
        events: a table of the events contract; any row order.
        config: what to show; equal events and configs give equal tables.
        purchase: behaviour by which an item is bought.

    Returns:
        impressions and ads under their contracts. Every item is an ad of the same id. A request has one clicked row
        and up to `negatives` others in random order; a request is left out when no other user acted that day.

    Raises:
        InputError: no user has `min_events` events, or nobody acted on the same day.
    """
    log = _read(events, purchase)
    positive = _positive_events(log.user_N, config)
    day_N = (log.time_us_N + config.day_offset_hours * HOUR_US) // DAY_US
    other = draw_negatives(log.user_N, log.item_N, day_N, positive, config.negatives, config.seed)
    found = (other >= 0).any(axis=1)
    if not found.any():
        raise InputError(
            f"events: no request can be built; it takes a user with {config.min_events} events or more "
            f"and another user's event of the same day, found {len(log.user_N)} events"
        )
    ads = _ads_table(log, config)
    return _impressions_table(log, positive[found], other[found], ads, config), ads


def _read(events: pa.Table, purchase: str) -> _Log:
    order = pc.sort_indices(events, [(name, "ascending") for name in ("user_id", "event_time", "event_id")])
    events = _without_repeats(events.take(order))
    user, user_ids = _codes(events["user_id"])
    item, item_ids = _codes(events["item_id"])
    category, category_ids = _codes(pc.fill_null(events["category"], UNKNOWN_CATEGORY))
    return _Log(
        user_N=user,
        time_us_N=events["event_time"].cast(pa.int64()).to_numpy(),
        item_N=item,
        category_N=category,
        purchase_N=pc.equal(events["behavior"], purchase).to_numpy(),
        event_ids=events["event_id"].combine_chunks(),
        user_ids=user_ids,
        item_ids=item_ids,
        category_ids=category_ids,
        price_I=_item_prices(events["price"], item, len(item_ids)),
    )


def _without_repeats(events: pa.Table) -> pa.Table:
    """Keep the first of the adjacent rows that are one event."""
    same = np.ones(max(events.num_rows - 1, 0), dtype=bool)
    for name in ("user_id", "event_time", "event_id"):
        column = events[name]
        same &= pc.equal(column.slice(1), column.slice(0, len(column) - 1)).to_numpy() if len(same) else same
    return events.filter(pa.array(np.append(True, ~same)[: events.num_rows]))


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def _item_prices(column: pa.ChunkedArray, item_N: np.ndarray, items: int) -> np.ndarray:
    """First known positive price of each item, NaN without one."""
    price_N = column.cast(pa.float64()).to_numpy()
    known = np.flatnonzero(price_N > 0)[::-1]
    price_I = np.full(items, np.nan)
    price_I[item_N[known]] = price_N[known]
    return price_I


def _positive_events(user_N: np.ndarray, config: ExposureConfig) -> np.ndarray:
    count = np.bincount(user_N) if len(user_N) else np.zeros(0, dtype=np.int64)
    position = np.arange(len(user_N)) - (np.cumsum(count) - count)[user_N]
    return np.flatnonzero((count[user_N] >= config.min_events) & (position >= config.first_position))


def _impressions_table(
    log: _Log, event: np.ndarray, other: np.ndarray, ads: pa.Table, config: ExposureConfig
) -> pa.Table:
    shown_PK = np.column_stack([event, other])
    position_PK = _shuffled_positions(log.event_ids.take(pa.array(event)), shown_PK, config.seed)
    order = np.lexsort((position_PK.ravel(), np.repeat(event, shown_PK.shape[1])))
    order = order[shown_PK.ravel()[order] >= 0]
    request, position, shown = order // shown_PK.shape[1], position_PK.ravel()[order], shown_PK.ravel()[order]
    click = order % shown_PK.shape[1] == 0
    request_id = pc.binary_join_element_wise("r", log.event_ids, "-").take(pa.array(event[request]))
    ad = log.item_N[shown]
    bought_us = _conversion_times(log, event, config)[request]
    conversion = click & (bought_us >= 0)
    bid, cost = _bids_and_costs(ads, request_id, ad, config)
    columns = {
        "impression_id": pc.binary_join_element_wise(request_id, pc.cast(pa.array(position), pa.string()), "-"),
        "request_id": request_id,
        "user_id": log.user_ids.take(pa.array(log.user_N[event[request]])),
        "ad_id": log.item_ids.take(pa.array(ad)),
        "request_time": pa.array(log.time_us_N[event[request]], TIMESTAMP),
        "position": pa.array(position, pa.int32()),
        "propensity": pa.nulls(len(order), pa.float64()),
        "device": pa.nulls(len(order), pa.string()),
        "region": pa.nulls(len(order), pa.string()),
        "bid": bid,
        "cost": cost,
        "click": click,
        "conversion": conversion,
        "conversion_time": pa.array(bought_us, TIMESTAMP, mask=~conversion),
        "revenue": np.where(conversion, ads["price"].to_numpy()[ad], 0.0),
    }
    return pa.table(columns, schema=IMPRESSIONS.schema_of(columns))


def _shuffled_positions(event_ids: pa.Array, shown_PK: np.ndarray, seed: int) -> np.ndarray:
    """A random order of each request's rows, by a stable hash of its event; what is missing comes last."""
    slot_K = mix64(np.arange(1, shown_PK.shape[1] + 1, dtype=np.uint64))
    draw_PK = hash_uniform(mix64(hash_ids(event_ids).astype(np.uint64))[:, None] + slot_K, seed, _ORDER_SALT)
    return np.where(shown_PK >= 0, draw_PK, 2.0).argsort(axis=1).argsort(axis=1)


def _conversion_times(log: _Log, event: np.ndarray, config: ExposureConfig) -> np.ndarray:
    """Time of the user's first purchase in the event's category, at the event or within the window; -1 for none."""
    group_N = log.user_N * len(log.category_ids) + log.category_N
    time_rank_N = np.unique(log.time_us_N, return_inverse=True)[1]
    key_N = np.unique(group_N, return_inverse=True)[1] * len(group_N) + time_rank_N
    bought = np.flatnonzero(log.purchase_N)
    bought = bought[np.argsort(key_N[bought], kind="stable")]
    following = np.searchsorted(key_N[bought], key_N[event])
    first = np.append(bought, 0)[following]
    window_us = int(config.conversion_window_days * DAY_US)
    within = log.time_us_N[first] <= log.time_us_N[event] + window_us
    found = (following < len(bought)) & (group_N[first] == group_N[event]) & within
    return np.where(found, log.time_us_N[first], -1)


def _ads_table(log: _Log, config: ExposureConfig) -> pa.Table:
    items, first = np.unique(log.item_N, return_index=True)
    category_I = log.category_N[first[np.argsort(items)]]
    item_key_I = hash_ids(log.item_ids)
    campaign_C = hash_ids(log.category_ids).astype(np.uint64) % np.uint64(config.campaigns)
    campaigns = pc.binary_join_element_wise("m", pc.cast(pa.array(campaign_C), pa.string()), "")
    columns = {
        "ad_id": log.item_ids,
        "item_id": log.item_ids,
        "campaign_id": campaigns.take(pa.array(category_I)),
        "category": log.category_ids.take(pa.array(category_I)),
        "bid": 30 * 10 ** hash_uniform(item_key_I, config.seed, _DEFAULT_BID_SALT) * config.cost_scale,
        "price": np.where(np.isnan(log.price_I), _drawn_prices(log, category_I, item_key_I, config), log.price_I),
    }
    return pa.table(columns, schema=ADS.schema_of(columns))


def _drawn_prices(log: _Log, category_I: np.ndarray, item_key_I: np.ndarray, config: ExposureConfig) -> np.ndarray:
    """REES46's price law by category rank, drawn by a stable hash of the item."""
    count_C = np.bincount(log.category_N, minlength=len(log.category_ids))
    rank_C = np.empty(len(count_C), dtype=int)
    rank_C[np.lexsort((hash_ids(log.category_ids), -count_C))] = np.arange(len(count_C))
    median_I, log_sd_I = category_prices(len(count_C))[rank_C[category_I]].T
    radius_I = np.sqrt(-2 * np.log1p(-hash_uniform(item_key_I, config.seed, _PRICE_SALT)))
    normal_I = radius_I * np.cos(2 * np.pi * hash_uniform(item_key_I, config.seed, _SPREAD_SALT))
    return np.round(median_I * np.exp(log_sd_I * np.clip(normal_I, -2.5, 2.5)), 2)


def _bids_and_costs(
    ads: pa.Table, request_id: pa.Array, ad: np.ndarray, config: ExposureConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Bids around the ad's default and second prices below them, by a stable hash of (request, ad)."""
    pair = hash_ids(request_id) ^ mix64(hash_ids(ads["ad_id"]).astype(np.uint64)).astype(np.int64)[ad]
    default_fen = ads["bid"].to_numpy()[ad] / config.cost_scale
    factor = np.exp(0.5 * (hash_uniform(pair, config.seed, _BID_SALT) - 0.5))
    bid_fen = np.clip(default_fen * factor, 12, 300)
    cost_fen = sample_price_fen(bid_fen, hash_uniform(pair, config.seed, _COST_SALT))
    return bid_fen * config.cost_scale, cost_fen * config.cost_scale
