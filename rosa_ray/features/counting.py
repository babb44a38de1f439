"""Logs counted into the views, and the dense features read from them.

Folding takes the rows of one log (events or impressions) as columns; reading gives one float32 column per feature, NaN
where a rate has no denominator (missing is not zero).
"""

from collections.abc import Iterable

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.counters import Buckets, Counters
from rosa_ray.features.own_counters import own_views
from rosa_ray.features.views import IMPRESSION_MEASURES, VIEWS, View, counting_behaviors
from rosa_ray.schema import BEHAVIORS, MISSING_KEY
from rosa_ray.units import MICROS_PER_UNIT

MAX_MICROS = 2**53
"""What one row may add to a sum of money: the largest whole number that float64 holds beside all smaller ones."""

CounterStates = dict[str, Counters]
"""One counter per view name."""


def buckets_of(config: FeatureConfig) -> Buckets:
    """The event-time grid that a configuration asks for."""
    return Buckets.of_minutes(config.bucket_minutes, config.settle_minutes)


def dense_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the dense feature columns, in the order of `read_dense`.

    >>> dense_names(FeatureConfig(views=("ad_impressions",)))[0]
    'ad_impressions.24h.log1p_impressions'
    """
    return tuple(name for view in dense_views(config) for name in view.feature_names)


def dense_views(config: FeatureConfig) -> tuple[View, ...]:
    """Views read as dense features, in order: those of `features.views`, then own counters."""
    return _counting((*(VIEWS[name] for name in config.views), *own_views(config.counters)), config)


def counted_views(config: FeatureConfig) -> tuple[View, ...]:
    """Views that must be kept: those read as features, and ads' and campaigns' costs for the expected cost."""
    names = dict.fromkeys((*config.views, "ad_impressions", "campaign_impressions"))
    return _counting((*(VIEWS[name] for name in names), *own_views(config.counters)), config)


def key_columns(config: FeatureConfig) -> tuple[str, ...]:
    """Key columns that counters are kept or read by."""
    return tuple(dict.fromkeys(name for view in counted_views(config) for name in view.key_columns))


def fold_events(events: Columns, config: FeatureConfig) -> CounterStates:
    """Count events (columns user_key, item_key, category_key, time_us, behavior), each once, into every event view."""
    amounts = np.eye(len(config.behaviors), dtype=np.int64)[events["behavior"]]
    bucket = buckets_of(config).of(events["time_us"])
    return {
        view.name: _fold_view(view, events, bucket, amounts) for view in counted_views(config) if view.log == "events"
    }


def merge_states(*states: CounterStates) -> CounterStates:
    """Sum several counter states view by view."""
    names = dict.fromkeys(name for state in states for name in state)
    return {name: _merge_one([state[name] for state in states if name in state]) for name in names}


def read_dense(states: CounterStates, requests: Columns, config: FeatureConfig) -> np.ndarray:
    """Dense features of n requests at their own times, float32 (n, F), NaN where missing.

    Args:
        requests: key columns user_key, item_key, category_key, ad_key, campaign_key, those of own counters, and
            time_us.
    """
    return read_views(dense_views(config), states, requests, config)


def read_views(views: Iterable[View], states: CounterStates, requests: Columns, config: FeatureConfig) -> np.ndarray:
    """Dense features of some views alone, as of `read_dense`."""
    last = buckets_of(config).last_closed(requests["time_us"])
    columns = [read_entities(view, states, view.keys(requests), last, config) for view in views]
    return np.concatenate(columns, axis=1) if columns else np.empty((len(last), 0), np.float32)


def read_entities(
    view: View, states: CounterStates, entity_key: np.ndarray, last_bucket: np.ndarray, config: FeatureConfig
) -> np.ndarray:
    """Dense features of one view for n entities, each up to its own bucket, float32 (n, F)."""
    windows = tuple(None if hours is None else hours * 60 // config.bucket_minutes for hours in view.windows_hours)
    sums = _state_of(states, view).read(entity_key, last_bucket, windows)
    if view.log == "events":
        return np.log1p(sums.reshape(len(last_bucket), len(view.feature_names)).astype(np.float64)).astype(np.float32)
    return _rates(sums / config.units_per_impression, config).astype(np.float32)


def window_start(view: View, last_bucket: int, config: FeatureConfig) -> int:
    """First bucket that the windows of a view need by itself; what came before is read as one sum.

    Without a window that ends, this is the bucket after the last.

    >>> window_start(VIEWS["ad_impressions"], 100, FeatureConfig())
    77
    """
    longest = max((hours or 0) * 60 // config.bucket_minutes for hours in view.windows_hours or (0,))
    return last_bucket + 1 - longest


def expected_cost(states: CounterStates, requests: Columns, config: FeatureConfig) -> np.ndarray:
    """Expected cost of showing an ad: its bid times the smoothed cost-to-bid ratio of the ad, then its campaign.

    A second-price auction charges less than the bid; by how much is learned from closed buckets. Without any record
    the ratio is 1.

    Returns:
        float64 (n,), currency units.
    """
    bid_micros = to_micros(requests["bid"]).astype(np.float64)
    last = buckets_of(config).last_closed(requests["time_us"])
    prior = config.prior_impressions * bid_micros
    ratio = np.ones(len(last))
    for name in ("campaign_impressions", "ad_impressions"):
        sums = _state_of(states, VIEWS[name]).read(requests[VIEWS[name].entity], last, (None,))[:, 0]
        paid = sums[:, IMPRESSION_MEASURES.index("cost_micros")]
        offered = sums[:, IMPRESSION_MEASURES.index("bid_micros")]
        # Bids that round to no millionth are no ground for another ratio.
        ratio = np.divide(paid + prior * ratio, offered + prior, out=ratio, where=offered + prior > 0)
    return requests["bid"].astype(np.float64) * ratio


def to_micros(amount: np.ndarray) -> np.ndarray:
    """Currency units to int64 micro-units, rounded half to even; at most `MAX_MICROS`.

    >>> to_micros(np.array([0.1, 1e13])).tolist()
    [100000, 9007199254740992]
    """
    return bounded_micros(np.asarray(amount, np.float64) * MICROS_PER_UNIT)


def bounded_micros(micros: np.ndarray) -> np.ndarray:
    """Micro-units as whole numbers, int64: a larger amount becomes `MAX_MICROS` instead of wrapping below zero."""
    bounded: np.ndarray = np.rint(np.clip(micros, -MAX_MICROS, MAX_MICROS)).astype(np.int64)
    return bounded


def _counting(views: tuple[View, ...], config: FeatureConfig) -> tuple[View, ...]:
    behaviors = config.behavior_names
    return views if behaviors == BEHAVIORS else tuple(counting_behaviors(view, behaviors) for view in views)


def _fold_view(view: View, events: Columns, bucket: np.ndarray, amounts: np.ndarray) -> Counters:
    keys = view.keys(events)
    if not view.parts:
        return Counters.fold(keys, bucket, amounts)
    known = keys != MISSING_KEY
    owner = events["user_key"][known] if view.has_owners else None
    return Counters.fold(keys[known], bucket[known], amounts[known], owner)


def _merge_one(parts: list[Counters]) -> Counters:
    return parts[0].merge(*parts[1:])


def _state_of(states: CounterStates, view: View) -> Counters:
    return states.get(view.name) or Counters.empty(len(view.measures))


def _rates(sums: np.ndarray, config: FeatureConfig) -> np.ndarray:
    shown, clicked, bought = sums[..., 0], sums[..., 1], sums[..., 2]
    strength = config.prior_impressions
    ctr = (clicked + strength * config.prior_ctr) / (shown + strength)
    cvr = (bought + strength * config.prior_ctr * config.prior_cvr) / (clicked + strength * config.prior_ctr)
    log_ctr = np.where(shown > 0, np.log(ctr), np.nan)
    log_cvr = np.where(clicked > 0, np.log(cvr), np.nan)
    return np.stack([np.log1p(shown), log_ctr, log_cvr], axis=-1).reshape(len(sums), 3 * sums.shape[1])
