"""One request as the arrays that preprocessing writes for a user: its candidates, its timeline, and their features."""

from collections.abc import Iterable, Mapping

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import (
    EVENT_COLUMNS,
    IMPRESSION_COLUMNS,
    CounterStates,
    FeatureConfig,
    Split,
    UserRows,
    expected_cost,
    impression_columns,
    no_events,
    read_dense,
)
from rosa_ray.features.counting import dense_views, key_columns, read_views
from rosa_ray.features.views import View
from rosa_ray.schema import hash_id
from rosa_ray.serving.messages import FeatureQuery, Features, OfflineStates
from rosa_ray.serving.own_columns import unknown_columns
from rosa_ray.store import UserRecord


def candidate_columns(
    ads: Columns,
    bid: np.ndarray,
    expected_cost: np.ndarray,
    time_us: int,
    device: str | None,
    region: str | None,
    own: Columns | None = None,
) -> dict[str, np.ndarray]:
    """Impression columns of N candidates: ads as of the request with their bids. Labels read 0.

    Args:
        ads: `CATALOGUE_KEYS` and price, (N,) each.
        own: declared columns of the candidates, as user rows hold them.
    """
    count = len(bid)
    columns = impression_columns(
        time_us=np.full(count, time_us),
        split=np.full(count, Split.POLICY),
        ad_key=ads["ad_key"],
        item_key=ads["item_key"],
        category_key=ads["category_key"],
        campaign_key=ads["campaign_key"],
        device_key=np.full(count, hash_id(device)),
        region_key=np.full(count, hash_id(region)),
        bid=bid,
        price=ads["price"],
        expected_cost=expected_cost,
    )
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


def events_before(record: UserRecord, time_us: int, context_events: int) -> dict[str, np.ndarray]:
    """The last events of a user strictly before a moment, as many as the encoder can use."""
    past = record.timeline["time_us"] < time_us
    return {name: record.timeline[name][past][-context_events:] for name in EVENT_COLUMNS}


def features_at_request(
    query: FeatureQuery,
    record: UserRecord,
    events: Columns,
    blocks: Mapping[str, np.ndarray],
    cost_states: CounterStates,
    config: FeatureConfig,
) -> Features:
    """Put together what `rosa_ray.features.build_user_rows` would compute for the same moment.

    Args:
        events: from `events_before`, with the shared columns of their items.
        blocks: dense features of the candidates by view, of all views but users' own, from `blocks_of`.
        cost_states: counters to expect costs from.
    """
    shown = {**query.of_ads(), "bid": query.bid, "time_us": np.full(len(query.ad_key), query.time_us)}
    return Features(
        user_known=len(record.timeline["time_us"]) > 0
        or any(len(c.bucket) for c in record.counters.values())
        or len(record.columns) > 0,
        events=events,
        offline=_offline_states(record, query.time_us),
        dense=_interleave(config, {**blocks, **_read_user(record, query.time_us, config)}, len(query.ad_key)),
        expected_cost=expected_cost(cost_states, shown, config),
    )


def cold_start_features(query: FeatureQuery, config: FeatureConfig) -> Features:
    """Features of an unknown user and of ads never shown: what is left when nothing can be read."""
    count = len(query.ad_key)
    nothing = {name: np.zeros(count, np.int64) for name in key_columns(config)}
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
    views = [view for view in dense_views(config) if view.entity == "user_key"]
    return {view.name: read_views([view], record.counters, moment, config) for view in views}


def blocks_of(views: Iterable[View], dense: np.ndarray) -> dict[str, np.ndarray]:
    """Dense features (N, F) of some views, side by side, by view."""
    views = tuple(views)
    ends = np.cumsum([len(view.feature_names) for view in views])[:-1]
    names = [view.name for view in views]
    return dict(zip(names, np.split(dense, ends, axis=1), strict=True)) if views else {}


def _interleave(config: FeatureConfig, blocks: dict[str, np.ndarray], count: int) -> np.ndarray:
    """All views in order, float32 (N, F); what is the same for all candidates has one row."""
    found = [blocks[view.name] for view in dense_views(config)]
    columns = [np.broadcast_to(block, (count, block.shape[1])) for block in found]
    return np.concatenate(columns, axis=1) if columns else np.empty((count, 0), np.float32)
