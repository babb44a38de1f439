"""Materialisation end to end: preprocessed files and a bundle to an active store."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rosa_ray.bundle import write_bundle
from rosa_ray.data.counter_files import counters_table
from rosa_ray.data.materialize import MaterializeConfig, encode_file, materialize
from rosa_ray.data.user_encoding import UserEncoder
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.features import EVENT_COLUMNS, FeatureConfig, FeatureState, encode_timeline, event_records, fold_events
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.models import build_ranker, ranker_settings
from rosa_ray.settings.plain import to_plain
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.units import MINUTE_US

T0 = 1_700_000_000_000_000
USERS, WINDOW = 40, 4
FEATURES = FeatureConfig(views=("user_events",), item_oov_buckets=4, oov_buckets=4)
RANKER = {"width": 8, "heads": 2, "layers": 1, "window": WINDOW, "match_window": WINDOW, "hidden": [8]}
RANKER["transitions"] = False  # they ask for more events than states need
BASE_RATES = {"ctr": 0.1, "cvr": 0.1, "log_value": 0.0, "revenue_per_cost": 1.0}


def make_events() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    user = np.sort(rng.integers(0, USERS, 400)) + 100
    time_us = T0 - rng.integers(0, 3000, 400) * MINUTE_US
    time_us = time_us[np.lexsort((time_us, user))]
    return {
        "user_key": user,
        "event_id": np.array([f"e{row:03d}" for row in range(400)], dtype=object),
        "time_us": time_us,
        "item_key": rng.integers(1, 30, 400),
        "category_key": rng.integers(1, 30, 400),
        "behavior": rng.integers(0, 4, 400).astype(np.int8),
        "price": np.full(400, np.nan, np.float32),
    }


def user_table(events: dict[str, np.ndarray], keys: np.ndarray) -> pa.Table:
    rows = [np.flatnonzero(events["user_key"] == key) for key in keys]
    columns = {"user_key": pa.array(keys), "event_id": [events["event_id"][row].tolist() for row in rows]}
    for name, type_ in EVENT_COLUMNS.items():
        columns[f"event_{name}"] = pa.array([events[name][row] for row in rows], pa.large_list(type_))
    for name in ("impression_key", "time_us", "split", "click", "conversion"):
        columns[f"impression_{name}"] = pa.array([[]] * len(rows), pa.large_list(pa.int64()))
    return pa.table(columns)


@pytest.fixture(scope="module")
def state() -> FeatureState:
    tables = ("item", "category", "campaign", "device", "region")
    return FeatureState(
        config=FEATURES,
        vocabularies={name: Vocabulary(np.arange(1, 20), 4) for name in tables},
        dense_mean=np.zeros(12),
        dense_scale=np.ones(12),
        log_money_mean=np.zeros(2),
        log_money_scale=np.ones(2),
        totals={},
    )


@pytest.fixture
def run(tmp_path: Path, state: FeatureState) -> Path:
    """A run directory with data/ and bundle/; user 999 has no events."""
    events = make_events()
    (tmp_path / "data" / "users").mkdir(parents=True)
    for part, keys in enumerate(np.array_split(np.r_[np.unique(events["user_key"]), 999], 3)):
        path = tmp_path / "data" / "users" / f"part-{part:05d}.parquet"
        pq.write_table(user_table(events, keys), path, write_page_checksum=True)
    pq.write_table(counters_table(fold_events(events, FEATURES)), tmp_path / "data" / "counters.parquet")
    spec = {"feature_config": asdict(FEATURES), "end_us": T0}
    (tmp_path / "data" / "spec.json").write_text(json.dumps(spec))
    write_run_bundle(tmp_path / "bundle", state)
    return tmp_path


def write_run_bundle(directory: Path, state: FeatureState, seed: int = 0) -> None:
    torch.manual_seed(seed)
    ranker = build_ranker("rosa", RANKER, state.table_sizes, BASE_RATES)
    config = to_plain(ranker_settings("rosa", RANKER).settings)
    write_bundle(
        directory,
        weights=ranker.state_dict(),
        model={"name": "rosa", "config": config, "sizes": state.table_sizes, "base_rates": BASE_RATES},
        features_saver=state.save,
        feature_fingerprint=state.fingerprint,
        metrics={},
        config={},
    )


def store_config(run: Path, max_timeline_events: int = 0) -> StoreConfig:
    return StoreConfig(path=str(run / "store.db"), states_dtype="float32", max_timeline_events=max_timeline_events)


@pytest.mark.integration
@pytest.mark.usefixtures("ray_cluster")
def test_the_store_holds_what_the_log_says(run: Path, state: FeatureState) -> None:
    rows: list[int] = []
    events, settings = make_events(), MaterializeConfig(users_per_block=7, users_per_batch=3, actors=1)
    result = materialize(str(run / "data"), str(run / "bundle"), store_config(run), settings, rows.append)
    keys = np.unique(events["user_key"])
    assert (result.users, sum(rows), result.resumed_files) == (len(keys), len(keys) + 1, 0)
    store = open_store(store_config(run), state.config, result.model_version)
    info = store.info()
    assert (info.version, info.newest_us, info.max_timeline_events) == (result.version, T0, 2 * WINDOW)
    torch.manual_seed(0)
    ranker = build_ranker("rosa", RANKER, state.table_sizes, BASE_RATES).eval()
    counters = fold_events(events, FEATURES)["user_events"]
    for key in keys:
        mine = {name: values[events["user_key"] == key] for name, values in events.items()}
        record = store.read_user(int(key))
        for name in [*EVENT_COLUMNS, "event_id"]:
            np.testing.assert_array_equal(record.timeline[name], mine[name][-(2 * WINDOW + 1) :])
        inputs = encode_timeline(mine, state, keep=1000)
        with torch.no_grad():
            whole = ranker.encode({name: torch.from_numpy(values)[None] for name, values in inputs.items()})[0]
        assert record.states is not None
        assert (record.states.event_id, record.count_since_states()) == (mine["event_id"][-1], 0)
        np.testing.assert_allclose(record.states.states, whole.numpy()[-WINDOW:], atol=1e-5)
        sums = record.counters["user_events"].sums.sum(0)
        np.testing.assert_array_equal(sums, counters.sums[counters.entity_key == key].sum(0))
    assert store.apply(event_records(events)).duplicates == len(events["time_us"])
    store.close()


class BrokenOff(Exception):
    """What ends a run in the middle."""


@pytest.mark.integration
@pytest.mark.usefixtures("ray_cluster")
def test_it_can_be_resumed_and_repeated(run: Path, state: FeatureState) -> None:
    settings = MaterializeConfig(users_per_block=100, actors=1)
    data, bundle = str(run / "data"), str(run / "bundle")
    seen: list[int] = []

    def stop_after_two(rows: int) -> None:
        seen.append(rows)
        if len(seen) == 2:
            raise BrokenOff

    with pytest.raises(BrokenOff):
        materialize(data, bundle, store_config(run), settings, stop_after_two)
    first = materialize(data, bundle, store_config(run), settings)
    assert (first.resumed_files, first.refit) == (2, False)
    store = open_store(store_config(run), state.config, first.model_version)
    before = store.read_user(110)
    second = materialize(data, bundle, store_config(run), settings)
    assert (second.version, second.users, second.resumed_files, second.refit) == (first.version, 0, 3, True)
    after = store.read_user(110)
    assert before.states is not None
    assert after.states is not None
    np.testing.assert_array_equal(before.states.states, after.states.states)
    np.testing.assert_array_equal(before.timeline["event_id"], after.timeline["event_id"])
    store.close()


@pytest.mark.integration
@pytest.mark.usefixtures("ray_cluster")
def test_a_refit_on_the_same_data_writes_its_states_alone(run: Path, state: FeatureState) -> None:
    settings, data = MaterializeConfig(actors=1), str(run / "data")
    first = materialize(data, str(run / "bundle"), store_config(run), settings)
    refit = replace(state, dense_mean=np.ones(12))
    write_run_bundle(run / "refit", refit, seed=1)
    second = materialize(data, str(run / "refit"), store_config(run), settings)
    assert (second.version, second.refit, second.users) == (first.version, True, first.users)
    assert second.model_version != first.model_version
    stores = [open_store(store_config(run), state.config, one.model_version) for one in (first, second)]
    records = [store.read_user(110) for store in stores]
    assert [record.model_version for record in records] == [first.model_version, second.model_version]
    states = [record.states.states for record in records if record.states is not None]
    assert len(states) == 2
    assert np.abs(states[0] - states[1]).max() > 0.01
    assert records[0].timeline["event_id"].tolist() == records[1].timeline["event_id"].tolist()
    (active, *rest) = stores[0].info().held
    assert (active.models, rest) == ((second.model_version, first.model_version), [])
    for store in stores:
        store.close()


@pytest.mark.integration
@pytest.mark.usefixtures("ray_cluster")
def test_a_damaged_file_is_named(run: Path) -> None:
    path = run / "data" / "users" / "part-00001.parquet"
    content = bytearray(path.read_bytes())
    content[60:120] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"part-00001\.parquet"):
        materialize(str(run / "data"), str(run / "bundle"), store_config(run), MaterializeConfig(actors=1))


def test_other_feature_settings_are_refused(run: Path) -> None:
    spec = {"feature_config": asdict(FEATURES) | {"bucket_minutes": 30}, "end_us": T0}
    (run / "data" / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(InputError, match=r"other settings of features\.bucket_minutes than the bundle's"):
        materialize(str(run / "data"), str(run / "bundle"), store_config(run))


def test_too_short_timelines_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_timeline_events is 5; model 'rosa' needs 8"):
        materialize(str(run / "data"), str(run / "bundle"), store_config(run, max_timeline_events=5))


def test_missing_data_is_named(run: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        materialize(str(run / "nowhere"), str(run / "bundle"), store_config(run))


def test_rows_without_event_ids_are_refused(tmp_path: Path, state: FeatureState) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(user_table(make_events(), np.array([110])).drop_columns("event_id"), path)
    encoder = UserEncoder(None, state, 8, T0, T0)
    with pytest.raises(InputError, match=r"part\.parquet: column 'event_id' is missing"):
        list(encode_file(encoder, str(path), 10))
