"""Counters in shards read the same as all of them in one."""

from pathlib import Path

import numpy as np
import pytest

from rosa_ray.data.counter_files import (
    combine_counters,
    counters_for_partition,
    merge_shard,
    read_counters_file,
    write_partition_counters,
)
from rosa_ray.data.join import own_shared_views, shared_keys
from rosa_ray.features import (
    Counters,
    CounterStates,
    fold_events,
    fold_impressions,
    keyed_events,
    merge_states,
    read_dense,
)
from rosa_ray.features.own_counters import is_of_ads
from rosa_ray.features.views import VIEWS
from tests.own_counters import FEATURES, own_world

PARTS = 3
ASKED = np.array([-5, 0, 2, 4])


def states(part: int, rng: np.random.Generator) -> CounterStates:
    """Random counters; users lie in their own partition, everything else anywhere."""
    drawn = {}
    for name in ("user_events", "item_events", "ad_impressions"):
        entity = rng.integers(-6, 6, 40)
        entity = entity * PARTS + part if name.startswith("user") else entity
        amounts = rng.integers(0, 9, (40, len(VIEWS[name].measures)))
        drawn[name] = Counters.fold(entity, rng.integers(0, 5, 40), amounts)
    return drawn


@pytest.fixture
def written(tmp_path: Path) -> tuple[list[CounterStates], list[str], list[str]]:
    rng = np.random.default_rng(3)
    by_part = [states(part, rng) for part in range(PARTS)]
    parts = [f"{tmp_path}/part-{part}.parquet" for part in range(PARTS)]
    shards = [f"{tmp_path}/shared-{shard}.parquet" for shard in range(PARTS)]
    for state, path in zip(by_part, parts, strict=True):
        write_partition_counters(state, path, PARTS)
    for shard, path in enumerate(shards):
        merge_shard(parts, shard, path, ASKED)
    return by_part, parts, shards


def equal(left: Counters, right: Counters) -> bool:
    names = ("entity_key", "bucket", "sums")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


def test_one_file_of_all_is_their_sum(written: tuple, tmp_path: Path) -> None:
    by_part, parts, shards = written
    rows = combine_counters(parts, shards, f"{tmp_path}/all.parquet")
    total, read = merge_states(*by_part), read_counters_file(f"{tmp_path}/all.parquet")
    assert read.keys() == total.keys()
    assert all(equal(read[name], total[name]) for name in total)
    assert rows == sum(len(counters.bucket) for counters in total.values())


def test_a_partition_reads_its_users_and_the_entities_it_asks_for(written: tuple) -> None:
    by_part, parts, shards = written
    total, asked = merge_states(*by_part), np.array([-5, 0, 4, 4])
    assert set(asked) < set(ASKED)
    for part, path in enumerate(parts):
        found = counters_for_partition(path, shards, asked)
        assert equal(found["user_events"], by_part[part]["user_events"])
        for name in ("item_events", "ad_impressions"):
            kept = np.isin(total[name].entity_key, asked)
            expected = Counters(total[name].entity_key[kept], total[name].bucket[kept], total[name].sums[kept])
            assert equal(found[name], expected)


def test_what_nobody_may_ask_for_is_in_the_shards_but_not_read(written: tuple) -> None:
    by_part, parts, shards = written
    total, everything = merge_states(*by_part), np.arange(-6, 6)
    for name in ("item_events", "ad_impressions"):
        assert set(total[name].entity_key) > set(ASKED)
        assert set(counters_for_partition(parts[0], shards, everything)[name].entity_key) == set(ASKED) & set(
            total[name].entity_key
        )


def test_partitions_without_rows(tmp_path: Path) -> None:
    nothing = {name: Counters.empty(len(VIEWS[name].measures)) for name in ("user_events", "item_events")}
    write_partition_counters(nothing, f"{tmp_path}/part", 1)
    assert merge_shard([f"{tmp_path}/part"], 0, f"{tmp_path}/shared", ASKED) == 0
    assert combine_counters([f"{tmp_path}/part"], [f"{tmp_path}/shared"], f"{tmp_path}/all") == 0
    assert counters_for_partition(f"{tmp_path}/part", [f"{tmp_path}/shared"], np.array([1])) == {}


def test_own_counters_are_read_by_any_entity_and_those_of_users_keep_their_owners(tmp_path: Path) -> None:
    whole = own_world()
    users = np.unique(np.r_[whole.shown["user_key"], keyed_events(whole.events)["user_key"]])
    mine = [users[part::PARTS] for part in range(PARTS)]
    parts = [f"{tmp_path}/part-{part}" for part in range(PARTS)]
    shards = [f"{tmp_path}/shared-{shard}" for shard in range(PARTS)]
    for keys, path in zip(mine, parts, strict=True):
        logs = (keyed_events(whole.events), whole.shown)
        events, shown = ({k: v[np.isin(log["user_key"], keys)] for k, v in log.items()} for log in logs)
        write_partition_counters(fold_events(events, FEATURES) | fold_impressions(shown, FEATURES), path, PARTS)
    shared = own_shared_views(FEATURES)
    whole_views = [view.name for view in shared if not is_of_ads(view)]
    for shard, path in enumerate(shards):
        merge_shard(parts, shard, path, shared_keys(whole.shown, filter(is_of_ads, shared)), whole_views)
    asked = shared_keys(whole.shown, shared)
    for keys, path in zip(mine, parts, strict=True):
        shown = {name: values[np.isin(whole.shown["user_key"], keys)] for name, values in whole.shown.items()}
        found = counters_for_partition(path, shards, asked)
        direct = read_dense(whole.counters, shown, FEATURES)
        assert read_dense(found, shown, FEATURES).tobytes() == direct.tobytes()
    combine_counters(parts, shards, f"{tmp_path}/all")
    together = read_counters_file(f"{tmp_path}/all")
    assert {name for name in together if together[name].owner_key is not None} == {
        "impressions(user_id,item_id)",
        "events(user_id,category)",
    }
    for name, counters in together.items():
        assert equal(counters, whole.counters[name])
        assert np.array_equal(counters.owner_key, whole.counters[name].owner_key)
