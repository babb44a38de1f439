"""The same files whatever died on the way, and whether a day was there from the start or came later."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rosa_ray.data.preprocess import PreprocessConfig, PreprocessResult, preprocess
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.units import DAY_US
from tests.ray_workers import killing_workers
from tests.synthetic import CONFIG, START_US, ads_table, events_table, impressions_table

KEPT = PreprocessConfig(partitions=4, keep_staging=True)


def write_days(log: Path, days: range) -> None:
    """The synthetic log, cut by time into four days; of the tables with times, only some days are written."""
    rng = np.random.default_rng(0)
    tables = {"events": (events_table(rng), "event_time"), "impressions": (impressions_table(rng), "request_time")}
    for name, (table, column) in tables.items():
        times = table[column].cast(pa.int64())
        edges = np.quantile(times.to_numpy(), [0.25, 0.5, 0.75])
        day = np.searchsorted(edges, times.to_numpy())
        (log / name).mkdir(parents=True, exist_ok=True)
        for number in days:
            pq.write_table(table.filter(pa.array(day == number)), log / name / f"day{number}.parquet")
    (log / "ads").mkdir(exist_ok=True)
    if 0 in days:
        pq.write_table(ads_table(), log / "ads" / "ads.parquet")


def run(log: Path, data: Path, config: PreprocessConfig = KEPT) -> PreprocessResult:
    return preprocess(open_source(SourceConfig(kind="log", path=str(log))), str(data), config, CONFIG)


def checksums(data: Path) -> dict[str, str]:
    paths = [*data.glob("users/*"), *data.glob("features/*"), *data.glob("*.parquet"), data / "spec.json"]
    return {str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> tuple[Path, dict[str, str], PreprocessResult]:
    root = tmp_path_factory.mktemp("whole")
    write_days(root / "log", range(4))
    result = run(root / "log", root / "data")
    return root / "log", checksums(root / "data"), result


@pytest.mark.integration
def test_killed_workers_leave_the_same_files(
    whole: tuple[Path, dict[str, str], PreprocessResult], tmp_path: Path
) -> None:
    with killing_workers("Map(", most=3, pause_s=0.3) as killed:
        run(whole[0], tmp_path / "data")
    assert killed
    assert checksums(tmp_path / "data") == whole[1]


@pytest.mark.integration
def test_a_day_that_came_later(whole: tuple[Path, dict[str, str], PreprocessResult], tmp_path: Path) -> None:
    log, data = tmp_path / "log", tmp_path / "data"
    write_days(log, range(3))
    assert run(log, data).report["ingest"]["files_reused"] == 0
    write_days(log, range(3, 4))
    result = run(log, data)
    assert result.report["ingest"]["files_reused"] == 7
    assert checksums(data) == whole[1]
    assert result.report["splits"] == whole[2].report["splits"]


def write_snapshots(log: Path, days: range) -> None:
    """The log with a snapshot of its ads every day; from the third day on they cost twice as much."""
    write_days(log, days)
    (log / "ads" / "ads.parquet").unlink(missing_ok=True)
    for number in days:
        since = pa.array([START_US + 2 * number * DAY_US] * 30).cast(TIMESTAMP)
        ads = ads_table().drop_columns(["valid_from"]).append_column("valid_from", since)
        price = pc.multiply(ads["price"], 2.0 if number > 1 else 1.0)
        ads = ads.set_column(ads.column_names.index("price"), "price", price)
        pq.write_table(ads, log / "ads" / f"day{number}.parquet")


@pytest.mark.integration
@pytest.mark.parametrize("first", [range(3), range(1)])
def test_snapshots_of_ads_that_came_later(ray_cluster: None, tmp_path: Path, first: range) -> None:
    log, data = tmp_path / "log", tmp_path / "data"
    write_snapshots(log, first)
    run(log, data)
    write_snapshots(log, range(first.stop, 4))
    result = run(log, data)
    assert result.report["ingest"]["files_reused"] == 3 * len(first)
    assert result.report["catalogue"]["versions"] == 60
    whole = run(log, tmp_path / "whole")
    assert checksums(data) == checksums(tmp_path / "whole")
    assert result.report["splits"] == whole.report["splits"]


@pytest.mark.integration
def test_other_periods_on_the_same_log_read_and_count_nothing_again(
    whole: tuple[Path, dict[str, str], PreprocessResult], tmp_path: Path
) -> None:
    moved = PreprocessConfig(partitions=4, keep_staging=True, test_fraction=0.3)
    result = run(whole[0], whole[0].parent / "data", moved)
    assert result.report["ingest"]["files_reused"] == 9
    assert result.report["partitions_reused"] == 4
    run(whole[0], tmp_path / "data", moved)
    assert checksums(whole[0].parent / "data") == checksums(tmp_path / "data") != whole[1]
