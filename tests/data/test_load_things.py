"""What materialisation writes of users, items and ads; and states of a history with shared columns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rosa_ray.data.materialize import load_things
from rosa_ray.data.own_join import ID_COLUMNS, read_static, table_paths
from rosa_ray.data.user_encoding import UserEncoder, state_block, with_events
from rosa_ray.features import counting_fingerprint
from rosa_ray.features.held_versions import HeldVersions
from rosa_ray.features.own import of_prefix
from rosa_ray.features.versions import Versions
from rosa_ray.run_dir import DataDir
from rosa_ray.schema.own_columns import AD, ITEM, USER
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.messages import EncodeQuery
from rosa_ray.serving.model import load_model
from rosa_ray.store import StoreConfig, StoreVersion, open_store
from tests.synthetic import DAYS, START_US
from tests.things_world import COLUMNS, CONFIG, ThingsWorld, make_world


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> ThingsWorld:
    return make_world(tmp_path_factory.mktemp("things"))


def test_all_versions_are_in_the_store(things: ThingsWorld, tmp_path: Path) -> None:
    layout, version = DataDir(str(tmp_path)), StoreVersion(counting_fingerprint(CONFIG), START_US)
    users = things.things[USER].sort_by("user_id")
    (tmp_path / "users_table").mkdir()
    whose = np.array(users["user_id"].to_pylist()) < "u4"
    for part, mask in enumerate((whose, ~whose)):
        pq.write_table(users.filter(mask), layout.users_table(part))
    pq.write_table(things.things[ITEM], layout.items)
    pq.write_table(things.things[AD], layout.ads)
    store = open_store(StoreConfig(path=str(tmp_path / "s.db")), CONFIG, create=True)
    store.begin_load(version, "m", 8)
    load_things(store, version, {prefix: table_paths(layout, prefix) for prefix in (USER, ITEM, AD)}, COLUMNS)
    store.activate(version, "m")
    for prefix, table in things.things.items():
        versions = Versions.of(table, ID_COLUMNS[prefix], of_prefix(prefix, COLUMNS))
        keys = np.unique(versions.key)
        held = HeldVersions(prefix, COLUMNS)
        numbers = held.add(store.read_columns(prefix, keys))
        for time_us in START_US + np.arange(-2, DAYS + 2) * 86_400_000_000:
            when = np.full(len(keys), time_us)
            for name, values in versions.read(keys, when).items():
                assert held.read(numbers, when)[name].tobytes() == values.tobytes(), name
    assert len(store.read_user(int(versions.key[0])).columns) == 0  # an ad is no user
    store.close()


def test_static_columns_are_read_of_all_users_though_a_partition_says_no_times(
    things: ThingsWorld, tmp_path: Path
) -> None:
    layout, users = DataDir(str(tmp_path)), things.things[USER]
    (tmp_path / "users_table").mkdir()
    undated = users.slice(0, 3).drop_columns("valid_from")
    for part, table in enumerate((undated, users.slice(3))):
        pq.write_table(table, layout.users_table(part))
    read = read_static(layout, COLUMNS)
    assert list(read) == [USER]
    assert len(read[USER]) == users.num_rows


def test_stored_states_are_those_of_the_history_with_its_shared_columns(things: ThingsWorld) -> None:
    model, rows = load_model(things.bundle), things.rows
    ids = np.array([f"e{row}" for row in range(len(rows.events["time_us"]))], object)
    encoder = UserEncoder(model.ranker, model.features, model.context_events, START_US, START_US)
    table = replace(rows, event_id=ids).to_table()
    assert set(encoder.columns) <= set(table.column_names)
    assert "event_item.brand" in encoder.columns
    found = state_block(with_events(encoder(table.select(list(encoder.columns)))), model.window)
    assert found is not None
    live, compared = Encoder(model), 0
    for place, user in enumerate(found.user_key.tolist()):
        at = int(np.flatnonzero(rows.user_key == user)[0])
        span = slice(rows.event_offsets[at], rows.event_offsets[at + 1])
        events = {name: values[span] for name, values in rows.events.items()}
        states = found.states[found.state_offsets[place] : found.state_offsets[place + 1]]
        np.testing.assert_allclose(live.encode_now(EncodeQuery(user, events)).states, states, atol=1e-5)
        other = {**events, "item.brand": np.roll(events["item.brand"], 1) + 1}
        compared += not np.allclose(live.encode_now(EncodeQuery(user, other)).states, states, atol=1e-5)
    assert compared == len(found.user_key)
