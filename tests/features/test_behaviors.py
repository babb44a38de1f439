"""Behaviours of a team's own: their order is what counts, and features follow them offline as live."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.config import load_config
from rosa_ray.errors import ConfigError
from rosa_ray.features import (
    FeatureConfig,
    FeatureState,
    FitSums,
    dense_names,
    encode_users,
    event_records,
    fold_events,
    fold_records,
    keyed_events,
    read_dense,
)
from rosa_ray.features.config import behaviors_of, same_behaviors
from rosa_ray.features.state import read_feature_config
from rosa_ray.schema import EVENTS, hash_id
from rosa_ray.schema.own_columns import contract_with
from rosa_ray.units import HOUR_US
from tests.synthetic import BOUNDS, CONFIG, START_US, events_table, user_rows

FIVE = {"impression": 0, "view": 10, "wishlist": 20, "cart": 30, "purchase": 40}
CONFIG_OF_FIVE = replace(CONFIG, behaviors=FIVE)
NAMES = CONFIG_OF_FIVE.behavior_names


def test_the_order_of_strength_gives_the_codes() -> None:
    shuffled = FeatureConfig(behaviors={"order": 9, "glance": -3, "save": 2})
    assert shuffled.behavior_names == ("glance", "save", "order")
    table = events_table(np.random.default_rng(0), behaviors=shuffled.behavior_names)
    keyed = keyed_events(table, shuffled.behavior_names)
    said = {row["event_id"]: row["behavior"] for row in table.to_pylist()}
    names = [shuffled.behavior_names[code] for code in keyed["behavior"]]
    assert names == [said[event_id] for event_id in keyed["event_id"]]


@pytest.mark.parametrize(
    ("behaviors", "message"),
    [
        ({}, "name at least one"),
        ({"a": 0, "b": 0}, "each must have a strength of its own"),
        ({" a": 0}, "each name must be a text without blanks around it"),
        ({"": 0}, "each name must be a text without blanks around it"),
        ({f"b{number}": number for number in range(33)}, "name at most 32"),
    ],
)
def test_impossible_behaviours_are_refused_in_one_line(behaviors: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        FeatureConfig(behaviors=behaviors)
    assert "features.behaviors" in str(error.value)
    assert "\n" not in str(error.value)


def test_one_behaviour_and_thirty_two_of_them_do() -> None:
    assert FeatureConfig(behaviors={"seen": 5}).behavior_names == ("seen",)
    assert len(FeatureConfig(behaviors={f"b{number:02}": number for number in range(32)}).behavior_names) == 32


def test_a_config_file_names_them_instead_of_the_default_ones(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "features: {behaviors: {look: 0, 7: 1, order: 2}}\nsource: {behaviors: {buy: order}}\n"
    )
    config = load_config(tmp_path / "run.yaml")
    assert config.features.behavior_names == ("look", "7", "order")
    assert config.source.behaviors == {"buy": "order"}


def test_a_value_that_is_mapped_to_none_of_them_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("features: {behaviors: {look: 0, order: 2}}\nsource: {behaviors: {pv: view}}\n")
    with pytest.raises(ConfigError, match=r"source.behaviors.pv is 'view'; it is one of look, order"):
        load_config(tmp_path / "run.yaml")


def test_the_events_contract_takes_the_configured_names_alone() -> None:
    contract = contract_with("events", (), NAMES)
    table = events_table(np.random.default_rng(0), behaviors=NAMES)
    assert contract.check(table, "log")[0].num_rows == table.num_rows
    kept, (violation,) = EVENTS.check(table, "log")
    strange = sum(name in ("impression", "wishlist") for name in table["behavior"].to_pylist())
    assert (kept.num_rows, violation.rows) == (table.num_rows - strange, strange)
    assert "are none of view, click, cart, purchase" in str(violation)
    assert contract_with("events", ()).fingerprint == EVENTS.fingerprint != contract.fingerprint


def test_the_default_ones_keep_definition_and_fingerprint_however_they_are_written() -> None:
    written = replace(CONFIG, behaviors={"purchase": 9, "view": 1, "cart": 5, "click": 2})
    assert "behaviors" not in CONFIG.definition()
    assert written.definition() == CONFIG.definition()
    assert behaviors_of(CONFIG.definition()) == ("view", "click", "cart", "purchase")
    state = FeatureState.fit([FitSums.of(user_rows(), BOUNDS.valid_us)], CONFIG)
    assert replace(state, config=written).fingerprint == state.fingerprint
    assert int(state.fingerprint, 16) == 0x52AA632F56371805
    renamed = replace(CONFIG, behaviors={"look": 0, "click": 1, "cart": 2, "purchase": 3})
    turned = replace(CONFIG, behaviors={"click": 0, "view": 1, "cart": 2, "purchase": 3})
    assert len({replace(state, config=config).fingerprint for config in (CONFIG, renamed, turned)}) == 3


def test_a_saved_state_knows_its_behaviours(tmp_path: Path) -> None:
    state = FeatureState.fit(
        [FitSums.of(user_rows(config=CONFIG_OF_FIVE, behaviors=NAMES), BOUNDS.valid_us)], CONFIG_OF_FIVE
    )
    state.save(tmp_path)
    loaded = FeatureState.load(tmp_path)
    assert (loaded.fingerprint, loaded.config.behavior_names) == (state.fingerprint, NAMES)
    assert read_feature_config(tmp_path).behavior_names == NAMES
    assert state.table_sizes["behaviors"] == 5


def test_every_behaviour_is_counted_by_itself() -> None:
    """Of one user: a wishlist and two views in closed hours of the last day, and a purchase before."""
    names = dense_names(replace(CONFIG_OF_FIVE, views=("user_events",)))
    assert names[:5] == tuple(f"user_events.24h.log1p_{name}" for name in NAMES)
    when = START_US + np.array([-30, -3, -3, -2]) * HOUR_US
    events = {
        "user_key": np.full(4, hash_id("u")),
        "item_key": np.full(4, 1),
        "category_key": np.full(4, 2),
        "time_us": when,
        "behavior": np.array([4, 1, 1, 2], np.int8),
    }
    config = replace(CONFIG_OF_FIVE, views=("user_events",))
    asked = {"user_key": np.array([hash_id("u")]), "time_us": np.array([START_US + HOUR_US])}
    (read,) = np.expm1(read_dense(fold_events(events, config), asked, config))
    counts = dict(zip(names, read.round().tolist(), strict=True))
    assert [counts[f"user_events.24h.log1p_{name}"] for name in NAMES] == [0, 2, 1, 0, 0]
    assert [counts[f"user_events.168h.log1p_{name}"] for name in NAMES] == [0, 2, 1, 0, 1]


def test_live_records_count_what_the_log_counts_bit_for_bit() -> None:
    keyed = keyed_events(events_table(np.random.default_rng(4), behaviors=NAMES), NAMES)
    log, live = fold_events(keyed, CONFIG_OF_FIVE), fold_records(event_records(keyed), CONFIG_OF_FIVE)
    for view, counters in log.items():
        assert counters.sums.shape[1] == 5
        for part in ("entity_key", "bucket", "sums"):
            assert getattr(counters, part).tobytes() == getattr(live[view], part).tobytes(), (view, part)


def test_a_log_of_the_default_names_has_the_same_features_among_more_behaviours() -> None:
    """The code of `cart` is another, its counts are the same."""
    five = replace(CONFIG, behaviors={"view": 0, "click": 1, "share": 2, "cart": 3, "purchase": 4})
    plain, more = user_rows(), user_rows(config=five)
    found = dict(zip(dense_names(five), more.dense.T, strict=True))
    for name, column in zip(dense_names(CONFIG), plain.dense.T, strict=True):
        np.testing.assert_array_equal(found[name], column, err_msg=name)
    assert sorted(set(more.events["behavior"].tolist())) == [0, 1, 3, 4]


def test_user_rows_encode_the_codes() -> None:
    rows = user_rows(config=CONFIG_OF_FIVE, behaviors=NAMES)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], CONFIG_OF_FIVE)
    assert sorted(set(encode_users(rows, state).events["behavior"].tolist())) == [0, 1, 2, 3, 4]


def test_other_behaviours_than_those_of_the_data_are_one_line() -> None:
    same_behaviors(NAMES, NAMES, "data has")
    with pytest.raises(ConfigError) as error:
        same_behaviors(NAMES, ("view", "order"), "runs/a was preprocessed with")
    assert str(error.value) == (
        "features.behaviors are impression, view, wishlist, cart, purchase; runs/a was preprocessed with view, order; "
        "name these, or preprocess and train again"
    )
