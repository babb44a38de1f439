"""Declared columns of users, items, ads and requests, read from files of each kind."""

import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import ConfigError, ContractError
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from rosa_ray.schema.pseudonyms import Pseudonyms
from rosa_ray.sources import SourceConfig, open_source

AGE = OwnColumn("user.age_band", "category")
INTERESTS = OwnColumn("user.interests", "categories")
SPENT = OwnColumn("user.spent", "number")
IMAGE = OwnColumn("item.image", "vector", 2)
BRAND = OwnColumn("item.brand", "category")
MARGIN = OwnColumn("ad.margin", "number")
SLOT = OwnColumn("request.slot", "category")
USERS = "user_id,age_band,interests,spent,since\nu1,18-24,sport|news,3.5,2026-01-02\nu2,,NULL,n/a,\n"
JAN_2 = datetime(2026, 1, 2, tzinfo=UTC)


def read(config, own, table, pseudonyms=None):
    """Rows of a table, and what was set aside."""
    source = open_source(config, pseudonyms, own)
    rows, aside = [], []
    for file in source.files():
        if file.contract_name == table:
            for batch in source.read(file):
                kept, broken = contract_with(table, own).check(batch.table, file.name, batch.rows)
                rows += kept.to_pylist()
                aside += [*batch.rejected, *broken]
    return rows, [(one.column, one.rows, one.reason, one.example) for one in aside]


def users_csv(folder, text=USERS, **settings):
    (folder / "users.csv").write_text(text)
    columns = {"users": {"valid_from": "since"}} if "since" in text else {}
    zones = {"time_zone": {"users.valid_from": "UTC"}}
    return SourceConfig(kind="csv", users=str(folder / "users.csv"), columns=columns, **zones, **settings)


def test_users_of_a_text_file(tmp_path):
    rows, aside = read(users_csv(tmp_path), (AGE, INTERESTS, SPENT), "users")
    assert rows == [
        {
            "user_id": "u1",
            "valid_from": JAN_2,
            "user.age_band": "18-24",
            "user.interests": ["sport", "news"],
            "user.spent": 3.5,
        },
        {"user_id": "u2", "valid_from": None, "user.age_band": None, "user.interests": None, "user.spent": None},
    ]
    assert aside == []


def test_only_declared_columns_are_read(tmp_path):
    rows, _ = read(users_csv(tmp_path), (AGE,), "users")
    assert set(rows[0]) == {"user_id", "valid_from", "user.age_band"}


def test_a_table_without_declared_columns_is_not_read(tmp_path):
    config = users_csv(tmp_path, items=str(tmp_path / "nowhere.csv"))
    assert [file.contract_name for file in open_source(config, None, (AGE,)).files()] == ["users"]
    assert open_source(config).files() == []


def test_a_column_may_be_called_otherwise_and_a_typo_is_refused(tmp_path):
    config = SourceConfig(kind="csv", users=str(tmp_path), columns={"users": {"user.age_band": "age"}})
    (tmp_path / "users.csv").write_text("user_id,age\nu1,9\n")
    assert read(config, (AGE,), "users")[0][0]["user.age_band"] == "9"
    with pytest.raises(ConfigError, match=r"source\.columns\.users\.user\.age_band is not declared"):
        open_source(config, None, (SPENT,))


def test_a_declared_column_that_the_file_lacks_is_named(tmp_path):
    with pytest.raises(ContractError, match=r"column 'city' is missing; .* source\.columns\.users\.user\.city names"):
        read(users_csv(tmp_path), (OwnColumn("user.city", "category"),), "users")


def test_values_that_do_not_parse_set_their_rows_aside(tmp_path):
    text = "user_id,spent,interests\nu1,1,a\nu2,much,b\nu3,2,[b\nu4,3,c\n"
    rows, aside = read(users_csv(tmp_path, text), (SPENT, INTERESTS), "users")
    assert [row["user_id"] for row in rows] == ["u1", "u4"]
    (lists, numbers) = sorted(aside)
    assert lists[:3] == ("user.interests", 1, "are no JSON lists of texts")
    assert lists[3] == 'row 3, \'[b\'; a list is written as a|b or as ["a", "b"]'
    assert numbers[:3] == ("user.spent", 1, "do not parse as numbers")
    assert numbers[3].startswith("row 2, 'much'; source.values: {users: {user.spent: {'much': 0}}}")


def test_a_vector_of_another_size_sets_its_row_aside(tmp_path):
    (tmp_path / "items.csv").write_text('item_id,image\ni1,1 2\ni2,1 2 3\ni3,\ni4,"[nan, 1]"\ni5,x 1\ni6,3|4\n')
    rows, aside = read(SourceConfig(kind="csv", items=str(tmp_path)), (IMAGE,), "items")
    assert [(row["item_id"], row["item.image"]) for row in rows] == [("i1", [1, 2]), ("i3", None), ("i6", [3, 4])]
    assert [one[:3] for one in aside] == [
        ("item.image", 1, "do not parse as lists of numbers"),
        ("item.image", 1, "have not 2 numbers"),
        ("item.image", 1, "hold a null, NaN or infinite number"),
    ]
    assert aside[1][3] == "row 2, [1.0, 2.0, 3.0]"
    assert 'source.null_words: {items.item.image: ["x 1"]}' in aside[0][3]


def test_columns_of_lists_in_parquet(tmp_path):
    table = pa.table(
        {
            "item_id": [7, 8],
            "image": pa.array([[0.5, 1.0], None], pa.large_list(pa.float64())),
            "brand": pa.array(["b1", None]).dictionary_encode(),
            "valid_from": pa.array([JAN_2, None], pa.timestamp("ns", "UTC")),
        }
    )
    pq.write_table(table, tmp_path / "items.parquet")
    rows, aside = read(SourceConfig(kind="parquet", items=str(tmp_path)), (BRAND, IMAGE), "items")
    assert rows == [
        {"item_id": "7", "valid_from": JAN_2, "item.brand": "b1", "item.image": [0.5, 1.0]},
        {"item_id": "8", "valid_from": None, "item.brand": None, "item.image": None},
    ]
    assert aside == []


def test_a_list_under_a_category_names_the_type_that_reads_it(tmp_path):
    pq.write_table(pa.table({"item_id": ["i1"], "brand": [["a"]]}), tmp_path / "items.parquet")
    with pytest.raises(ContractError, match=r"features\.columns reads lists as type categories"):
        read(SourceConfig(kind="parquet", items=str(tmp_path)), (BRAND,), "items")


def test_columns_of_ads_and_requests(tmp_path):
    (tmp_path / "ads.csv").write_text("ad_id,margin\na1,0.25\na2,\n")
    (tmp_path / "shown.csv").write_text("impression_id,ad_id,request_time,click,slot\nm1,a1,2026-01-01T00:00Z,1,top\n")
    config = SourceConfig(kind="csv", ads=str(tmp_path / "ads.csv"), impressions=str(tmp_path / "shown.csv"))
    assert [row["ad.margin"] for row in read(config, (MARGIN, SLOT), "ads")[0]] == [0.25, None]
    assert [row["request.slot"] for row in read(config, (MARGIN, SLOT), "impressions")[0]] == ["top"]


def test_user_ids_become_pseudonyms(tmp_path):
    pseudonyms = Pseudonyms(b"0123456789abcdef")
    rows, _ = read(users_csv(tmp_path), (AGE,), "users", pseudonyms)
    assert [row["user_id"] for row in rows] == pseudonyms.column(pa.chunked_array([["u1", "u2"]])).to_pylist()


@pytest.mark.parametrize(
    "config",
    [
        SourceConfig(kind="csv", impressions="shown.csv", ads="ads.csv"),
        SourceConfig(kind="open_bandit", path="/logs"),
    ],
)
def test_a_declared_column_without_its_table_is_one_error(config):
    with pytest.raises(ConfigError) as caught:
        open_source(config, None, (AGE, INTERESTS))
    assert str(caught.value) == (
        "features.columns declares user.age_band, but the source has no table of users; source.users says where it lies"
    )


def write_log(folder, *tables):
    for name in ("events", "impressions", "ads", *tables):
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table({"user_id": ["u1"], "age_band": ["x"]}), folder / name / "part-0.parquet")
    return SourceConfig(kind="log", path=str(folder))


def test_a_log_directory_may_have_users(tmp_path):
    config = write_log(tmp_path / "log", "users")
    assert read(config, (AGE,), "users")[0] == [{"user_id": "u1", "valid_from": None, "user.age_band": "x"}]
    assert "users" not in {file.contract_name for file in open_source(config).files()}


def test_a_log_directory_may_have_its_users_elsewhere(tmp_path):
    config = write_log(tmp_path / "log", "users")
    elsewhere = SourceConfig(kind="log", path=config.path, users=users_csv(tmp_path).users)
    assert [row["user.age_band"] for row in read(elsewhere, (AGE,), "users")[0]] == ["18-24", None]


def test_a_log_known_by_name_may_have_items_elsewhere(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "day.csv.gz").write_bytes(gzip.compress(b"1,2,3,pv,1512000000\n"))
    (tmp_path / "items.csv").write_text("item_id,brand\n2,b1\n")
    config = SourceConfig(kind="taobao", path=str(tmp_path / "log"), items=str(tmp_path / "items.csv"))
    source = open_source(config, None, (BRAND,))
    assert [file.contract_name for file in source.files()] == ["events", "items"]
    assert read(config, (BRAND,), "items")[0] == [{"item_id": "2", "valid_from": None, "item.brand": "b1"}]
    assert len(read(config, (BRAND,), "events")[0]) == 1


def test_lists_in_one_json_text_survive_commas(tmp_path):
    quoted = json.dumps(["a, b", "c"]).replace('"', '""')
    rows, _ = read(users_csv(tmp_path, f'user_id,interests\nu1,"{quoted}"\n'), (INTERESTS,), "users")
    assert rows[0]["user.interests"] == ["a, b", "c"]


def test_one_value_for_every_row(tmp_path):
    config = SourceConfig(kind="csv", users=str(tmp_path), columns={"users": {"user.interests": "=a|b"}})
    (tmp_path / "users.csv").write_text("user_id\nu1\n")
    assert read(config, (INTERESTS,), "users")[0][0]["user.interests"] == ["a", "b"]
