"""Own counters, offline and live: equal bit for bit, in both stores, however records come."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import ParityError
from rosa_ray.features import RecordKind, dense_names
from rosa_ray.features.counting import counted_views, dense_views
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.own_counters import said_columns
from rosa_ray.parity.features import Delivery, LoggedRequests, ParityReport, check_parity
from rosa_ray.parity.live_path import LivePath
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.parity.replay import RankingRequests
from rosa_ray.parity.told_columns import with_told
from rosa_ray.serving.request_counters import asked_columns
from rosa_ray.store import StoreConfig
from tests.own_counters import FEATURES, TOLD_FEATURES, OwnWorld, own_world, things_told
from tests.redis_server import redis_server
from tests.synthetic import ads_table

CONTEXT = 64


@pytest.fixture(scope="module")
def own() -> OwnWorld:
    return own_world()


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[StoreConfig]:
    if kind == "sqlite":
        yield StoreConfig(path=str(folder / "store.db"), max_timeline_events=400)
        return
    with redis_server() as server:
        yield StoreConfig(kind="redis", url=server.url, max_timeline_events=400)


def compare(
    own: OwnWorld, folder: Path, store: StoreConfig, said: tuple[str, ...], shuffle: int | None, kill: int
) -> tuple[ParityReport, int]:
    log = RecordedLog.of(own.events, own.impressions, counted=said)
    requests = LoggedRequests(own.rows, CONTEXT, asked_columns(FEATURES))
    delivery = Delivery(chunk_records=97, chunk_us=store.horizon_us // 2, shuffle_seed=shuffle)
    with LivePath(folder, store, own.state, LiveCatalogue(ads_table()), CONTEXT, kill) as live:
        report = check_parity(log, requests, delivery, live.deliver, live.answer, dense_names(FEATURES))
        assert not live.metrics.refused
        return report, live.restarts


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@pytest.mark.parametrize(("shuffle", "kill"), [(None, 0), (5, 4)])
def test_live_readings_are_those_of_the_log(
    own: OwnWorld, tmp_path: Path, kind: str, shuffle: int | None, kill: int
) -> None:
    said = said_columns(counted_views(FEATURES))
    assert said == ("request.place", "request.page", "device", "region")
    with store_of(kind, tmp_path) as store:
        report, restarts = compare(own, tmp_path, store, said, shuffle, kill)
    assert report.impressions == own.impressions.num_rows
    assert (restarts > 0) == (kill > 0)


def test_feedback_that_does_not_say_the_place_counts_at_none(own: OwnWorld, tmp_path: Path) -> None:
    store = StoreConfig(path=str(tmp_path / "store.db"), max_timeline_events=400)
    with pytest.raises(ParityError, match=r"feature 'impressions\(ad_id,request.place\)\.\w+\.log1p_impressions'"):
        compare(own, tmp_path, store, ("request.page", "device", "region"), None, 0)


def test_a_replay_says_in_a_record_what_counters_need_and_in_a_ranking_what_a_request_knows() -> None:
    own, said = own_world(TOLD_FEATURES), said_columns(counted_views(TOLD_FEATURES))
    told = with_told(own.impressions, ads_table(), things_told(), TOLD_FEATURES.columns, said)
    log = RecordedLog.of(own.events, told, counted=said)
    requests = RankingRequests.of(log)
    columns = [set(requests.body(index)["context"].get("columns", {})) for index in range(len(requests))]
    assert set.union(*columns) == {"place", "page"}
    for kind in (RecordKind.IMPRESSION, RecordKind.CLICK, RecordKind.CONVERSION):
        at = int(np.flatnonzero(log.kind == kind)[0])
        record = json.loads(log.lines(at, at + 1)[0])
        assert record["columns"] == {
            name.removeprefix("request."): told[name][int(log.row[at])].as_py() for name in said[:-1]
        }
        assert record["region"] == told["region"][int(log.row[at])].as_py()
        assert ("device" in record) == (kind == RecordKind.IMPRESSION)
    plain = RecordedLog.of(own.events, own.impressions)
    at = int(np.flatnonzero(plain.kind == RecordKind.CLICK)[0])
    assert {"columns", "device", "region"}.isdisjoint(json.loads(plain.lines(at, at + 1)[0]))


def test_columns_of_users_items_and_ads_are_counted_by_as_of_each_request(tmp_path: Path) -> None:
    """Live, feedback says them, and the lookup knows those of a ranking."""
    own, things, said = own_world(TOLD_FEATURES), things_told(), said_columns(counted_views(TOLD_FEATURES))
    assert said == ("user.band", "ad.kind", "item.brand", "request.place", "region")
    assert asked_columns(TOLD_FEATURES) == ("request.place", "region_key")
    columns = TOLD_FEATURES.columns
    told = with_told(own.impressions, ads_table(), things, columns, said)
    log = RecordedLog.of(own.events, told, things, columns, said)
    requests = LoggedRequests(own.rows, CONTEXT, asked_columns(TOLD_FEATURES))
    store = StoreConfig(path=str(tmp_path / "store.db"), max_timeline_events=400, dedup_horizon_days=20)
    delivery = Delivery(chunk_records=97, chunk_us=store.horizon_us // 2, shuffle_seed=5)
    with LivePath(tmp_path, store, own.state, LiveCatalogue(ads_table()), CONTEXT, 4) as live:
        report = check_parity(log, requests, delivery, live.deliver, live.answer, dense_names(TOLD_FEATURES))
        assert not live.metrics.refused
    assert report.impressions == own.impressions.num_rows
    for view in dense_views(TOLD_FEATURES)[1:]:
        assert len(own.counters[view.name].bucket) > 100, view.name
