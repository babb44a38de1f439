from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import ConfigError, ContractError, InputError
from rosa_ray.schema import CONTRACTS
from rosa_ray.schema.own_columns import OwnColumn
from rosa_ray.schema.pseudonyms import Pseudonyms
from rosa_ray.sources import SourceConfig, open_source, source_kinds

MAP = {"events": {"event_id": "#row", "user_id": "uid", "item_id": "sku", "behavior": "type", "event_time": "ts"}}


def read_checked(config):
    source = open_source(config)
    tables = {}
    for file in source.files():
        contract = CONTRACTS[file.contract_name]
        for batch in source.read(file):
            tables.setdefault(contract.name, []).append(contract.check(batch.table, file.path)[0])
    return {name: pa.concat_tables(parts) for name, parts in tables.items()}


def test_kinds_are_found_by_module():
    assert [kind for kind in source_kinds() if kind in ("csv", "log", "parquet", "taobao")] == [
        "csv",
        "log",
        "parquet",
        "taobao",
    ]


def test_unknown_kind_names_the_known():
    with pytest.raises(ConfigError, match=r"source\.kind is 'tsv'; it must be one of .*csv, .*log, "):
        open_source(SourceConfig(kind="tsv"))


def test_csv_with_a_column_map_unit_and_value_map(tmp_path):
    (tmp_path / "a.csv").write_text("uid,sku,type,ts,price\n1,x,pv,1500000000123,2.5\n2,y,cart,1500000000124,\n")
    config = SourceConfig(kind="csv", events=f"{tmp_path}/*.csv", columns=MAP, time_unit="ms", behaviors={"pv": "view"})
    events = read_checked(config)["events"].to_pylist()
    assert [event["behavior"] for event in events] == ["view", "cart"]
    assert events[0]["event_time"] == datetime(2017, 7, 14, 2, 40, 0, 123_000, tzinfo=UTC)
    assert [event["price"] for event in events] == [2.5, None]
    assert [event["event_id"] for event in events] == ["a-000000000000", "a-000000000001"]


def test_parquet_reads_several_contracts_and_casts_ids(tmp_path):
    pq.write_table(
        pa.table(
            {
                "uid": [7],
                "sku": [8],
                "type": pa.array(["view"]).dictionary_encode(),
                "ts": pa.array([1_500_000_000_000_000], pa.timestamp("us", "UTC")),
            }
        ),
        tmp_path / "events.parquet",
    )
    pq.write_table(
        pa.table({"ad_id": ["a"], "campaign_id": ["c"], "category": [3], "bid": [1], "price": [2.0]}),
        tmp_path / "ads.parquet",
    )
    config = SourceConfig(
        kind="parquet", events=f"{tmp_path}/events.parquet", ads=f"{tmp_path}/ads.parquet", columns=MAP
    )
    tables = read_checked(config)
    assert tables["events"]["user_id"].to_pylist() == ["7"]
    known = {"ad_id": "a", "campaign_id": "c", "category": "3", "bid": 1.0, "price": 2.0}
    assert tables["ads"].to_pylist() == [known | {"item_id": None, "valid_from": None, "valid_until": None}]


def csv_events(tmp_path, when, **options):
    (tmp_path / "a.csv").write_text(f"uid,sku,type,ts\n1,x,view,{when}\n")
    return read_checked(SourceConfig(kind="csv", events=str(tmp_path), columns=MAP, **options))["events"]


def test_times_with_an_offset_need_no_option(tmp_path):
    times = csv_events(tmp_path, "2017-07-14T10:40:00+08:00")["event_time"].to_pylist()
    assert times == [datetime(2017, 7, 14, 2, 40, tzinfo=UTC)]


def test_times_without_zone_are_refused_unless_one_is_stated(tmp_path):
    with pytest.raises(
        ContractError, match=r"a\.csv: column 'event_time': .* row 1, '2017-07-14 10:40:00'; source\.time_z"
    ):
        csv_events(tmp_path, "2017-07-14 10:40:00")
    times = csv_events(tmp_path, "2017-07-14 10:40:00", time_zone="Asia/Shanghai")["event_time"].to_pylist()
    assert times == [datetime(2017, 7, 14, 2, 40, tzinfo=UTC)]
    with pytest.raises(ContractError, match=r"a\.csv: column 'event_time': 1 of 1 values are no times in ISO 8601"):
        csv_events(tmp_path, "noon", time_zone="UTC")


def test_integer_times_are_refused_without_a_unit(tmp_path):
    pq.write_table(
        pa.table({"uid": ["1"], "sku": ["x"], "type": ["view"], "ts": [1_500_000_000]}), tmp_path / "a.parquet"
    )
    with pytest.raises(ContractError, match="no time unit"):
        read_checked(SourceConfig(kind="parquet", events=str(tmp_path), columns=MAP))


def test_mapped_column_that_is_missing(tmp_path):
    (tmp_path / "a.csv").write_text("uid,type,ts\n1,view,2017-07-14T10:40:00Z\n")
    with pytest.raises(ContractError, match=r"a\.csv: column 'sku' is missing; found columns uid, type, ts"):
        read_checked(SourceConfig(kind="csv", events=str(tmp_path), columns=MAP))


def test_foreign_parquet_lacks_contract_columns(tmp_path):
    pq.write_table(pa.table({"weather": ["rain"]}), tmp_path / "a.parquet")
    with pytest.raises(ContractError, match=r"a\.parquet: column 'event_id' is missing"):
        read_checked(SourceConfig(kind="parquet", events=str(tmp_path)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give at least one"),
        ({"path": "/logs"}, "no source.path"),
        ({"events": "e", "time_unit": "minutes"}, "time_unit is 'minutes'; it must be one of '', s, ms"),
        ({"events": "e", "time_zone": "Mars"}, "time_zone 'Mars'"),
        ({"events": "e", "columns": {"shops": {}}}, "source.columns.shops"),
        ({"events": "e", "columns": {"events": {"user": "uid"}}}, "source.columns.events.user"),
        ({"events": "e", "time_unit": {"shops": "ms"}}, "source.time_unit.shops is in no contract; known are events"),
        ({"events": "e", "decimal": {"events.cost": ","}}, "source.decimal.events.cost is in no contract"),
        ({"events": "e", "time_unit": {"events": "h"}}, "time_unit.events is 'h'"),
        ({"events": "e", "time_format": "%d/%m"}, "source.time_format '%d/%m' cannot be read: it needs %Y, %m and %d"),
        ({"events": "e", "time_format": "%Q"}, "%Q is unknown; known are %Y"),
        ({"events": "e", "time_format": "%d%d%m%Y"}, "%d is there twice"),
        ({"events": "e", "encoding": "klingon"}, "source.encoding 'klingon' is unknown"),
        ({"events": "e", "delimiter": "||"}, r"source.delimiter '\|\|' is not one character"),
        ({"events": "e", "delimiter": {"events.price": ";"}}, "it is a setting of the whole table"),
        ({"events": "e", "header": {"shops": ["a"]}}, "source.header.shops"),
        ({"events": "e", "header": {"events": []}}, "header.events is .*at least one"),
        ({"events": "e", "thousands": "."}, "source.thousands of .* is '.', the decimal sign too"),
        ({"events": "e", "values": {"events": {"size": {}}}}, "source.values.events.size"),
        ({"events": "e", "values": {"events": {"price": {"a": {"b": 1}}}}}, "source.values.events.price maps a value"),
        (
            {"events": "e", "columns": {"events": {"price": "#row"}}},
            "source.columns.events.price is '#row', which makes ids",
        ),
        (
            {"events": "e", "columns": {"events": {"price": "=cheap"}}},
            "source.columns.events.price: 'cheap' is no double",
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        open_source(SourceConfig(kind="csv", **options))


def test_log_reads_its_directories_and_never_the_truth(tmp_path):
    for name in ("events", "impressions", "ads", "truth"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"x": [1]}), tmp_path / name / "part-0.parquet")
    (tmp_path / "log.json").write_text("{}")
    source = open_source(SourceConfig(kind="log", path=f"{tmp_path}/"))
    assert [(file.contract_name, file.name) for file in source.files()] == [
        ("events", "part-0.parquet"),
        ("impressions", "part-0.parquet"),
        ("ads", "part-0.parquet"),
    ]


def test_log_names_the_missing_directory(tmp_path):
    (tmp_path / "events").mkdir()
    with pytest.raises(InputError, match="no directory 'impressions'"):
        open_source(SourceConfig(path=str(tmp_path))).files()


def test_user_ids_may_become_pseudonyms_as_they_are_read(tmp_path):
    ids = ["ann", None, "bob"]
    when = pa.array([1_500_000_000] * 3, pa.timestamp("s", "UTC"))
    events = {"user_id": ids, "event_id": ["1", "2", "3"], "item_id": ["x"] * 3, "behavior": ["view"] * 3}
    pq.write_table(pa.table(events | {"event_time": when}), tmp_path / "events.parquet")
    ads = {"ad_id": ["ann"], "campaign_id": ["c"], "category": ["x"], "bid": [1.0], "price": [1.0]}
    pq.write_table(pa.table(ads), tmp_path / "ads.parquet")
    where = {"events": str(tmp_path / "events.parquet"), "ads": str(tmp_path / "ads.parquet")}
    pseudonyms = Pseudonyms(b"0123456789abcdef")
    source = open_source(SourceConfig(kind="parquet", **where), pseudonyms)
    tables = {file.contract_name: next(iter(source.read(file))).table for file in source.files()}
    assert tables["events"]["user_id"].to_pylist() == [pseudonyms.of("ann"), None, pseudonyms.of("bob")]
    assert tables["events"]["event_id"].to_pylist() == ["1", "2", "3"]
    assert tables["ads"]["ad_id"].to_pylist() == ["ann"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_declared_column_may_be_called_otherwise_in_the_file(tmp_path, kind):
    (tmp_path / "shown.csv").write_text("impression_id,slot_name\nm1,top\n")
    columns = {"impressions": {"request.placement": "slot_name"}}
    config = SourceConfig(kind=kind, impressions=f"{tmp_path}/shown.csv", columns=columns)
    source = open_source(config, own=(OwnColumn("request.placement", "category"),))
    assert source.own == (OwnColumn("request.placement", "category"),)
    with pytest.raises(ConfigError, match=r"request\.placement is not declared; add it to features\.columns"):
        open_source(config)
