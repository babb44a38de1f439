"""One request as the arrays that preprocessing writes for a user: its candidates, its timeline, and their features."""

from dataclasses import replace
from functools import cache

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import (
    EVENT_COLUMNS,
    IMPRESSION_COLUMNS,
    VIEWS,
    CounterStates,
    FeatureConfig,
    Split,
    UserRows,
    expected_cost,
    read_dense,
    views_of,
)
from rosa_ray.schema import hash_id
from rosa_ray.serving.messages import FeatureQuery, Features, OfflineStates
from rosa_ray.serving.model import Catalogue
from rosa_ray.serving.own_columns import unknown_columns
from rosa_ray.store import UserRecord


def event_columns(**given: np.ndarray) -> dict[str, np.ndarray]:
    """Timeline columns of T events; those not given read 0.

    >>> event_columns(time_us=np.array([5]))["behavior"]
    array([0], dtype=int8)
    """
    count = len(given["time_us"])
    types = {name: type_.to_pandas_dtype() for name, type_ in EVENT_COLUMNS.items()}
    return {name: np.asarray(given.get(name, np.zeros(count)), types[name]) for name in EVENT_COLUMNS}


def no_events() -> dict[str, np.ndarray]:
    """The timeline of a user without history."""
    return event_columns(time_us=np.empty(0, np.int64))


def candidate_columns(
    catalogue: Catalogue,
    rows: np.ndarray,
    bid: np.ndarray,
    expected_cost: np.ndarray,
    time_us: int,
    device: str | None,
    region: str | None,
    own: Columns | None = None,
) -> dict[str, np.ndarray]:
    """Impression columns of N candidates: catalogue rows with their bids at one moment. Labels read 0.

    Args:
        own: declared columns of the candidates, as user rows hold them.
    """
    count = len(rows)
    ads = catalogue.table
    known = {
        "time_us": np.full(count, time_us),
        "split": np.full(count, Split.POLICY),
        "ad_key": ads.ad_key[rows],
        "item_key": ads.item_key[rows],
        "category_key": ads.category_key[rows],
        "campaign_key": ads.campaign_key[rows],
        "device_key": np.full(count, hash_id(device)),
        "region_key": np.full(count, hash_id(region)),
        "weight": np.ones(count),
        "conversion_weight": np.ones(count),
        "bid": bid,
        "price": ads.price[rows],
        "expected_cost": expected_cost,
    }
    types = {name: type_.to_pandas_dtype() for name, type_ in IMPRESSION_COLUMNS.items()}
    columns = {name: np.asarray(known.get(name, np.zeros(count)), types[name]) for name in IMPRESSION_COLUMNS}
    return columns | dict(own or {})


def one_user(
    user_key: int, events: Columns, candidates: Columns | None = None, dense: np.ndarray | None = None
) -> UserRows:
    """User rows of a single user; without candidates, of the timeline alone."""
    shown = candidates or {name: np.empty(0, type_.to_pandas_dtype()) for name, type_ in IMPRESSION_COLUMNS.items()}
    return UserRows(
        user_id=np.array([""], object),
        user_key=np.array([user_key]),
        event_offsets=np.array([0, len(events["time_us"])]),
        events=events,
        impression_offsets=np.array([0, len(shown["time_us"])]),
        impressions=shown,
        dense=np.empty((0, 0), np.float32) if dense is None else dense,
    )


def features_at_request(
    query: FeatureQuery,
    record: UserRecord,
    campaign_key: np.ndarray,
    ad_views: tuple[str, ...],
    ad_dense: np.ndarray,
    cost_states: CounterStates,
    config: FeatureConfig,
    context_events: int,
) -> Features:
    """Put together what `rosa_ray.features.build_user_rows` would compute for the same moment.

    Args:
        campaign_key: int64 (N,), of the candidates.
        ad_views: views that `ad_dense` (N, F) holds, in order.
        cost_states: counters to expect costs from.
        context_events: events of a timeline that the encoder can use.
    """
    shown = {
        "ad_key": query.ad_key,
        "campaign_key": campaign_key,
        "bid": query.bid,
        "time_us": np.full(len(query.ad_key), query.time_us),
    }
    past = record.timeline["time_us"] < query.time_us
    events = {name: record.timeline[name][past][-context_events:] for name in EVENT_COLUMNS}
    return Features(
        user_known=len(record.timeline["time_us"]) > 0
        or any(len(c.bucket) for c in record.counters.values())
        or len(record.columns) > 0,
        events=events,
        offline=_offline_states(record, query.time_us),
        dense=_interleave(config, ad_views, ad_dense, _read_user(record, query.time_us, config)),
        expected_cost=expected_cost(cost_states, shown, config),
    )


def cold_start_features(query: FeatureQuery, config: FeatureConfig) -> Features:
    """Features of an unknown user and of ads never shown: what is left when nothing can be read."""
    count = len(query.ad_key)
    entities = {VIEWS[view].entity for view in VIEWS}
    nothing = {name: np.zeros(count, np.int64) for name in entities}
    moment = {**nothing, "time_us": np.full(count, query.time_us), "bid": query.bid}
    own, shared = unknown_columns(config.columns, count, 0)
    return Features(
        user_known=False,
        events={**no_events(), **shared},
        offline=None,
        dense=read_dense({}, moment, config),
        expected_cost=expected_cost({}, moment, config),
        own=own,
    )


def _offline_states(record: UserRecord, time_us: int) -> OfflineStates | None:
    stored = record.states
    if stored is None or not len(stored.states):
        return None
    past = stored.events["time_us"] < time_us
    since = record.count_since_states()
    newer_us = record.timeline["time_us"][len(record.timeline["time_us"]) - since :]
    return OfflineStates(
        model_version=stored.model_version,
        events={name: values[past] for name, values in stored.events.items()},
        states=stored.states[past],
        stale=stored.stale,
        events_since=int((newer_us < time_us).sum()),
    )


def _read_user(record: UserRecord, time_us: int, config: FeatureConfig) -> dict[str, np.ndarray]:
    moment = {"user_key": np.array([record.user_key]), "time_us": np.array([time_us])}
    views = [view for view in config.views if VIEWS[view].entity == "user_key"]
    return {view: read_dense(record.counters, moment, _of_view(config, view)) for view in views}


def _interleave(
    config: FeatureConfig, ad_views: tuple[str, ...], ad_dense: np.ndarray, user_dense: dict[str, np.ndarray]
) -> np.ndarray:
    views = views_of(config)
    widths = [len(views[view].feature_names) for view in ad_views]
    blocks = dict(zip(ad_views, np.split(ad_dense, np.cumsum(widths)[:-1], axis=1), strict=True)) if ad_views else {}
    blocks |= {view: np.repeat(values, len(ad_dense), axis=0) for view, values in user_dense.items()}
    columns = [blocks[view] for view in config.views]
    return np.concatenate(columns, axis=1) if columns else np.empty((len(ad_dense), 0), np.float32)


@cache
def _of_view(config: FeatureConfig, view: str) -> FeatureConfig:
    """The same features of one view alone; settings are checked when they are built, which is not for every request."""
    return replace(config, views=(view,))
