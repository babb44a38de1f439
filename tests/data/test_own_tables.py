"""Tables of users and items on their way to versions."""

from dataclasses import replace

import pyarrow as pa
import pytest

from rosa_ray.data.own_tables import _write
from rosa_ray.data.preprocess import preprocess
from rosa_ray.data.stage import stage_file, stage_source
from rosa_ray.data.staging_area import read_staged
from rosa_ray.errors import ConfigError
from rosa_ray.features.own import ColumnConfig, own_columns
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import hash_ids
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from rosa_ray.sources import RawBatch, SourceConfig, SourceFile, open_source
from rosa_ray.storage import read_parquet
from tests.data.test_losses import PLAIN, log, told, without_ray, write  # noqa: F401
from tests.synthetic import CONFIG

OWN = (
    OwnColumn("user.age_band", "category"),
    OwnColumn("user.interests", "categories"),
    OwnColumn("item.image", "vector", 2),
)
USERS = "user_id,valid_from,age_band,interests\n" + "\n".join(
    [
        "u1,,18-24,a|b",
        "u1,,18-24,a|b",
        "u1,2026-02-01T00:00Z,18-24,a|b",
        "u1,2026-03-01T00:00Z,25-34,a",
        "u2,2026-02-01T00:00Z,25-34,",
        "u2,2026-02-01T00:00Z,25-34,c",
        "u3,,,",
    ]
)


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "users.csv").write_text(USERS)
    (tmp_path / "items.csv").write_text("item_id,image\ni1,1 2\ni2,\ni1,1 2\n")
    config = SourceConfig(kind="csv", users=str(tmp_path / "users.csv"), items=str(tmp_path / "items.csv"))
    source, layout = open_source(config, None, OWN), DataDir(str(tmp_path / "data"))
    (tmp_path / "data" / "staging").mkdir(parents=True)
    for file in source.files():
        assert stage_file(source, file, layout.staging, 3, OWN).reason == ""
    return layout


def test_users_are_staged_by_user_and_items_in_the_first_partition(layout):
    users = [read_staged(layout.staging, contract_with("users", OWN), part) for part in range(3)]
    for part, rows in enumerate(users):
        assert rows["user_key"].to_pylist() == hash_ids(rows["user_id"]).tolist()
        assert set(rows["user_key"].to_numpy() % 3) <= {part}
    assert sum(rows.num_rows for rows in users) == 7
    items = [read_staged(layout.staging, contract_with("items", OWN), part).num_rows for part in range(3)]
    assert items == [3, 0, 0]


def test_users_become_versions_and_what_repeats_is_counted(layout):
    figures = [_write(layout, contract_with("users", OWN), part, layout.users_table(part)) for part in range(3)]
    rows = [row for part in range(3) for row in read_parquet(layout.users_table(part)).to_pylist()]
    told = {(row["user_id"], str(row.get("valid_from"))[:10]): row["user.interests"] for row in rows}
    assert told == {
        ("u1", "None"): ["a", "b"],
        ("u1", "2026-03-01"): ["a"],
        ("u2", "2026-02-01"): ["c"],
        ("u3", "None"): None,
    }
    counts = {name: sum(part["counts"][name] for part in figures) for name in figures[0]["counts"]}
    assert counts == {"duplicate_users": 1, "versions_of_users": 1, "unchanged_users": 1, "conflicting_users": 1}
    examples = {name: text for part in figures for name, text in part["examples"].items()}
    assert examples == {"conflicting_users": "user_id 'u2': user.interests ['c'] and null"}


def test_items_that_never_change_have_no_dates(layout):
    figures = _write(layout, contract_with("items", OWN), 0, layout.items)
    assert figures["versions"] == 2
    assert sorted(read_parquet(layout.items).to_pylist(), key=lambda row: row["item_id"]) == [
        {"item_id": "i1", "item.image": [1.0, 2.0]},
        {"item_id": "i2", "item.image": None},
    ]


class _Shop:
    """A source of somebody's own."""

    def files(self) -> list[SourceFile]:
        return [SourceFile("shop", "impressions", "shop")]

    def read(self, file: SourceFile) -> list[RawBatch]:
        raise AssertionError(file)


def test_a_source_without_the_table_of_a_declared_column_is_refused_before_it_is_read(tmp_path):
    with pytest.raises(ConfigError, match=r"declares user\.age_band, but the source has no table of users"):
        stage_source(_Shop(), str(tmp_path), 2, OWN)


def with_columns(folder, configs, **tables):
    """Preprocess a log with tables of users and items."""
    features = replace(CONFIG, columns=configs)
    path = str(write(folder / "log", {**log(), **tables}))
    source = open_source(SourceConfig(kind="log", path=path), None, own_columns(configs))
    return preprocess(source, str(folder / "data"), PLAIN, features)


def test_the_report_tells_of_users_and_items(without_ray, tmp_path):  # noqa: F811
    rows = {
        "user_id": ["nobody", "nobody", "nobody", "bad"],
        "age": ["a", "a", "b", "c"],
        "spent": ["1", "1", "1", "x"],
    }
    items = {"item_id": ["i1", "i2"], "brand": ["b", "b"], "image": [[1.0, 2.0], None]}
    configs = {
        "user.age": ColumnConfig(),
        "user.spent": ColumnConfig(type="number"),
        "item.brand": ColumnConfig(),
        "item.image": ColumnConfig(type="vector", size=2),
    }
    result = with_columns(tmp_path, configs, users=pa.table(rows), items=pa.table(items))
    assert told(result) == {
        ("users: user.spent do not parse as numbers", True): 1,
        ("users: contradict another row of their user_id", True): 1,
        ("users: are copies of a row", False): 1,
    }
    assert result.report["own_tables"] == {"users": 1, "items": 2}
    item_of = {row["ad_id"]: row["item_id"] for row in log()["ads"].to_pylist()}
    shown = [item_of[ad] for ad in log()["impressions"]["ad_id"].to_pylist()]
    branded = shown.count("i1") + shown.count("i2")
    assert result.report["own"] == {
        "impressions": len(shown),
        "unknown": {"user": len(shown), "item": len(shown) - branded},
        "known": {"user.age": 0, "user.spent": 0, "item.brand": branded, "item.image": shown.count("i1")},
    }
    assert [warning.partition(";")[0] for warning in result.report["warnings"]] == [
        "users: 50.0% of the rows were lost, more than preprocess.max_lost_share=0.01",
        f"0 of {len(shown)} impressions have a user of the table users",
    ]
    examples = {loss["reason"]: loss["example"] for loss in result.report["losses"]}
    assert examples["contradict another row of their user_id"] == "user_id 'nobody': user.age 'a' and 'b'"
    assert result.partial


def test_tables_that_are_no_longer_declared_leave_nothing_behind(without_ray, tmp_path):  # noqa: F811
    layout = DataDir(str(tmp_path / "data"))
    users = pa.table({"user_id": ["u1"], "age": ["a"]})
    with_columns(tmp_path, {"user.age": ColumnConfig()}, users=users)
    assert sum(read_parquet(layout.users_table(part)).num_rows for part in range(PLAIN.partitions)) == 1
    result = with_columns(tmp_path, {}, users=users)
    assert not (tmp_path / "data" / "users_table").exists()
    assert "own" not in result.report
    assert "own_tables" not in result.report
