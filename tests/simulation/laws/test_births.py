"""Law `births`: lives of ads in the catalogue and among candidates, and what tells their quality."""

import numpy as np
import pyarrow.compute as pc
import pytest

from rosa_ray.settings import Tagged
from rosa_ray.simulation.laws.births import YOUNG_SHARE, Config
from rosa_ray.simulation.laws.law import ORACLE
from tests.simulation.logs import SMALL, log_of_law, write_log


@pytest.fixture(scope="module")
def log():
    return log_of_law("births")


@pytest.fixture(scope="module")
def ages(log):
    """Hours since and until the begin and end of each candidate at its request; NaN for ads that are always there."""
    lives = log.candidates.select(["ad_id", "request_time"]).join(log.ads, "ad_id", join_type="inner")
    time_us = {name: lives[name].cast("int64") for name in ("request_time", "valid_from", "valid_until")}

    def hours(late, early):
        return pc.divide(pc.subtract(time_us[late], time_us[early]).cast("float64"), 3.6e9).to_numpy()

    return hours("request_time", "valid_from"), hours("valid_until", "request_time")


def test_two_thirds_of_the_ads_begin_during_the_log(log):
    begin = log.ads["valid_from"].cast("int64").drop_null().to_numpy()
    assert len(begin) / log.ads.num_rows == pytest.approx(2 / 3, abs=0.01)
    assert log.config.start_us <= begin.min()
    assert begin.max() < log.config.end_us
    life_days = pc.subtract(log.ads["valid_until"].cast("int64"), log.ads["valid_from"].cast("int64"))
    assert 2 <= pc.min(life_days).as_py() / 8.64e10 < pc.max(life_days).as_py() / 8.64e10 <= 8


def test_a_candidate_runs_at_its_request(ages):
    since, until = ages
    assert np.nanmin(since) >= 0
    assert np.nanmin(until) > 0


def test_three_in_ten_candidates_are_younger_than_a_day(ages):
    assert (ages[0] < 24).mean() == pytest.approx(YOUNG_SHARE, abs=0.08)


def test_candidates_stay_distinct(log):
    distinct = log.candidates.group_by("request_id").aggregate([("ad_id", "count_distinct")])
    assert set(distinct["ad_id_count_distinct"].to_pylist()) == {log.config.candidates_per_request}


def test_attributes_tell_about_half_of_the_quality():
    log = write_log(SMALL, chunks=[0], ads=900, laws=(Tagged("births", Config()),))
    ads = log.truth.join(log.candidates.select(["impression_id", "ad_id"]), "impression_id", join_type="inner")
    quality = ads.group_by("ad_id").aggregate([(f"{ORACLE}births_{name}", "mean") for name in ("click", "told")])
    click, told = (quality[f"{ORACLE}births_{name}_mean"].to_numpy() for name in ("click", "told"))
    assert click.std() == pytest.approx(1, abs=0.15)
    assert np.corrcoef(click, told)[0, 1] ** 2 == pytest.approx(0.5, abs=0.12)
