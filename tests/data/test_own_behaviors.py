"""A log with behaviours of a team's own through preprocessing, and what changing them makes of staged files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.data.counter_files import read_counters_file
from rosa_ray.data.preprocess import PreprocessResult, preprocess
from rosa_ray.data.staging_marks import setup_digest
from rosa_ray.data.user_rows import read_feature_state, require_behaviors
from rosa_ray.errors import ConfigError
from rosa_ray.features import UserRows, fold_events, keyed_events
from rosa_ray.run_dir import DataDir
from rosa_ray.simulation import ExposureConfig
from rosa_ray.simulation.exposure import build_exposure
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.storage import read_parquet
from tests.data.test_losses import PLAIN, without_ray, write  # noqa: F401
from tests.synthetic import CONFIG, ads_table, events_table, impressions_table

FIVE = replace(CONFIG, behaviors={"impression": 0, "view": 1, "wishlist": 2, "cart": 3, "purchase": 4})
NAMES = FIVE.behavior_names


def log() -> dict[str, pa.Table]:
    rng = np.random.default_rng(0)
    events = events_table(rng, behaviors=NAMES)
    return {"events": events, "impressions": impressions_table(rng), "ads": ads_table()}


def run(folder: Path, features: object) -> PreprocessResult:
    source = open_source(SourceConfig(kind="log", path=str(folder / "log")))
    return preprocess(source, str(folder / "data"), PLAIN, features)  # type: ignore[arg-type]


def test_every_row_is_kept_and_counted_by_its_behaviour(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    tables = log()
    write(tmp_path / "log", tables)
    result = run(tmp_path, FIVE)
    assert (result.report["losses"], result.report["warnings"]) == ([], [])
    layout = DataDir(str(tmp_path / "data"))
    assert read_feature_state(layout.features).config.behavior_names == NAMES
    counted = read_counters_file(layout.counters)
    for view, expected in fold_events(keyed_events(tables["events"], NAMES), FIVE).items():
        assert counted[view].sums.sum(axis=0).tolist() == expected.sums.sum(axis=0).tolist()
    rows = [UserRows.from_table(read_parquet(layout.user_rows(part))) for part in range(PLAIN.partitions)]
    assert sorted({code for part in rows for code in part.events["behavior"].tolist()}) == [0, 1, 2, 3, 4]
    require_behaviors(layout, FIVE)
    with pytest.raises(
        ConfigError, match="was preprocessed with impression, view, wishlist, cart, purchase; name these"
    ):
        require_behaviors(layout, CONFIG)


def test_words_of_no_behaviour_are_set_aside_with_those_that_are_known(
    without_ray: None,  # noqa: F811
    tmp_path: Path,
) -> None:
    write(tmp_path / "log", log())
    (loss,) = (loss for loss in run(tmp_path, CONFIG).report["losses"] if loss["lost"])
    assert "behavior are none of view, click, cart, purchase" in loss["reason"]


def test_files_are_staged_again_where_behaviours_change(tmp_path: Path) -> None:
    source = open_source(SourceConfig(kind="log", path=str(tmp_path)))
    digests = [setup_digest(source, 3, (), names) for names in (CONFIG.behavior_names, NAMES, NAMES[::-1])]
    assert len(set(digests)) == 3
    assert setup_digest(source, 3) == digests[0]


def test_simulated_ads_take_the_strongest_for_a_purchase() -> None:
    """Conversions stand where the very same events are purchases, whatever these are called."""
    events = events_table(np.random.default_rng(2), events=2000)
    names = {"view": "look", "click": "tap", "cart": "keep", "purchase": "order"}
    renamed = pa.array([names[name] for name in events["behavior"].to_pylist()])
    other = events.set_column(events.column_names.index("behavior"), "behavior", renamed)
    plain, _ = build_exposure(events, ExposureConfig())
    shown, _ = build_exposure(other, ExposureConfig(), "order")
    assert shown.equals(plain)
    assert sum(shown["conversion"].to_pylist()) > 0
    assert sum(build_exposure(other, ExposureConfig())[0]["conversion"].to_pylist()) == 0
