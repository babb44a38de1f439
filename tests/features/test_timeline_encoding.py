"""One user's timeline tail is encoded exactly as within the whole timeline."""

import numpy as np

from rosa_ray.features import FeatureConfig, FeatureState, encode_timeline
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.units import HOUR_US, SECOND_US

STATE = FeatureState(
    config=FeatureConfig(utc_offset_hours=8),
    vocabularies={name: Vocabulary(np.array([10, 20]), 4) for name in ("item", "category")},
    dense_mean=np.empty(0),
    dense_scale=np.empty(0),
    log_money_mean=np.zeros(2),
    log_money_scale=np.ones(2),
    totals={},
)


def timeline(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "time_us": np.cumsum(rng.integers(1, 10**6, count)) * SECOND_US,
        "item_key": rng.choice([10, 20, 33, 0], count),
        "category_key": rng.choice([10, 20], count),
        "behavior": rng.integers(0, 4, count).astype(np.int8),
        "price": np.ones(count, np.float32),
    }


def test_a_tail_with_one_event_more_is_encoded_exactly() -> None:
    events = timeline(40)
    whole = encode_timeline(events, STATE, keep=40)
    tail = encode_timeline({name: values[-11:] for name, values in events.items()}, STATE, keep=10)
    for name, values in whole.items():
        assert values.dtype == np.int64
        np.testing.assert_array_equal(tail[name], values[-10:])
    assert whole["gap"][0] == 0 < tail["gap"][0]


def test_values_by_hand() -> None:
    events = {name: values[:2] for name, values in timeline(2).items()}
    events["time_us"] = np.array([16 * HOUR_US, 16 * HOUR_US + 3 * SECOND_US])
    events["item_key"] = np.array([20, 0])
    encoded = encode_timeline(events, STATE, keep=5)
    assert encoded["item"].tolist() == [6, 0]
    assert encoded["gap"].tolist() == [0, 3]
    assert encoded["hour"].tolist() == [0, 0]
    assert encoded["weekday"].tolist() == [4, 4]


def test_no_events() -> None:
    encoded = encode_timeline({name: values[:0] for name, values in timeline(1).items()}, STATE, keep=5)
    assert {len(values) for values in encoded.values()} == {0}
