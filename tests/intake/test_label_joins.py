"""`rosa check` reads clicks and conversions of their own logs as preprocessing joins them."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.config import load_config
from rosa_ray.data.preprocess import PreprocessConfig, split_bounds
from rosa_ray.intake.check import LogCheck, check_log
from rosa_ray.intake.propose import propose
from rosa_ray.labels import LabelsConfig
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.units import DAY_US
from tests.labels.logs import joined_log, source_of

NO_VIEWS = LabelsConfig(view_through_hours=0)


def checked(config: SourceConfig) -> LogCheck:
    return check_log(open_source(config), partial(split_bounds, PreprocessConfig()), labels=NO_VIEWS)


@pytest.mark.parametrize("by", ["impression", "click"])
def test_rates_are_those_of_the_joined_log(by: str, tmp_path: Path) -> None:
    whole = joined_log(4)
    check = checked(source_of(tmp_path, whole, by))
    assert check.rates["clicks"] == np.sum(whole["click"].to_numpy())
    assert check.rates["conversions"] == np.sum(whole["conversion"].to_numpy())
    assert check.rates["revenue"] == pytest.approx(np.sum(whole["revenue"].to_numpy()))
    assert check.rates["cost"] == pytest.approx(np.sum(whole["cost"].to_numpy()))
    assert check.label_age is not None
    assert not [remark for remark in check.remarks if remark.level in ("lost", "unreadable")]


def test_what_does_not_join_is_lost(tmp_path: Path) -> None:
    config = source_of(tmp_path, joined_log(4), "impression")
    rows = "\n".join(f"x{number},2023-11-15T00:00:00Z" for number in range(30))
    (tmp_path / "clicks" / "9.csv").write_text(f"impression_id,click_time\n{rows}")
    check = checked(config)
    lost = [remark for remark in check.remarks if remark.level == "lost"]
    assert [remark.where for remark in lost] == ["clicks"]
    assert lost[0].text.startswith("30 of ")
    assert check.exit_code == 4


@pytest.mark.parametrize("by", ["impression", "click", "pair"])
def test_a_proposed_config_reads_five_tables_as_they_are(by: str, tmp_path: Path) -> None:
    whole = joined_log(4, spread=by == "pair")
    source_of(tmp_path, whole, by)
    names = ("conversions", "events", "impressions", "ads", "clicks")
    proposal = propose([str(tmp_path / name) for name in names], "shop", "rosa check shop.yaml")
    assert {table.table for table in proposal.tables} == set(names)
    (tmp_path / "shop.yaml").write_text(proposal.draft.text)
    config = load_config(tmp_path / "shop.yaml")
    check = check_log(open_source(config.source), partial(split_bounds, config.preprocess), labels=NO_VIEWS)
    assert check.rates["clicks"] == np.sum(whole["click"].to_numpy())
    assert check.rates["conversions"] == np.sum(whole["conversion"].to_numpy())
    assert check.exit_code == 0


def test_conversions_after_the_window_are_none_and_young_rows_are_told(tmp_path: Path) -> None:
    whole = joined_log(4)
    config, labels = source_of(tmp_path, whole, "impression"), LabelsConfig(view_through_hours=0, attribution_days=3)
    check = check_log(open_source(config), partial(split_bounds, PreprocessConfig()), labels=labels)
    asked, bought = (whole[name].cast("int64").to_numpy() for name in ("request_time", "conversion_time"))
    converted = whole["conversion"].to_numpy()
    late = int((converted & (bought - asked > 3 * DAY_US)).sum())
    assert 0 < late < converted.sum()
    assert check.rates["conversions"] == converted.sum() - late
    told = [remark.text for remark in check.remarks if "labels.attribution_days" in remark.text]
    assert told[0].startswith(f"{late} row")
    assert len(told) == 2
