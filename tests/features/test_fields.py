"""Token fields beside declared columns: crosses, the ad's id, the slot."""

import re
from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.features import FeatureConfig, FeatureState, FitSums, UserRows, encode_users
from rosa_ray.features.fields import field_keys, field_names
from rosa_ray.features.own import ColumnConfig
from rosa_ray.schema import MISSING_KEY
from rosa_ray.settings.compose import read
from tests.synthetic import BOUNDS, CONFIG, START_US, user_rows_of

PLACE, FLOOR, IMAGE = "request.place", "request.floor", "request.image"
COLUMNS = {PLACE: ColumnConfig(), FLOOR: ColumnConfig(type="number")}
CROSSES = ((PLACE, "ad.campaign_id"), (FLOOR, "hour", "weekday"))
ALL = replace(CONFIG, columns=COLUMNS, crosses=CROSSES, ad_id=True, position=True, serving_position=1)


def rows_of(slots: int = 4) -> UserRows:
    rng = np.random.default_rng(3)
    rows = user_rows_of(ALL, {})
    count = len(rows.impressions["time_us"])
    own = {
        PLACE: rng.integers(0, 3, count),
        FLOOR: np.where(rng.random(count) < 0.2, np.nan, rng.lognormal(size=count)),
    }
    return replace(
        rows, impressions={**rows.impressions, **own, "position": rng.integers(-1, slots, count).astype(np.int32)}
    )


def state_of(rows: UserRows, config: FeatureConfig = ALL) -> FeatureState:
    return FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config)


def shown(**columns: list[float]) -> dict[str, np.ndarray]:
    """Impression columns of which only the given ones are told apart."""
    count = len(next(iter(columns.values())))
    keys = ("ad_key", "item_key", "category_key", "campaign_key", "device_key", "region_key")
    rest = {name: np.ones(count, np.int64) for name in (*keys, PLACE)} | {FLOOR: np.ones(count)}
    rest |= {"time_us": np.full(count, START_US), "position": np.zeros(count, np.int32)}
    return rest | {name: np.array(values) for name, values in columns.items()}


def cross(parts: tuple[str, ...], columns: dict[str, np.ndarray]) -> list[int]:
    config = replace(CONFIG, columns=COLUMNS, crosses=(parts,))
    return field_keys(columns, config)["*".join(parts)].tolist()


def test_a_cross_tells_every_combination_of_its_parts_apart():
    keys = cross((PLACE, "campaign_id"), shown(campaign_key=[1, 1, 2, 2, 1], **{PLACE: [1, 2, 1, 2, 1]}))
    assert len(set(keys)) == 4
    assert keys[0] == keys[4]
    assert MISSING_KEY not in keys


def test_a_prefix_changes_no_token_and_the_order_of_parts_no_distinction():
    columns = shown(campaign_key=[1, 1, 2, 2], **{PLACE: [1, 2, 1, 2]})
    assert cross((PLACE, "campaign_id"), columns) == cross((PLACE, "ad.campaign_id"), columns)
    assert len(set(cross(("campaign_id", PLACE), columns))) == 4


def test_a_cross_that_lacks_a_part_is_missing():
    columns = shown(campaign_key=[MISSING_KEY, 1, 1], **{PLACE: [1, MISSING_KEY, 1], FLOOR: [1.0, 1.0, np.nan]})
    assert cross((PLACE, "campaign_id", FLOOR), columns) == [MISSING_KEY] * 3


def test_numbers_are_crossed_by_the_interval_that_they_lie_in():
    few, many, alike = cross((FLOOR, "device"), shown(**{FLOOR: [1.0, 1000.0, 1001.0]}))
    assert few != many == alike


def test_hours_and_weekdays_are_those_of_the_market():
    hour = 3_600_000_000
    config = replace(CONFIG, crosses=(("hour",), ("hour", "weekday")), utc_offset_hours=8)
    monday = 4 * 24 * hour
    times = {"time_us": [monday + 15 * hour, monday + 16 * hour, monday + 39 * hour]}
    keys = field_keys(shown(**times), config)
    hours, both = keys["hour"], keys["hour*weekday"]
    assert hours[0] != hours[1]
    assert hours[0] == hours[2]
    assert len(set(both.tolist())) == 3


def test_fields_follow_the_declared_columns_in_one_table():
    rows = rows_of()
    state = state_of(rows)
    names = field_names(ALL)
    assert names == (PLACE, FLOOR, "request.place*ad.campaign_id", "request.floor*hour*weekday", "ad_id", "position")
    own = encode_users(rows, state).impressions["own"]
    assert own.shape == (400, state.table_sizes["own_fields"]) == (400, len(names))
    start = 0
    for place, name in enumerate(names):
        size = state.vocabularies[name].size
        assert start <= own[:, place].min() <= own[:, place].max() < start + size
        start += size
    assert state.table_sizes["own"] == start


def test_vocabularies_know_the_training_period_alone():
    rows = rows_of()
    late = rows.impressions["time_us"] >= BOUNDS.valid_us
    moved = replace(rows, impressions={**rows.impressions, "ad_key": rows.impressions["ad_key"] + late})
    assert state_of(moved).fingerprint == state_of(rows).fingerprint


def test_a_scored_impression_stands_in_the_slot_that_is_agreed():
    rows = rows_of()
    state = state_of(rows)
    logged, scored = (encode_users(rows, state, slots).impressions["own"] for slots in (True, False))
    np.testing.assert_array_equal(logged[:, :-1], scored[:, :-1])
    known = logged[rows.impressions["position"] == 1, -1]
    assert set(scored[:, -1].tolist()) == set(known.tolist())
    assert len(set(logged[:, -1].tolist())) == 5


def test_nothing_is_encoded_where_no_field_is_asked_for():
    rows = rows_of()
    plain = replace(CONFIG, serving_position=1)
    state = state_of(rows, plain)
    assert "own" not in encode_users(rows, state).impressions
    assert not {"own", "own_fields"} & set(state.table_sizes)


def test_a_saved_state_has_its_fields(tmp_path):
    rows = rows_of()
    state = state_of(rows)
    state.save(tmp_path)
    loaded = FeatureState.load(tmp_path)
    assert loaded.config == ALL
    np.testing.assert_array_equal(
        encode_users(rows, loaded).impressions["own"], encode_users(rows, state).impressions["own"]
    )
    assert state_of(rows, replace(ALL, crosses=CROSSES[:1])).fingerprint != state.fingerprint


def test_a_slot_that_training_does_not_show_cannot_be_scored():
    rows = rows_of()
    with pytest.raises(InputError, match=r"serving_position is 9, .* hardly shows; take one of 0, 1, 2, 3$"):
        state_of(rows, replace(ALL, serving_position=9))
    with pytest.raises(InputError, match=r"features\.position cannot be learned: the training period says no slot"):
        state_of(rows_of(slots=0))


@pytest.mark.parametrize(
    ("crosses", "problem"),
    [
        ([[PLACE, "campaign"]], "'campaign' is neither a declared column nor one of ad_id, item_id, campaign_id"),
        ([[PLACE, "user_id"]], "a model must not know users by name; count by 'user_id' in features.counters"),
        ([[PLACE, IMAGE]], "'request.image' is of type vector; only category and number can be crossed"),
        ([["device", "request.device"]], "names one part twice"),
        ([[PLACE, "device"], ["request.device", PLACE]], "which is the same as 'request.place*device'"),
        ([[PLACE]], "'request.place', which has a vocabulary of its own"),
        ([["device"]], "'device', which has a vocabulary of its own"),
        ([[PLACE, PLACE]], "it must name each once"),
        ([["hour", "weekday", "device", "region", "ad_id"]], "it must name at most 4"),
    ],
)
def test_a_cross_that_cannot_be_is_refused(crosses, problem):
    columns = {PLACE: {"type": "category"}, IMAGE: {"type": "vector", "size": 2}}
    with pytest.raises(ConfigError, match=rf"features\.crosses.*{re.escape(problem)}"):
        read(FeatureConfig, {"columns": columns, "crosses": crosses})
