"""`rosa replay --to log` and `rosa ingest` on a small run: the store holds what preprocessing counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import workloads.cli as cli
from rosa_ray.errors import EXIT_PARTIAL, ConfigError, InputError, ServingError, StreamError
from rosa_ray.records.log import LogWriter
from rosa_ray.schema import hash_id
from rosa_ray.store import StoreConfig, open_store
from tests.serving.conftest import World, world  # noqa: F401
from tests.workloads.tiny_run import write_run


def rosa(verb: str, config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, [verb, str(config), *arguments])


def test_a_replayed_log_is_ingested_once(world: World, tmp_path: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    wide = ("--set", "store.dedup_horizon_days=30", "--set", "stream.partitions=2")
    sent = rosa("replay", config, "--to", "log", "--speed", "0", *wide)
    assert sent.exit_code == 0, sent.stderr
    first = rosa("ingest", config, "--until-end", *wide)
    assert first.exit_code == 0, first.stderr
    assert "refused none; 0 waiting" in first.stdout
    assert " 0 records read" in rosa("ingest", config, "--until-end", *wide).stdout
    store = open_store(StoreConfig(path=str(tmp_path / "store.db")), world.features.config)
    for view, expected in world.counters.items():
        found = store.read_counters(view, np.unique(expected.entity_key))[view]
        assert found.sums.tolist() == expected.sums.tolist(), view
    store.close()


def test_refused_records_are_counted_in_the_exit_code(world: World, tmp_path: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    with LogWriter(tmp_path / "stream" / "0") as writer:
        writer.append([b"nonsense"])
    answer = rosa("ingest", config, "--until-end")
    assert answer.exit_code == EXIT_PARTIAL
    assert "1 records read, 0 new, 0 repeated, refused 1 malformed; 0 waiting" in answer.stdout
    letter = json.loads((tmp_path / "dead-letters" / "ingest-0.jsonl").read_text())
    assert (letter["reason"], letter["record"]) == ("malformed", "nonsense")


def test_refused_records_are_sent_again_once_the_config_is_mended(world: World, tmp_path: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    line = {"event_id": "n1", "user_id": "u3", "item_id": "it4", "behavior": "view", "event_time": 1767571200000}
    with LogWriter(tmp_path / "stream" / "0") as writer:
        writer.append([json.dumps(line).encode(), b"nonsense"])
    assert rosa("ingest", config, "--until-end").exit_code == EXIT_PARTIAL
    mended = ("--set", "records.time_unit=ms")
    tried = rosa("redrive", config, "--dry-run", *mended)
    assert tried.exit_code == EXIT_PARTIAL, tried.stderr
    assert "dead-letters: 2 letters, 1 would be taken, 0 known already, refused again 1 malformed" in tried.stdout
    again = rosa("redrive", config, "--reason", "malformed", *mended)
    assert "dead-letters: 2 letters, 1 taken, 0 known already, refused again 1 malformed" in again.stdout
    assert " 1 letters, 0 taken" in rosa("redrive", config, *mended).stdout
    store = open_store(StoreConfig(path=str(tmp_path / "store.db")), world.features.config)
    assert store.read_user(hash_id("u3")).timeline["event_id"].tolist() == ["n1"]
    store.close()
    assert "--reason is 'odd'; give one of malformed" in str(rosa("redrive", config, "--reason", "odd").stderr)


def test_records_of_ads_that_the_catalogue_lacks_are_told(world: World, tmp_path: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    shown = {"type": "impression", "impression_id": "m", "user_id": "u", "ad_id": "no such ad"}
    (tmp_path / "gap.jsonl").write_text(json.dumps(shown | {"request_time": "2026-01-05T00:00:00Z"}) + "\n")
    answer = rosa("ingest", config, str(tmp_path / "gap.jsonl"))
    assert answer.exit_code == 0
    assert "records of ads that the catalogue lacks, counted without a campaign: 1" in answer.stdout


ODD_LINES = [
    {},
    {"utm": "x"},
    {"event_id": 3},
    {"price": None},
    {"price": "12.5"},
    {"event_time": 1791711000000},
    {"user_id": 3},
    {"category": ""},
    {"event_time": "2026-10-11 09:30:00"},
    {"event_time": "2026-10-11T09:30:00.123456789Z"},
]
"""What one record of a stream may look like, as producers write it."""


def odd_records() -> bytes:
    usual = {"user_id": "u3", "item_id": "it4", "behavior": "view", "event_time": "2026-10-11T09:30:00Z"}
    lines = [{"type": "event", **usual, "event_id": f"s{n}", **odd} for n, odd in enumerate(ODD_LINES)]
    return b"\n".join(json.dumps(line).encode() for line in lines)


DECLARED = (
    "--set",
    "records.time_unit=ms",
    "--set",
    "records.time_zone=UTC",
    "--set",
    "stream.max_future_s=1000000000",
)


@pytest.mark.parametrize(
    "place", ["stream/events.jsonl", "stream/0/events.jsonl", "stream/0/00000000000000000000.jsonl"]
)
def test_odd_records_are_all_read_wherever_they_lie(world: World, tmp_path: Path, place: str) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_bytes(odd_records() + b"\n")
    answer = rosa("ingest", config, "--until-end", *DECLARED)
    assert answer.exit_code == 0, answer.stderr
    assert "10 records read, 10 new, 0 repeated, refused none; 0 waiting" in answer.stdout
    assert "ignored fields, with the number of records: utm (1)" in answer.stdout


def test_what_a_setting_would_read_is_refused_without_it(world: World, tmp_path: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    (tmp_path / "stream").mkdir()
    (tmp_path / "stream" / "events.jsonl").write_bytes(odd_records())
    answer = rosa("ingest", config, "--until-end", *DECLARED[4:])
    assert answer.exit_code == EXIT_PARTIAL
    assert "10 records read, 8 new, 0 repeated, refused 2 malformed" in answer.stdout
    letters = (tmp_path / "dead-letters" / "ingest-0.jsonl").read_text()
    assert "records.time_unit" in letters
    assert "records.time_zone" in letters


def test_files_are_read_to_their_end_each_time_and_count_once(world: World, tmp_path: Path) -> None:  # noqa: F811
    config, path = write_run(tmp_path, world), tmp_path / "more.jsonl"
    path.write_bytes(odd_records())
    first, again = (rosa("ingest", config, str(path), *DECLARED) for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr
    assert "10 records read, 10 new, 0 repeated" in first.stdout
    assert "10 records read, 0 new, 10 repeated" in again.stdout


def test_a_gap_is_filled_after_live_events(world: World, tmp_path: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    usual = {"user_id": "u3", "item_id": "it4", "behavior": "view"}
    live, gap = tmp_path / "live.jsonl", tmp_path / "gap.jsonl"
    days = [*range(1, 3), *range(28, 31)]
    for path, chosen in ((live, days), (gap, range(3, 24))):
        records = [{**usual, "event_id": f"d{day}", "event_time": f"2026-01-{day:02d}T09:30:00Z"} for day in chosen]
        path.write_bytes(b"\n".join(json.dumps(record).encode() for record in records))
    told = [rosa("ingest", config, str(path)).stdout for path in (live, gap, gap)]
    assert "5 records read, 5 new, 0 repeated, refused none" in told[0]
    assert "21 records read, 21 new, 0 repeated, refused none" in told[1]
    assert "21 records read, 0 new, 21 repeated, refused none" in told[2]
    with open_store(StoreConfig(path=str(tmp_path / "store.db")), world.features.config) as store:
        record = store.read_user(hash_id("u3"))
        assert record.timeline["event_id"].tolist() == [f"d{day}" for day in sorted([*days, *range(3, 24)])]
        assert record.counters["user_events"].sums.sum() == 26


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--until-end"], "holds no records; expected are files"), (["none.jsonl"], "none.jsonl: no such file")],
)
def test_no_records_are_an_input_error(world: World, tmp_path: Path, arguments: list[str], message: str) -> None:  # noqa: F811
    answer = rosa("ingest", write_run(tmp_path, world), *arguments)
    assert answer.exit_code == InputError.exit_code
    assert message in answer.stderr


def test_records_in_place_of_the_config_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(odd_records())
    answer = rosa("ingest", tmp_path / "events.jsonl")
    assert answer.exit_code == InputError.exit_code
    assert "rosa ingest CONFIG" in answer.stderr


@pytest.mark.parametrize(
    ("verb", "arguments", "code", "message"),
    [
        ("replay", ["--to", "fax"], ConfigError.exit_code, "--to is 'fax'; give http, log, kafka"),
        ("replay", ["--speed", "-1"], ConfigError.exit_code, "--speed is -1"),
        ("replay", ["--from", "yesterday"], ConfigError.exit_code, "--from is 'yesterday'; give ISO 8601"),
        ("replay", ["--from", "2026-01-05T00:00:00"], ConfigError.exit_code, "without an offset"),
        ("replay", ["--url", "http://127.0.0.1:9"], ServingError.exit_code, "http://127.0.0.1:9 did not answer"),
        (
            "ingest",
            ["--set", "stream.kind=tape"],
            ConfigError.exit_code,
            "stream.kind is \"tape\": it should be 'log' or 'kafka'",
        ),
        ("ingest", ["--set", "stream.log.fsync=x"], ConfigError.exit_code, 'stream.log.fsync is "x"'),
    ],
)
def test_a_mistake_is_one_line(
    world: World,  # noqa: F811
    tmp_path: Path,
    verb: str,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    answer = rosa(verb, write_run(tmp_path, world), *arguments)
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_log_that_is_written_already_is_one_line(world: World, tmp_path: Path) -> None:  # noqa: F811
    config = write_run(tmp_path, world)
    with LogWriter(tmp_path / "stream" / "0"):
        answer = rosa("replay", config, "--to", "log")
    assert answer.exit_code == StreamError.exit_code
    assert "another process writes it" in answer.stderr
