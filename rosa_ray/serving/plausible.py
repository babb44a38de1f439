"""What cannot be: counts below zero, behaviours that do not exist, scores of nothing. It is read as missing, and said.

Damaged pages of a store may still unpack into numbers. None of them may fail a request, or move a score unsaid.
"""

from dataclasses import replace

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import Counters, CounterStates, FeatureConfig
from rosa_ray.features.views import view_named
from rosa_ray.serving.messages import Features
from rosa_ray.store import UserRecord

LATEST_US = 1 << 53
"""Times are between 1970 and the year 2255."""

MOST = 1 << 53
"""A sum of counts or of money in micro-units is below this."""


def plausible_user(record: UserRecord, config: FeatureConfig) -> tuple[UserRecord, tuple[str, ...]]:
    """The record of a user, less what cannot be.

    Returns:
        The record, and what of it was left out: `timeline`, `states` or the name of a view.
    """
    odd, behaviors = list[str](), len(config.behaviors)
    timeline, states = record.timeline, record.states
    if not _is_timeline(timeline, behaviors):
        odd.append("timeline")
        timeline = {name: values[:0] for name, values in timeline.items()}
    if states is not None and not (
        _is_timeline(states.events, behaviors)
        and states.states.ndim == 2
        and len(states.states) == len(states.events["time_us"])
        and bool(np.isfinite(states.states).all())
    ):
        odd.append("states")
        states = None
    counters, views = plausible_counters(record.counters)
    if not odd and not views:
        return record, ()
    return replace(record, timeline=timeline, states=states, counters=counters), (*odd, *views)


def plausible_counters(states: CounterStates) -> tuple[CounterStates, dict[str, np.ndarray]]:
    """Counters without the entities that hold an impossible sum, and the keys of these by view."""
    odd = {name: found for name, counters in states.items() if len(found := _odd_entities(name, counters))}
    if not odd:
        return states, {}
    return {name: _without(counters, odd[name]) if name in odd else counters for name, counters in states.items()}, odd


def plausible_features(features: Features, bid: np.ndarray) -> tuple[Features, bool]:
    """Features without infinite values and with costs that can be, and whether anything was replaced."""
    infinite = np.isinf(features.dense)
    wrong_cost = ~(np.isfinite(features.expected_cost) & (features.expected_cost >= 0))
    if not infinite.any() and not wrong_cost.any():
        return features, False
    dense = np.where(infinite, np.float32(np.nan), features.dense)
    return replace(features, dense=dense, expected_cost=np.where(wrong_cost, bid, features.expected_cost)), True


def _is_timeline(events: Columns, behaviors: int) -> bool:
    time_us, behavior = events["time_us"], events["behavior"]
    if any(len(values) != len(time_us) for values in events.values()):
        return False
    in_order = bool((time_us[1:] >= time_us[:-1]).all())
    known = bool(((behavior >= 0) & (behavior < behaviors)).all())
    return in_order and known and bool(((time_us >= 0) & (time_us < LATEST_US)).all())


def _odd_entities(name: str, counters: Counters) -> np.ndarray:
    sums, view = counters.sums, view_named(name)
    least = np.zeros(sums.shape[1], np.int64)
    if view and view.log == "impressions":
        # What was paid may be given back, so that sums of money may be below zero.
        least[[measure.endswith("micros") for measure in view.measures]] = -MOST
    if not len(sums) or ((sums.min(axis=0) >= least).all() and sums.max() < MOST):
        return np.empty(0, np.int64)
    wrong = (sums < least).any(axis=1) | (sums >= MOST).any(axis=1)
    return np.unique(counters.entity_key[wrong])


def _without(counters: Counters, entity_key: np.ndarray) -> Counters:
    kept = ~np.isin(counters.entity_key, entity_key)
    return Counters(counters.entity_key[kept], counters.bucket[kept], counters.sums[kept])
