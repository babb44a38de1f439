"""`rosa parity` where columns of users, items and ads are declared: delivered as records, equal bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import workloads.cli as cli
from rosa_ray.errors import ParityError
from rosa_ray.features import dense_names
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.schema.own_columns import AD, ITEM, USER
from tests.things_world import COLUMNS, CONFIG, ThingsWorld, make_world


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> ThingsWorld:
    return make_world(tmp_path_factory.mktemp("things"))


def parity(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["parity", str(config), *arguments])


@pytest.mark.parametrize("arguments", [[], ["--shuffle", "3", "--kill", "4"]])
def test_a_run_agrees_however_it_is_delivered(things: ThingsWorld, tmp_path: Path, arguments: list[str]) -> None:
    answer = parity(things.write_run(tmp_path), *arguments, "--scores", "40")
    assert (answer.exit_code, answer.exception) == (0, None), answer.stderr
    assert f"all {len(dense_names(CONFIG)) + 7 + 1} features" in answer.stdout
    assert "records delivered, refused none, " in answer.stdout
    assert "scores equal within" in answer.stdout


@pytest.mark.parametrize("name", ["user.age", "user.likes", "item.weight", "ad.margin"])
def test_the_first_column_that_differs_is_named(things: ThingsWorld, tmp_path: Path, name: str) -> None:
    values = things.rows.impressions[name].copy()
    values[len(values) // 2] += 1
    rows = replace(things.rows, impressions={**things.rows.impressions, name: values})
    answer = parity(replace(things, rows=rows).write_run(tmp_path), "--scores", "0")
    assert answer.exit_code == ParityError.exit_code
    assert f"feature '{name}', value " in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_shared_column_that_differs_is_named(things: ThingsWorld, tmp_path: Path) -> None:
    brands = np.roll(things.rows.events["item.brand"], 1)
    rows = replace(things.rows, events={**things.rows.events, "item.brand": brands})
    answer = parity(replace(things, rows=rows).write_run(tmp_path), "--scores", "0")
    assert "feature 'timeline.item.brand', value " in answer.stderr


def test_every_row_is_told_once_before_it_holds(things: ThingsWorld) -> None:
    log = RecordedLog.of(things.events, things.impressions, things.things, COLUMNS)
    lines = [json.loads(line) for line in log.lines(0, len(log))]
    told = {kind: [line for line in lines if line["type"] == kind] for kind in ("profile", "item", "ad")}
    assert len(told["profile"]) == things.things[USER].num_rows  # its plan is static, so that all of it is told
    first = next(at for at, line in enumerate(lines) if line["type"] == "event" or "impression_id" in line)
    assert all(line["type"] in told for line in lines[:first])
    assert {line["type"] for line in lines[first:]} > {"item", "ad"}
    for kind, prefix in (("item", ITEM), ("ad", AD)):
        since = things.things[prefix]["valid_from"].to_pylist()
        assert 0 < len(told[kind]) <= len(since)
        assert sum(line["valid_from"] is None for line in told[kind]) == since.count(None)
    assert set(told["ad"][0]) == {"type", "ad_id", "valid_from", "columns"}
    assert log.ids(0, len(log)) == [
        line.get("user_id") or line.get("item_id" if line["type"] == "item" else "ad_id") for line in lines
    ]


def test_a_log_is_read_with_what_is_known_of_its_things(things: ThingsWorld, tmp_path: Path) -> None:
    things.write_run(tmp_path)
    users = tmp_path / "log" / "users" / "part-0.parquet"
    pq.write_table(pq.read_table(users).slice(0, 3), users.with_name("part-1.parquet"))
    answer = parity(tmp_path / "run.yaml", "--scores", "0")
    assert answer.exit_code == 0, answer.stderr
