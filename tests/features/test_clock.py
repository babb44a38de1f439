"""Local hours and weekdays: summer time, odd offsets, one function offline and online, and old fingerprints kept."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from rosa_ray.data.leakage.predictive_inputs import labelled_columns
from rosa_ray.errors import ConfigError
from rosa_ray.features import FeatureConfig, FeatureState, FitSums, UserRows, encode_timeline, encode_users
from rosa_ray.features.clock import to_local_us
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US
from tests.tiny_users import BOUNDS, FEATURES, tiny_rows

SPRING_US = int(datetime(2026, 3, 29, 1, tzinfo=ZoneInfo("UTC")).timestamp() * 1_000_000)
"""Clocks in Berlin go from 2:00 to 3:00."""


def state_of(rows: UserRows, config: FeatureConfig = FEATURES) -> FeatureState:
    return FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us + SPRING_US - 5 * DAY_US)], config)


@pytest.fixture(scope="module")
def rows() -> UserRows:
    """Ten days about the night of the change; the fitted features do not depend on the clock."""
    plain = tiny_rows(users=12, per_user=20)
    shift_us = SPRING_US - 5 * DAY_US
    events, shown = ({**table, "time_us": table["time_us"] + shift_us} for table in (plain.events, plain.impressions))
    return replace(plain, events=events, impressions=shown)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
def test_every_minute_of_a_year_is_local_time(zone: str) -> None:
    minutes = SPRING_US - 90 * DAY_US + np.random.default_rng(0).integers(0, 365 * 1440, 400) * MINUTE_US
    edges = SPRING_US + np.array([-1, 0, 1, HOUR_US])
    time_us = np.r_[minutes, edges]
    local = [datetime.fromtimestamp(t / 1e6, ZoneInfo(zone)) for t in (time_us // 1_000_000 * 1_000_000).tolist()]
    found = to_local_us(time_us, zone)
    assert (found % DAY_US // HOUR_US).tolist() == [moment.hour for moment in local]
    assert ((found // DAY_US + 3) % 7).tolist() == [moment.weekday() for moment in local]
    assert (found % HOUR_US // MINUTE_US).tolist() == [moment.minute for moment in local]


def test_an_hour_is_skipped_in_spring() -> None:
    local = to_local_us(SPRING_US + np.array([-1, 0]), "Europe/Berlin")
    assert (local % DAY_US // HOUR_US).tolist() == [1, 3]
    assert to_local_us(np.array([], np.int64), "Europe/Berlin").dtype == np.int64


def test_half_hours_by_name_and_by_offset(rows: UserRows) -> None:
    time_us = rows.events["time_us"]
    fixed, named = FeatureConfig(time_zone="+05:30"), FeatureConfig(time_zone="Asia/Kolkata")
    assert (fixed.local_us(time_us) - time_us == 5.5 * HOUR_US).all()
    assert (named.local_us(time_us) == fixed.local_us(time_us)).all()
    assert (FeatureConfig(time_zone="-0330").local_us(time_us) - time_us == -3.5 * HOUR_US).all()


def test_one_user_online_has_the_hours_of_the_block_offline(rows: UserRows) -> None:
    config = replace(FEATURES, time_zone="Europe/Berlin")
    state = state_of(rows, config)
    whole = encode_users(rows, state)
    for user in range(len(rows)):
        first, end = rows.event_offsets[user : user + 2]
        tail = encode_timeline({name: values[first:end] for name, values in rows.events.items()}, state, keep=10**6)
        for name in ("hour", "weekday"):
            np.testing.assert_array_equal(tail[name], whole.events[name][first:end])
    local = config.local_us(rows.impressions["time_us"])
    np.testing.assert_array_equal(whole.impressions["hour"], local % DAY_US // HOUR_US)
    plain = encode_users(rows, state_of(rows)).impressions["hour"]
    assert set(((whole.impressions["hour"] - plain) % 24).tolist()) == {1, 2}


def test_the_leak_guard_reads_the_same_clock(rows: UserRows) -> None:
    config = replace(FEATURES, time_zone="Europe/Berlin")
    found, plain = labelled_columns(rows, config), labelled_columns(rows, FEATURES)
    assert set(((found["hour_key"] - plain["hour_key"]) % 24).tolist()) == {1, 2}


def test_features_without_a_zone_keep_their_fingerprint_and_file(rows: UserRows, tmp_path: Path) -> None:
    state = state_of(rows)
    state.save(tmp_path / "plain")
    document = json.loads((tmp_path / "plain" / "features.json").read_text())
    assert "time_zone" not in document["config"]
    assert "time_zone" not in document["definition"]["config"]
    assert FeatureState.load(tmp_path / "plain").config == FEATURES
    zoned = replace(state, config=replace(FEATURES, time_zone="Asia/Kolkata"))
    zoned.save(tmp_path / "zoned")
    assert FeatureState.load(tmp_path / "zoned").config.time_zone == "Asia/Kolkata"
    assert zoned.fingerprint != state.fingerprint


@pytest.mark.parametrize("name", ["Europe/Berlyn", "5.5", "+5", "../etc/passwd", "Mars"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"features\.time_zone is .* it must be a name such as Europe/Berlin"):
        FeatureConfig(time_zone=name)


def test_a_zone_and_a_shift_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"features\.utc_offset_hours is 8; it must be 0 where features\.time_zone"):
        FeatureConfig(time_zone="Asia/Shanghai", utc_offset_hours=8)
