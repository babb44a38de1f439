"""Store files of earlier versions of the program are taken over, and nothing in them is lost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig, concat_records, counting_fingerprint
from rosa_ray.schema import hash_id
from rosa_ray.store import OnlineStore, StoreConfig, StreamPosition, open_store
from rosa_ray.units import DAY_US, HOUR_US
from tests.contracts.stores import FEATURES, KEEP, MODEL, T0, VERSION, columns_of, load, require_one_pass, state_block
from tests.store.schema_five import write_former

LOG = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0), ("e3", "bob", T0)]
LIVE = [("l1", "ann", T0 - HOUR_US // 2), ("l2", "cid", T0 + HOUR_US)]
AFTER = [("a1", "ann", T0 + 2 * HOUR_US)]
FINER = FeatureConfig(bucket_minutes=15)


def open_at(path: Path, model: str = MODEL, features: FeatureConfig = FEATURES, *, create: bool = False) -> OnlineStore:
    return open_store(StoreConfig(path=str(path), max_timeline_events=KEEP), features, model, create=create)


@pytest.fixture(params=[3, 4, 5])
def former(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A loaded store with live records."""
    store = open_at(tmp_path / "today.db", create=True)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    store.apply(columns_of(LIVE), [StreamPosition("events-0", 17)])
    store.close()
    write_former(tmp_path / "today.db", tmp_path / "s.db", request.param, columns_of(LOG + LIVE))
    return tmp_path / "s.db"


def test_a_store_of_a_version_before_is_taken_over_by_its_model(former: Path) -> None:
    for _ in range(2):
        store = open_at(former)
        info = store.info()
        assert (info.model_version, info.version.source, info.journal_records) == (MODEL, "log-1", len(LIVE))
        assert store.read_position("events-0") == 17
        require_one_pass(store, LOG + LIVE)
        states = [store.read_user(hash_id(user)).states for user in ("ann", "bob")]
        assert [state and state.stale for state in states] == [True, False]
        assert states[0] is not None
        np.testing.assert_array_equal(states[0].states, state_block(LOG, "ann").states)
        assert store.apply(columns_of(LOG + LIVE)).duplicates == len(LOG + LIVE)
        store.close()
    store = open_at(former)
    assert store.apply(columns_of(AFTER)).accepted == 1
    require_one_pass(store, LOG + LIVE + AFTER)
    store.close()


def test_another_model_loads_beside_what_waits_for_its_own(former: Path) -> None:
    other = open_at(former, "model-2", FINER, create=True)
    with pytest.raises(StoreError, match=f"holds no version .* serve one that it holds: {MODEL}"):
        other.info()
    version = replace(VERSION, counting_fingerprint=counting_fingerprint(FINER), source="log-2")
    load(other, LOG, version, "model-2", FINER)
    assert other.activate(version, "model-2").accepted == len(LIVE)
    other.apply(columns_of(AFTER))
    require_one_pass(other, LOG + LIVE + AFTER, features=FINER)
    own = open_at(former)
    require_one_pass(own, LOG + LIVE + AFTER)
    own.apply(columns_of([("b1", "bob", T0 + 3 * HOUR_US)]))
    for store, features in ((own, FEATURES), (other, FINER)):
        require_one_pass(store, [*LOG, *LIVE, *AFTER, ("b1", "bob", T0 + 3 * HOUR_US)], features=features)
        assert store.info().journal_records == len(LIVE) + len(AFTER) + 1
        store.close()


def test_a_new_load_takes_the_live_records_of_a_former_store(former: Path) -> None:
    store, version = open_at(former), replace(VERSION, source="log-2")
    load(store, LOG + LIVE[:1], version)
    replayed = store.activate(version, MODEL)
    assert (replayed.accepted, replayed.duplicates) == (1, 1)
    require_one_pass(store, LOG + LIVE)
    assert [one.version.source for one in store.info().held] == ["log-2"]
    store.close()


def test_lateness_goes_on_where_it_was(tmp_path: Path) -> None:
    today = open_at(tmp_path / "today.db", create=True)
    today.apply(columns_of([("e1", "ann", T0)]))
    today.close()
    write_former(tmp_path / "today.db", tmp_path / "s.db", 3, columns_of([("e1", "ann", T0)]))
    store = open_at(tmp_path / "s.db")
    sent = [(name, "ann", T0 + days * DAY_US) for name, days in (("n", 30), ("o", -8), ("g", 9))]
    assert [store.apply(columns_of([row])).late for row in sent] == [0, 1, 0]
    assert store.apply(concat_records([columns_of([row]) for row in sent[::2]])).duplicates == 2
    store.close()


def test_tools_are_told_whose_a_former_store_is(former: Path) -> None:
    config = StoreConfig(path=str(former), max_timeline_events=KEEP)
    with pytest.raises(StoreError, match=f"filled by an earlier version .* taken over: {MODEL}"):
        open_store(config, None).info()
    assert open_store(config, None).forget_user(hash_id("ann"))
    store = open_at(former)
    assert not store.read_user(hash_id("ann")).known
    assert store.read_user(hash_id("bob")).known
    store.close()
