"""A check says whether the log has slots, and whether the config can use them."""

from functools import partial
from pathlib import Path

import pytest

from rosa_ray.config import load_config
from rosa_ray.data.preprocess import split_bounds
from rosa_ray.intake.check import check_log
from rosa_ray.sources import open_source
from tests.intake import invented
from tests.intake.invented import write_log

CTR = [sum(invented.impressions()["click"][slot::2]) / (invented.SHOWN / 2) for slot in (0, 1)]


def remarks(folder: Path, position: list[int | None] | None = None, *features: str) -> list[str]:
    """What a check says of slots; `position` stands for the log's own, 0 and 1 in turn."""
    shown = invented.impressions() | ({} if position is None else {"position": position})
    config = load_config(write_log(folder, impressions=shown), features)
    cut = partial(split_bounds, config.preprocess)
    found = check_log(open_source(config.source), cut, features=config.features).remarks
    return [f"{remark.level}: {remark}" for remark in found if "slot" in str(remark)]


def test_slots_that_nobody_reads_are_noted_with_what_they_do(tmp_path: Path) -> None:
    (line,) = remarks(tmp_path)
    assert line.startswith("note: ")
    assert f"rows say slots 0 to 1; {CTR[0]:.2%} of slot 0 have a click, {CTR[1]:.2%} of slot 1" in line
    assert "features.position: true" in line


def test_slots_that_are_read_need_no_remark(tmp_path: Path) -> None:
    assert remarks(tmp_path, None, "features.position=true") == []


@pytest.mark.parametrize("slot", [0, None])
def test_a_log_of_one_slot_or_none_has_nothing_to_say(tmp_path: Path, slot: int | None) -> None:
    assert remarks(tmp_path, [slot] * invented.SHOWN) == []


def test_slots_that_are_not_there_are_odd_where_they_are_read(tmp_path: Path) -> None:
    (line,) = remarks(tmp_path / "none", [None] * invented.SHOWN, "features.position=true")
    assert line.startswith("odd: ")
    assert "features.position is true, but no row says its slot" in line
    (line,) = remarks(tmp_path / "other", None, "features.position=true", "features.serving_position=7")
    assert line.startswith("odd: ")
    assert "features.serving_position is 7, which no row has; slots are 0 to 1" in line
