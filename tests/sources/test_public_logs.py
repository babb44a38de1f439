"""Taobao UserBehavior and REES46: hand-made files, and the real samples where they lie."""

import gzip
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from rosa_ray.errors import ConfigError, ContractError, InputError
from rosa_ray.schema import EVENTS
from rosa_ray.sources import SourceConfig, open_source

REES46_HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"


def read_checked(kind, path):
    source = open_source(SourceConfig(kind=kind, path=str(path)))
    tables, violations = [], []
    for file in source.files():
        for batch in source.read(file):
            table, broken = EVENTS.check(batch.table, file.path)
            tables.append(table)
            violations += [*batch.rejected, *broken]
    return pa.concat_tables(tables), violations


def test_taobao_maps_behaviours_times_and_ids(tmp_path):
    path = tmp_path / "UserBehavior.csv"
    path.write_text(
        "1,10,100,pv,1511539200\n1,10,100,fav,1511539200\n2,11,101,cart,1512316799\n2,11,101,buy,1512000000\n"
    )
    events, violations = read_checked("taobao", path)
    assert events["behavior"].to_pylist() == ["view", "cart", "cart", "purchase"]
    assert events["event_time"][0].as_py() == datetime(2017, 11, 24, 16, tzinfo=UTC)
    assert events["event_id"].to_pylist() == [f"UserBehavior-{row:012d}" for row in range(4)]
    assert (events["user_id"][2].as_py(), events["item_id"][2].as_py(), events["category"][2].as_py()) == (
        "2",
        "11",
        "101",
    )
    assert events["price"].null_count == 4
    assert violations == []


def test_taobao_rows_outside_the_window_are_counted_and_keep_their_row_numbers(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text(
        "1,10,100,pv,1511539199\n1,10,100,pv,1512000000\n1,10,100,pv,1512316800\n1,10,100,sneeze,1512000001\n"
    )
    events, violations = read_checked("taobao", path)
    assert events["event_id"].to_pylist() == ["u-000000000001"]
    assert [(violation.column, violation.rows) for violation in violations] == [("event_time", 2), ("behavior", 1)]
    assert "2017-11-25 to 2017-12-03" in violations[0].reason


def test_taobao_refuses_times_that_are_no_integers(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text("1,10,100,pv,yesterday\n")
    with pytest.raises(ContractError, match=r"u\.csv: column 'event_time'"):
        read_checked("taobao", path)


def test_rees46_maps_its_columns(tmp_path):
    path = tmp_path / "2019-Oct.csv.gz"
    lines = (
        "2019-10-01 00:00:00 UTC,view,44,21,,shiseido,35.79,54,s\n"
        "2019-10-01 00:00:01 UTC,remove_from_cart,44,21,,shiseido,35.79,54,s\n"
        "2019-10-01 00:00:02 UTC,purchase,44,,,shiseido,nan,54,s\n"
        "2019-10-01 00:00:03 UTC,cart,44,,,shiseido,,54,s\n"
    )
    path.write_bytes(gzip.compress((REES46_HEADER + lines).encode()))
    events, violations = read_checked("rees46", path)
    assert events.to_pylist()[0] == {
        "event_id": "2019-Oct-000000000000",
        "user_id": "54",
        "item_id": "44",
        "behavior": "view",
        "event_time": datetime(2019, 10, 1, tzinfo=UTC),
        "category": "21",
        "price": 35.79,
    }
    assert events["behavior"].to_pylist() == ["view", "cart"]
    assert events.to_pylist()[1]["price"] is None
    assert [(v.column, v.rows, v.reason.split(",")[0]) for v in violations] == [
        ("behavior", 1, "are remove_from_cart"),
        ("price", 1, "are NaN"),
    ]


def test_rees46_missing_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("event_time,event_type\n2019-10-01 00:00:00 UTC,view\n")
    with pytest.raises(ContractError, match=r"a\.csv: column 'product_id' is missing; found columns event_time"):
        read_checked("rees46", path)


@pytest.mark.parametrize(("field", "bad"), [("2019-10-01 00:00:00 UTC", "2019-10-01 00:00:00"), ("35.79", "cheap")])
def test_rees46_wrong_type_names_the_column(tmp_path, field, bad):
    path = tmp_path / "a.csv"
    path.write_text(REES46_HEADER + "2019-10-01 00:00:00 UTC,view,44,21,,,35.79,54,s\n".replace(field, bad))
    with pytest.raises(ContractError, match=r"a\.csv: column '(event_time|price)'"):
        read_checked("rees46", path)


@pytest.mark.parametrize("kind", ["taobao", "rees46", "log"])
def test_named_sources_need_a_path(kind):
    with pytest.raises(ConfigError, match=r"source\.path is empty"):
        open_source(SourceConfig(kind=kind))


def test_real_taobao(shared_data):
    events, violations = read_checked("taobao", shared_data / "taobao" / "UserBehavior.csv.gz")
    rejected = sum(violation.rows for violation in violations)
    assert events.num_rows + rejected == 68_139
    assert 0 < rejected < 40
    assert pc.count_distinct(events["event_id"]).as_py() == events.num_rows
    assert 1_300 < pc.sum(pc.equal(events["behavior"], "purchase")).as_py() < 1_500


def test_real_rees46(shared_data):
    events, violations = read_checked("rees46", shared_data / "rees46")
    assert events.num_rows == 17_434
    assert [(violation.column, violation.rows) for violation in violations] == [("(row)", 1)]
    assert pc.min(events["price"]).as_py() >= 0


def test_each_sample_is_foreign_to_the_other_source(shared_data):
    with pytest.raises(InputError, match="another number of fields than 5"):
        read_checked("taobao", shared_data / "rees46")
    with pytest.raises(ContractError, match="'event_time' is missing"):
        read_checked("rees46", shared_data / "taobao")
