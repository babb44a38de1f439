"""What is known of declared columns is counted, so that tables that never meet are noticed."""

import numpy as np

from rosa_ray.data.own_coverage import coverage_of, sum_coverage
from rosa_ray.features.own import ColumnConfig
from rosa_ray.schema import hash_id

CONFIGS = {
    "user.age_band": ColumnConfig(),
    "user.interests": ColumnConfig(type="categories", most=2),
    "user.spent": ColumnConfig(type="number", fill=0.0),
    "user.city": ColumnConfig(fill="nowhere"),
    "user.taste": ColumnConfig(type="vector", size=2),
    "item.image": ColumnConfig(type="vector", size=2),
}
ROWS = {
    "time_us": np.arange(4),
    "user_key": np.array([1, 1, 2, 0]),
    "item_key": np.array([7, 8, 9, 7]),
    "user.age_band": np.array([5, 5, 0, 0]),
    "user.interests": np.array([[5, 6], [5, 0], [5, 0], [0, 0]]),
    "user.spent": np.array([1.5, 0.0, np.nan, 0.0]),
    "user.city": np.array([hash_id("nowhere"), 3, 0, 4]),
    "user.taste": np.array([[1, 2], [np.nan, np.nan], [0, 0], [3, 4]], np.float32),
}
THINGS = {"user.": np.array([1, 5]), "item.": np.array([9])}


def test_values_and_known_things_are_counted():
    found = coverage_of(ROWS, CONFIGS, THINGS, {"item.image": np.array([7])})
    assert found == {
        "impressions": 4,
        "unknown": {"user": 2, "item": 3},
        "known": {
            "user.age_band": 2,
            "user.interests": 3,
            "user.spent": 1,
            "user.city": 2,
            "user.taste": 3,
            "item.image": 2,
        },
    }


def test_partitions_are_summed():
    one = coverage_of(ROWS, CONFIGS, THINGS)
    both = sum_coverage([one, one])
    assert (both.of, both.unknown["item"], both.known["user.age_band"]) == (8, 6, 4)
    assert sum_coverage([]).shares == sum_coverage([]).warnings == []


def test_tables_that_never_meet_and_columns_without_a_value_are_told():
    nobody = sum_coverage([coverage_of(ROWS, {"user.age_band": ColumnConfig()}, {"user.": np.array([77])})])
    assert [str(share) for share in nobody.shares] == [
        "0 of 4 impressions have a user of the table users; are ids written alike in users and impressions?"
    ]
    late = {**ROWS, "user.age_band": np.zeros(4, np.int64)}
    empty = sum_coverage([coverage_of(late, {"user.age_band": ColumnConfig()}, {"user.": np.array([1])})])
    assert [share.hint for share in empty.shares] == [""]
    assert len(empty.warnings) == 1
    assert empty.warnings[0].startswith("user.age_band: no impression has a value")
