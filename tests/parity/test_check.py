"""`rosa parity` on a small run: equal when it is, and the first difference named when it is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import workloads.cli as cli
from rosa_ray.errors import InputError, ParityError
from rosa_ray.features import (
    AdTable,
    build_user_rows,
    dense_names,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.parity.recorded_log import iso
from rosa_ray.schema import ADS
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.units import DAY_US
from tests.serving.conftest import World, world  # noqa: F401
from tests.synthetic import BOUNDS, CONFIG, DAYS, START_US, ads_table
from tests.workloads.tiny_run import write_run


def parity(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["parity", str(config), *arguments])


@pytest.mark.parametrize("arguments", [[], ["--shuffle", "3", "--kill", "4"]])
def test_a_run_agrees_however_it_is_delivered(world: World, tmp_path: Path, arguments: list[str]) -> None:  # noqa: F811
    answer = parity(write_run(tmp_path, world), *arguments, "--scores", "40")
    assert (answer.exit_code, answer.exception) == (0, None), answer.stderr
    impressions = world.impressions
    records = world.events.num_rows + impressions.num_rows
    records += sum(np.count_nonzero(impressions[name].to_numpy()) for name in ("click", "conversion"))
    delivered = 2 * records if arguments else records
    assert f"{len(world.rows)} users" in answer.stdout
    assert f"of {impressions.num_rows} ads: all {len(dense_names(world.features.config)) + 1} features" in answer.stdout
    assert f"{delivered} records delivered, refused none, " in answer.stdout
    assert "scores equal within" in answer.stdout
    assert (" 0 restarts" in answer.stdout) == (not arguments)


def test_scores_agree_where_prices_and_campaigns_changed_half_way(world: World, tmp_path: Path) -> None:  # noqa: F811
    """The catalogue of the bundle knows the first half alone; a run reads its own, as of each request."""
    half = pa.array([START_US + DAYS // 2 * DAY_US] * 30).cast(TIMESTAMP)
    rows = [{**row, "price": 2 * row["price"], "campaign_id": "new"} for row in ads_table().to_pylist()]
    later = pa.Table.from_pylist(rows, ADS.schema).set_column(6, ADS.schema.field("valid_from"), half)
    versions = pa.concat_tables([ads_table(), later])
    shown, _ = keyed_impressions(world.impressions, AdTable.from_table(versions))
    events = keyed_events(world.events)
    counters = fold_events(events, CONFIG) | fold_impressions(shown, CONFIG)
    user_rows = build_user_rows(events, shown, None, counters, CONFIG, BOUNDS)
    config = write_run(tmp_path, world, user_rows.to_table())
    pq.write_table(versions, tmp_path / "data" / "ads.parquet")
    answer = parity(config, "--scores", "60")
    assert answer.exit_code == 0, answer.stderr
    assert "scores equal within" in answer.stdout


def test_a_sample_of_users_is_compared(world: World, tmp_path: Path) -> None:  # noqa: F811
    answer = parity(write_run(tmp_path, world), "--users", "2", "--scores", "0")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.startswith("2 users, ")
    assert "scores" not in answer.stdout


def test_the_first_difference_is_named(world: World, tmp_path: Path) -> None:  # noqa: F811
    dense = world.rows.dense.copy()
    row, column = len(dense) // 2, 3
    dense[row, column] = np.nextafter(dense[row, column], np.float32(np.inf))
    answer = parity(write_run(tmp_path, world, replace(world.rows, dense=dense).to_table()), "--scores", "0")
    assert answer.exit_code == ParityError.exit_code
    user = world.rows.user_id[np.searchsorted(world.rows.impression_offsets, row, side="right") - 1]
    when = iso(int(world.rows.impressions["time_us"][row]))
    feature = dense_names(world.features.config)[column]
    assert f"error: user '{user}' at {when}: feature '{feature}', value " in answer.stderr
    assert f"{dense[row, column]} offline, " in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_rows_with_weights_cannot_be_replayed(world: World, tmp_path: Path) -> None:  # noqa: F811
    weight = np.where(world.rows.impressions["click"] > 0, 1.0, 10.0)
    rows = replace(world.rows, impressions={**world.rows.impressions, "weight": weight})
    answer = parity(write_run(tmp_path, world, rows.to_table()), "--scores", "0")
    assert answer.exit_code == InputError.exit_code
    assert "its rows have weights, and live records have none" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_run_without_a_log_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(f"run_dir: {tmp_path}\n")
    answer = parity(tmp_path / "run.yaml")
    assert answer.exit_code == InputError.exit_code
    assert "events" in answer.stderr
