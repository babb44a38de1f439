from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.data import staging_area
from rosa_ray.data.staging_area import StagedWriter, add_keys, partition, read_staged, staged_files
from rosa_ray.errors import InputError
from rosa_ray.schema import ADS, CANDIDATES, EVENTS, IMPRESSIONS, MISSING_KEY, hash_id
from tests.fake_s3 import fake_s3


def events_of(users):
    raw = pa.table(
        {
            "event_id": [f"e{row}" for row in range(len(users))],
            "user_id": pa.array(users, pa.string()),
            "item_id": [f"i{row % 3}" for row in range(len(users))],
            "behavior": ["view"] * len(users),
            "event_time": pa.array([1_500_000_000_000_000] * len(users), pa.timestamp("us", "UTC")),
        }
    )
    table, violations = EVENTS.check(raw, "memory")
    assert violations == []
    return table


def stage(folder, users, partitions, name="a.csv"):
    with StagedWriter(str(folder), EVENTS, name, partitions) as writer:
        for user in users:
            writer.add(events_of([user]))
        writer.publish()


def test_keys_are_the_hashes_of_the_ids():
    (row,) = add_keys(events_of(["u"]), EVENTS).to_pylist()
    assert (row["user_key"], row["item_key"]) == (hash_id("u"), hash_id("i0"))
    assert row["category_key"] == MISSING_KEY


def test_only_tables_with_users_get_a_user_key():
    names = {contract.name: staging_area.staged_schema(contract).names for contract in (ADS, IMPRESSIONS, CANDIDATES)}
    assert names["ads"] == ADS.schema.names
    assert names["impressions"][-1] == names["candidates"][-1] == "user_key"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from("abcdefg"), max_size=30), st.integers(1, 5))
def test_partition_agrees_with_a_loop_over_rows(users, partitions):
    table = add_keys(events_of(users), EVENTS)
    expected = {}
    for row, user in enumerate(users):
        expected.setdefault(hash_id(user) % partitions, []).append(f"e{row}")
    assert {part: rows["event_id"].to_pylist() for part, rows in partition(table, partitions)} == expected


def test_staged_rows_come_back_whole_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(staging_area, "FLUSH_ROWS", 4)
    users = list("abcabcabca")
    stage(tmp_path, users, 3)
    parts = [read_staged(str(tmp_path), EVENTS, part) for part in range(3)]
    assert sum(part.num_rows for part in parts) == 10
    for part, table in enumerate(parts):
        assert table["user_id"].to_pylist() == [user for user in users if hash_id(user) % 3 == part]
    assert len(staged_files(str(tmp_path), EVENTS, hash_id("a") % 3)) == 3


def test_partition_without_rows_is_an_empty_staged_table(tmp_path):
    table = read_staged(str(tmp_path / "new"), IMPRESSIONS, 0)
    assert (table.num_rows, table.schema) == (0, staging_area.staged_schema(IMPRESSIONS))


def test_nothing_is_visible_before_publish(tmp_path):
    with StagedWriter(str(tmp_path), EVENTS, "a.csv", 1) as writer:
        writer.add(events_of(["u"]))
        writer._flush()
    assert list(tmp_path.iterdir()) == []


def test_damaged_staged_file_is_found(tmp_path):
    stage(tmp_path, ["u"] * 50, 1)
    (path,) = staged_files(str(tmp_path), EVENTS, 0)
    assert pq.ParquetFile(path).metadata.num_rows == 50
    data = bytearray(Path(path).read_bytes())
    data[30] ^= 1
    Path(path).write_bytes(data)
    with pytest.raises(InputError, match="staged Parquet file"):
        read_staged(str(tmp_path), EVENTS, 0)


def test_staging_on_s3(monkeypatch):
    with fake_s3(monkeypatch, "runs"):
        stage("s3://runs/staging", ["u", "v"], 1)
        assert read_staged("s3://runs/staging", EVENTS, 0)["user_id"].to_pylist() == ["u", "v"]
