"""Stores count as many behaviours as a team has, also in its own counters."""

import numpy as np

from rosa_ray.features import (
    FeatureConfig,
    concat_records,
    counting_fingerprint,
    event_records,
    fold_events,
    keyed_events,
)
from rosa_ray.features.own_counters import CounterConfig
from rosa_ray.features.records import take_records
from rosa_ray.store import StoreVersion
from tests.contracts.stores import KEEP, Open, require_equal_counters
from tests.synthetic import events_table

FIVE = FeatureConfig(
    behaviors={"impression": 0, "view": 1, "wishlist": 2, "cart": 3, "purchase": 4},
    counters=(CounterConfig(of="events", by=("user_id", "category"), windows_h=(24,)),),
)


def test_counters_of_five_behaviours_are_those_of_one_pass(open_: Open) -> None:
    keyed = keyed_events(events_table(np.random.default_rng(0), behaviors=FIVE.behavior_names), FIVE.behavior_names)
    records, store = event_records(keyed), open_(features=FIVE)
    order = np.random.default_rng(1).permutation(len(records["time_us"]))
    for part in np.array_split(order, 3):
        store.apply(concat_records([{name: values[part] for name, values in records.items()}]))
    folded = fold_events(keyed, FIVE)
    assert "events(user_id,category)" in folded
    for view, expected in folded.items():
        assert expected.sums.shape[1] == 5
        require_equal_counters(store.read_counters(view, np.unique(expected.entity_key))[view], expected)
        assert store.read_counters(view, np.array([12345]))[view].sums.shape == (0, 5)
    assert store.read_user(int(keyed["user_key"][0])).counters["user_events"].sums.shape[1] == 5


OTHERS = FeatureConfig(behaviors={"purchase": 0, "look": 3, "view": 5})
"""Some of the same behaviours by other codes, and one more."""


def test_a_generation_takes_the_behaviours_it_knows_by_its_own_codes(open_: Open) -> None:
    keyed = keyed_events(events_table(np.random.default_rng(0), behaviors=FIVE.behavior_names), FIVE.behavior_names)
    records, store = event_records(keyed), open_(features=FIVE)
    other, version = open_(features=OTHERS, model="other"), StoreVersion(counting_fingerprint(OTHERS), 0, "log")
    halves = np.array_split(np.random.default_rng(1).permutation(len(records["time_us"])), 2)
    first, second = (take_records(records, half) for half in halves)
    store.apply(first)
    other.begin_load(version, "other", KEEP)
    replayed = other.activate(version, "other")
    names = np.array(FIVE.behavior_names)[records["behavior"]]
    assert replayed.accepted == np.isin(names[halves[0]], OTHERS.behavior_names).sum()
    assert store.apply(second).accepted == len(halves[1])
    known = np.isin(names, OTHERS.behavior_names)
    codes = np.array([OTHERS.behavior_names.index(name) for name in names[known]], np.int8)
    expected = fold_events({**take_records(records, np.flatnonzero(known)), "behavior": codes}, OTHERS)
    for view, counters in expected.items():
        require_equal_counters(other.read_counters(view, np.unique(counters.entity_key))[view], counters)
    for view, counters in fold_events(keyed, FIVE).items():
        require_equal_counters(store.read_counters(view, np.unique(counters.entity_key))[view], counters)
    timeline = other.read_user(int(records["user_key"][np.flatnonzero(known)[0]])).timeline
    code_of = dict(zip(records["record_id"][known].tolist(), codes.tolist(), strict=True))
    assert timeline["behavior"].tolist() == [code_of[event] for event in timeline["event_id"].tolist()]
