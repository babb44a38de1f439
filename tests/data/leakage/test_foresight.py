"""Columns that know the future are found; those that only tell what users are like are not."""

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.data.leakage.foresight import ForesightCheck, check_static
from rosa_ray.features import EVENT_COLUMNS, IMPRESSION_COLUMNS, UserRows
from rosa_ray.features.own import ColumnConfig, ColumnConfigs
from rosa_ray.features.versions import Versions
from rosa_ray.schema import hash_ids
from rosa_ray.schema.contract import TIMESTAMP

USERS, REQUESTS, SPAN_US = 600, 40, 1_000_000
NUMBER, CATEGORY = ColumnConfig(type="number"), ColumnConfig()


def clicks_of(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Propensity of each user (U,), and times and clicks of their requests (U, R)."""
    rng = np.random.default_rng(seed)
    like = rng.normal(size=USERS)
    time_us = np.sort(rng.integers(0, SPAN_US, (USERS, REQUESTS)), axis=1)
    chance = 1 / (1 + np.exp(2.0 - spread * like))
    return like, time_us, rng.random((USERS, REQUESTS)) < chance[:, None]


def rows_of(time_us: np.ndarray, click: np.ndarray, columns: dict[str, np.ndarray]) -> UserRows:
    """User rows of requests (U, R) whose users have columns (U,) at all times."""
    count = USERS * REQUESTS
    shown = {name: np.zeros(count, type_.to_pandas_dtype()) for name, type_ in IMPRESSION_COLUMNS.items()}
    shown |= {"time_us": time_us.ravel(), "click": click.ravel().astype(np.int8)}
    shown |= {name: np.repeat(values, REQUESTS) for name, values in columns.items()}
    events = {name: np.empty(0, type_.to_pandas_dtype()) for name, type_ in EVENT_COLUMNS.items()}
    return UserRows(
        user_id=np.array([f"u{at}" for at in range(USERS)], object),
        user_key=np.arange(1, USERS + 1),
        event_offsets=np.zeros(USERS + 1, np.int64),
        events=events,
        impression_offsets=np.arange(USERS + 1) * REQUESTS,
        impressions=shown,
        dense=np.empty((count, 0), np.float32),
    )


def found(columns: dict[str, np.ndarray], configs: ColumnConfigs, seed: int, spread: float = 1.0) -> set[str]:
    _, time_us, click = clicks_of(seed, spread)
    check = ForesightCheck(configs, SPAN_US // 2)
    check.update(rows_of(time_us, click, columns))
    return {finding.where for finding in check.findings()}


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_what_users_are_like_is_no_leak_however_well_it_tells(seed: int, spread: float) -> None:
    like, time_us, click = clicks_of(seed, spread)
    past = (click & (time_us < SPAN_US // 4)).sum(axis=1)
    columns = {
        "user.like": like,
        "user.clicks_before": past.astype(float),
        "user.noise": np.random.default_rng(seed).normal(size=USERS),
        "user.kind": hash_ids(pa.array(np.digitize(like, [-1, 0, 1]).astype(str))),
    }
    configs = {name: CATEGORY if name == "user.kind" else NUMBER for name in columns}
    assert found(columns, configs, seed, spread) == set()


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_totals_of_the_whole_log_are_found(seed: int, spread: float) -> None:
    _, _, click = clicks_of(seed, spread)
    total = click.sum(axis=1)
    columns, configs = {"user.total_clicks": total.astype(float)}, {"user.total_clicks": NUMBER}
    if spread < 1:
        # Four segments tell less, and where users differ much the past tells as much of what they are like.
        quarter = np.digitize(total, np.quantile(total, [0.25, 0.5, 0.75]))
        columns["user.segment"], configs["user.segment"] = hash_ids(pa.array(quarter.astype(str))), CATEGORY
    assert found(columns, configs, seed, spread) == set(columns)


def test_static_columns_that_changed_while_the_log_ran_are_found() -> None:
    table = pa.table(
        {
            "user_id": ["a", "a", "b", "b", "c"],
            "valid_from": pa.array([None, 20, None, 5, None], pa.int64()).cast(TIMESTAMP),
            "user.tier": ["low", "high", "low", "high", "low"],
            "user.city": ["rome", "rome", "oslo", "oslo", None],
        }
    )
    configs = {"user.tier": ColumnConfig(clock="static"), "user.city": ColumnConfig(clock="static")}
    (finding,) = check_static({"user.": Versions.of(table, "user_id", configs)}, start_us=10)
    assert finding.where == "user.tier"
    assert "1 of 3 users changed it while the log ran" in finding.message
    assert "clock: valid_from" in finding.remedy
    assert not [*check_static({"user.": Versions.of(table, "user_id", configs)}, start_us=30)]
