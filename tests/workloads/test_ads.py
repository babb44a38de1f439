"""`rosa ads`: what live records told of ads becomes a table from which training reads prices as of each request."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import workloads.cli as cli
from rosa_ray.data.catalogue import read_versions
from rosa_ray.errors import EXIT_PARTIAL
from rosa_ray.features import AdTable, keyed_impressions
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.records import RecordParser
from rosa_ray.schema import ADS, IMPRESSIONS, hash_id
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.store.ad_feed import AdFeed
from tests.serving.conftest import World, world  # noqa: F401
from tests.synthetic import DAYS, START_US, ads_table
from tests.workloads.tiny_run import write_run

START = datetime.fromtimestamp(START_US / 1e6, UTC)


def rosa(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["ads", str(config), *arguments])


def at(days: float) -> str:
    return (START + timedelta(days=days)).isoformat()


NEW = {"type": "ad", "ad_id": "new", "campaign_id": "k9", "category": "c9", "bid": 0.5, "price": 40.0}
RECORDS = [
    {"type": "ad", "ad_id": "a1", "valid_from": at(2), "price": 500.0, "bid": 0.9},
    {"type": "ad", "ad_id": "a2", "valid_from": at(3), "paused": True, "budget": 100},
    NEW | {"valid_from": at(1)},
    {"type": "ad", "ad_id": "new", "valid_from": at(4), "price": 60.0, "campaign_id": "k10"},
]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Records of ads among others."""
    event = {"event_id": "e1", "user_id": "u1", "item_id": "i1", "behavior": "view", "event_time": at(1)}
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (event, *RECORDS)))
    return path


def test_records_of_a_file_become_versions_of_ads(world: World, tmp_path: Path, records: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    answer = rosa(config, "--out", str(tmp_path / "ads.parquet"), str(records))
    assert answer.exit_code == 0, answer.output
    assert "31 ads in 34 versions, from 30 rows of the source and 4 records of 3 ads" in answer.stdout
    rows = [row for row in pq.read_table(tmp_path / "ads.parquet").to_pylist() if row["ad_id"] in ("a1", "a2", "new")]
    days = [(row["ad_id"], row["valid_from"], row["valid_until"], row["price"]) for row in rows]
    first = {row["ad_id"]: row["price"] for row in ads_table().to_pylist()}
    assert days == [
        ("a1", None, None, first["a1"]),
        ("a1", START + timedelta(days=2), None, 500.0),
        ("a2", None, None, first["a2"]),
        ("a2", START + timedelta(days=3), START + timedelta(days=3), first["a2"]),
        ("new", START + timedelta(days=1), None, 40.0),
        ("new", START + timedelta(days=4), None, 60.0),
    ]


def test_the_store_gives_the_same_table_as_the_log(world: World, tmp_path: Path, records: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    assert rosa(config, "--out", str(tmp_path / "file.parquet"), str(records)).exit_code == 0
    ingested = CliRunner().invoke(cli.app, ["ingest", str(config), str(records)])
    assert ingested.exit_code == 0, ingested.output
    assert rosa(config, "--out", str(tmp_path / "store.parquet")).exit_code == 0
    assert pq.read_table(tmp_path / "store.parquet").equals(pq.read_table(tmp_path / "file.parquet"))


def test_a_table_made_again_from_itself_is_the_same(world: World, tmp_path: Path, records: Path) -> None:  # noqa: F811
    config, out = write_run(tmp_path, world), tmp_path / "log" / "ads" / "part-0.parquet"
    assert rosa(config, "--out", str(out), str(records)).exit_code == 0
    once = pq.read_table(out)
    assert rosa(config, "--out", str(out), str(records)).exit_code == 0
    assert pq.read_table(out).equals(once)


def test_an_ad_that_lacks_something_is_named_and_left_out(world: World, tmp_path: Path) -> None:  # noqa: F811
    config, half = write_run(tmp_path, world), tmp_path / "half.jsonl"
    wrong = {"type": "ad", "ad_id": "a1", "valid_from": at(1), "price": -1}
    half.write_text("\n".join(map(json.dumps, ({"type": "ad", "ad_id": "no", "valid_from": at(1), "price": 1}, wrong))))
    answer = rosa(config, "--out", str(tmp_path / "ads.parquet"), str(half))
    assert answer.exit_code == EXIT_PARTIAL
    assert "left out 1 ads without campaign_id, category, bid or price, such as 'no'" in answer.stdout
    assert f"the first is line 2 of {half}: price: needs a number above 0" in answer.stdout


def test_impressions_of_an_ad_that_changes_live_count_as_preprocessing_counts_them(
    world: World,  # noqa: F811
    tmp_path: Path,
    records: Path,
) -> None:
    """Added and repriced live: campaign, bid and price at every request are those of the table made of the records."""
    config = write_run(tmp_path, world)
    ingested = CliRunner().invoke(cli.app, ["ingest", str(config), str(records)])
    assert ingested.exit_code == 0, ingested.output
    assert rosa(config, "--out", str(tmp_path / "ads.parquet")).exit_code == 0
    checked, violations = ADS.check(pq.read_table(tmp_path / "ads.parquet"), "ads")
    assert violations == []
    offline = AdTable.from_table(read_versions(checked).table)
    live = LiveCatalogue(ads_table())
    store = open_store(StoreConfig(path=str(tmp_path / "store.db")), world.features.config)
    AdFeed(live).catch_up(store)
    store.close()
    shown = [
        {"type": "impression", "impression_id": f"{ad}-{day}", "user_id": "u1", "ad_id": ad, "request_time": at(day)}
        for ad in ("a1", "a2", "a3", "new")
        for day in np.linspace(0.5, DAYS, 12)
    ]
    parsed = RecordParser(live, features=world.features.config).parse_values(shown)
    logged = [{name: value for name, value in one.items() if name != "type"} | {"click": False} for one in shown]
    import pyarrow as pa

    table = pa.Table.from_pylist(
        [one | {"request_time": datetime.fromisoformat(str(one["request_time"]))} for one in logged]
    )
    impressions, unknown = keyed_impressions(IMPRESSIONS.check(table, "test")[0], offline)
    assert unknown == 0
    order = np.lexsort((parsed.columns["ad_key"], parsed.columns["time_us"]))
    rows = np.lexsort((impressions["ad_key"], impressions["time_us"]))
    for name in ("ad_key", "campaign_key", "bid"):
        assert parsed.columns[name][order].tobytes() == impressions[name][rows].tobytes(), name
    row, known = live.lookup(impressions["ad_key"], impressions["time_us"])
    assert known.all()
    for name in (*CATALOGUE_KEYS, "price"):
        assert getattr(live, name)[row].tobytes() == impressions[name].tobytes(), name
    prices = impressions["price"][impressions["ad_key"] == hash_id("new")]
    assert set(prices.tolist()) == {40.0, 60.0}
