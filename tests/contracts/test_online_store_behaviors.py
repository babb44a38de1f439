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


def test_models_of_other_behaviours_count_the_same_records(open_: Open) -> None:
    """Codes of one model are not those of another: names decide, live and from the journal."""
    four = FeatureConfig(behaviors={"purchase": 0, "view": 1, "cart": 2, "wishlist": 3})
    keyed = keyed_events(events_table(np.random.default_rng(0), behaviors=FIVE.behavior_names), FIVE.behavior_names)
    records = event_records(keyed)
    first, second = open_(features=FIVE), open_(features=four, model="model-2")
    half = len(records["kind"]) // 2
    first.apply({name: values[:half] for name, values in records.items()})
    version = StoreVersion(counting_fingerprint(four), 0, "log")
    second.begin_load(version, "model-2", KEEP)
    second.activate(version, "model-2")
    first.apply({name: values[half:] for name, values in records.items()})
    known = np.isin(records["behavior"], [FIVE.behavior_names.index(name) for name in four.behavior_names])
    codes = np.array([four.behavior_names.index(FIVE.behavior_names[code]) for code in records["behavior"][known]])
    assert 0 < known.sum() < len(known)
    of_four = {**{name: values[known] for name, values in records.items()}, "behavior": codes.astype(np.int8)}
    for store, features, counted in ((first, FIVE, records), (second, four, of_four)):
        for view, expected in fold_events(counted, features).items():
            require_equal_counters(store.read_counters(view, np.unique(expected.entity_key))[view], expected)
