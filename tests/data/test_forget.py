"""A forgotten user is in no file of a run, and everyone else is as before."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.data.forget import forget_in_files
from rosa_ray.errors import InputError
from rosa_ray.schema import hash_id, hash_ids

USERS = ["ann", "bob", "ann", "cid"]
SHOWN = ["i1", "i2", "i3", "i4"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose user ann has events, impressions, rows, counters, predictions, and lines in logs."""
    keys = hash_ids(pa.array(USERS))
    log = pa.table({"impression_id": SHOWN, "user_id": USERS, "cost": [1.0, 2.0, 3.0, 4.0]})
    tables = {
        "log/impressions/part-0.parquet": log,
        "log/events/part-0.parquet": pa.table({"event_id": SHOWN, "user_id": USERS}),
        "log/truth/part-0.parquet": pa.table({"impression_id": SHOWN, "p_ctr": [0.1, 0.2, 0.3, 0.4]}),
        "log/ads/part-0.parquet": pa.table({"ad_id": ["ann"], "item_id": ["ann"]}),
        "data/users/part-0.parquet": pa.table(
            {
                "user_id": ["ann", "bob"],
                "user_key": hash_ids(pa.array(["ann", "bob"])),
                "impression_impression_key": pa.array([[1, 2], []], pa.large_list(pa.int64())),
            }
        ),
        "log/users/part-0.parquet": pa.table({"user_id": ["ann", "bob", "ann"], "age_band": ["a", "b", "c"]}),
        "log/items/part-0.parquet": pa.table({"item_id": ["ann"], "brand": ["ann"]}),
        "data/users_table/part-00000.parquet": pa.table(
            {
                "user_id": ["ann", "ann", "bob"],
                "user.interests": [["a", "b"], None, ["c"]],
                "user_key": hash_ids(pa.array(["ann", "ann", "bob"])),
            }
        ),
        "data/counters.parquet": pa.table(
            {
                "view": ["user_events", "user_impressions", "item_events", *["impressions(user_id,device)"] * 2],
                "entity_key": [hash_id("ann")] * 3 + [77, 78],
                "owner_key": [None] * 3 + [hash_id("ann"), hash_id("bob")],
            }
        ),
        "evaluation/predictions/part-0.parquet": pa.table({"user_key": keys, "impression_key": np.arange(4)}),
    }
    for name, table in tables.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=2, compression="zstd", write_page_checksum=True)
    return tmp_path


def column(run: Path, name: str, column: str) -> list[object]:
    return pq.read_table(run / name)[column].to_pylist()


def test_rows_of_the_user_go_from_every_table(run: Path) -> None:
    found = {str(Path(removal.path).relative_to(run)): removal.count for removal in forget_in_files(str(run), ["ann"])}
    assert found == {
        "data/counters.parquet": 3,
        "data/users/part-0.parquet": 1,
        "data/users_table/part-00000.parquet": 2,
        "evaluation/predictions/part-0.parquet": 2,
        "log/events/part-0.parquet": 2,
        "log/impressions/part-0.parquet": 2,
        "log/truth/part-0.parquet": 2,
        "log/users/part-0.parquet": 2,
    }
    assert column(run, "data/users_table/part-00000.parquet", "user.interests") == [["c"]]
    assert column(run, "log/users/part-0.parquet", "age_band") == ["b"]
    assert column(run, "log/impressions/part-0.parquet", "user_id") == ["bob", "cid"]
    assert column(run, "log/truth/part-0.parquet", "p_ctr") == [0.2, 0.4]
    assert column(run, "data/users/part-0.parquet", "user_id") == ["bob"]
    assert column(run, "data/counters.parquet", "view") == ["item_events", "impressions(user_id,device)"]
    assert column(run, "evaluation/predictions/part-0.parquet", "impression_key") == [1, 3]
    assert column(run, "log/ads/part-0.parquet", "ad_id") == ["ann"]
    assert forget_in_files(str(run), ["ann"]) == []
    of_users = [path for path in run.rglob("*.parquet") if path.parent.name not in ("ads", "items")]
    assert not any(b"ann" in path.read_bytes() for path in of_users)


def test_a_dry_run_says_the_same_and_changes_nothing(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*.parquet")}
    planned = forget_in_files(str(run), ["ann"], dry_run=True)
    assert {path: path.read_bytes() for path in run.rglob("*.parquet")} == before
    assert planned == forget_in_files(str(run), ["ann"])


def test_tables_without_the_user_are_not_written(run: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    assert forget_in_files(str(run), ["nobody"]) == []
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")} == times


def test_lines_of_logs_become_blanks_of_the_same_length(tmp_path: Path) -> None:
    lines = [
        b'{"type":"event","user_id":"ann","item_id":"x"}',
        b'{"type":"event","user_id":"bob","item_id":"ann"}',
        b'{"user_id":"\\u0061nn"}',
        json.dumps({"reason": "late", "record": '{"user_id": "ann", "x": 1}'}).encode(),
        json.dumps({"reason": "oversize", "record": '{"user_id": "ann", "note": "cut he'}).encode(),
        json.dumps({"reason": "malformed", "record": "not ann"}).encode(),
        b'{"user_id": "annabel"}',
        b'[{"user_id":"ann"}]',
    ]
    log = tmp_path / "stream" / "0" / "00000000000000000000.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\n".join(lines) + b"\n")
    with log.open("ab") as writer:
        (removal,) = forget_in_files(str(tmp_path), ["ann"])
        writer.write(b'{"user_id":"cid"}\n')
    assert (removal.count, removal.unit) == (5, "lines")
    gone = {0, 2, 3, 4, 7}
    expected = [b" " * len(line) if row in gone else line for row, line in enumerate(lines)]
    assert log.read_bytes().split(b"\n") == [*expected, b'{"user_id":"cid"}', b""]


def test_ids_that_are_numbers_are_found_in_plain_files_too(tmp_path: Path) -> None:
    gone = [b'{"user_id": 1007, "n": 1}', b'{"user_id": 1007.0}', b'{"user_id":1.007e3}', b'{"user_id": "1007"}']
    kept = [b'{"user_id": 10071}', b'{"user_id": null, "n": 1007}', b'{"user_id": "1007.0"}']
    for name in ("events.jsonl", "more.ndjson"):
        (tmp_path / name).write_bytes(b"\n".join(gone + kept))
    assert [removal.count for removal in forget_in_files(str(tmp_path), ["1007"])] == [4, 4]
    lines = (tmp_path / "more.ndjson").read_bytes().split(b"\n")
    assert [line.strip() for line in lines] == [b""] * 4 + kept
    assert forget_in_files(str(tmp_path), ["None"]) == []
    cut = [json.dumps({"record": f'{{"user_id": {number}, "note": "cut he'}) for number in (1007, 10071, 1007.5)]
    (tmp_path / "dead.jsonl").write_text("\n".join(cut))
    assert [removal.count for removal in forget_in_files(str(tmp_path), ["1007"])] == [1]


def test_a_missing_run_holds_nobody(tmp_path: Path) -> None:
    assert forget_in_files(str(tmp_path / "none"), ["ann"]) == []


def test_a_damaged_table_is_named(run: Path) -> None:
    (run / "log" / "events" / "part-0.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(InputError, match=r"events/part-0\.parquet"):
        forget_in_files(str(run), ["ann"])


def test_what_a_report_quotes_of_the_user_goes_and_its_figures_stay(tmp_path: Path) -> None:
    losses = [
        {"reason": "are copies", "rows": 2, "example": "impressions.csv row 7: user_id 'ann'"},
        {"reason": "are null", "rows": 1, "example": "impressions.csv row 9: user_id 'annabel'"},
    ]
    report = {"users": 4, "losses": losses, "ads": ["ann"], "coverage": [{"hint": "spaces around 'ann '"}]}
    path = tmp_path / "data" / "report.json"
    path.parent.mkdir()
    path.write_text(json.dumps(report))
    assert [removal.count for removal in forget_in_files(str(tmp_path), ["ann"], dry_run=True)] == [2]
    assert json.loads(path.read_text()) == report
    (removal,) = forget_in_files(str(tmp_path), ["ann"])
    assert (removal.path, removal.count, removal.unit) == (str(path), 2, "quoted examples")
    kept = json.loads(path.read_text())
    assert [loss["example"] for loss in kept["losses"]] == ["", losses[1]["example"]]
    assert (kept["users"], kept["ads"], kept["coverage"]) == (4, ["ann"], [{"hint": ""}])
    assert forget_in_files(str(tmp_path), ["ann"]) == []
