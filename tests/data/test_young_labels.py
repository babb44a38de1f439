"""Preprocessing leaves young rows out of conversions, or weights them, and tells how many there are."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.data.preprocess import PreprocessConfig, PreprocessResult, preprocess
from rosa_ray.features import FeatureState, UserRows
from rosa_ray.labels import LabelsConfig
from rosa_ray.run_dir import DataDir
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.storage import read_parquet
from rosa_ray.units import DAY_US
from tests.labels.logs import joined_log
from tests.synthetic import CONFIG, DAYS, START_US, ads_table, events_table

AS_OF_US = START_US + 7 * DAY_US


def run(folder: Path, labels: LabelsConfig) -> tuple[PreprocessResult, dict[str, np.ndarray]]:
    log = folder / "log"
    for name, table in (
        ("events", events_table(np.random.default_rng(0))),
        ("impressions", joined_log(4)),
        ("ads", ads_table()),
    ):
        (log / name).mkdir(parents=True, exist_ok=True)
        pq.write_table(table, log / name / "a.parquet")
    source = open_source(SourceConfig(kind="log", path=str(log)))
    data = folder / "data"
    result = preprocess(source, str(data), PreprocessConfig(partitions=2), CONFIG, labels=labels)
    paths = sorted(Path(DataDir(str(data)).users).glob("*.parquet"))
    rows = UserRows.from_table(pa.concat_tables([read_parquet(str(path)) for path in paths]))
    return result, rows.impressions


@pytest.mark.integration
def test_rows_younger_than_the_window_are_left_out_and_told(tmp_path: Path, ray_cluster: None) -> None:
    labels = LabelsConfig(as_of=datetime.fromtimestamp(AS_OF_US / 1e6, UTC).isoformat(), attribution_days=2)
    result, shown = run(tmp_path, labels)
    young = AS_OF_US - shown["time_us"] < 2 * DAY_US
    np.testing.assert_array_equal(shown["conversion_weight"], np.where(young, 0.0, 1.0))
    assert shown["time_us"].max() <= AS_OF_US < START_US + DAYS * DAY_US
    report = result.report
    assert (
        report["young_impressions"] == young.sum() == sum(report["splits"][name]["young"] for name in report["splits"])
    )
    known = shown["click"] * ~young
    train = shown["split"] == 0
    state = FeatureState.load(Path(DataDir(str(tmp_path / "data")).features))
    assert state.base_rates["cvr"] == (known * shown["conversion"])[train].sum() / known[train].sum()
    test = shown["split"] == 2
    assert report["splits"]["test"]["clicks"] == shown["click"][test].sum() > 0
    assert report["splits"]["test"]["cvr"] is None
    reasons = {loss["reason"]: loss["rows"] for loss in report["losses"]}
    assert reasons["are younger than labels.attribution_days (labels.young)"] == young.sum()
    assert reasons["convert later than labels.attribution_days (no conversion)"] > 0
    assert reasons["lie outside of preprocess.from_time and until_time, or after labels.as_of"] > 0
    assert not result.partial


@pytest.mark.integration
def test_weighted_rows_stand_for_what_the_final_ones_would(tmp_path: Path, ray_cluster: None) -> None:
    _, shown = run(tmp_path, LabelsConfig(attribution_days=2, young="weight"))
    newest = max(
        shown["time_us"].max(), events_table(np.random.default_rng(0))["event_time"].cast(pa.int64()).to_numpy().max()
    )
    young = newest - shown["time_us"] < 2 * DAY_US
    clicked, bought = shown["click"] > 0, shown["conversion"] > 0
    assert (shown["conversion_weight"][~young] == 1).all()
    positive = shown["conversion_weight"][young & clicked & bought]
    assert ((positive == 0) | (positive >= 1)).all()
    assert positive.max() > 1
    negative = shown["conversion_weight"][young & clicked & ~bought]
    assert ((negative >= 0) & (negative <= 1)).all()
    assert ((negative > 0) & (negative < 1)).any()
