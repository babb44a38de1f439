"""The leak guard counts own counters again."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.data.leakage.findings import LeakFinding
from rosa_ray.data.leakage.recount import Recount
from rosa_ray.features import FeatureConfig, UserRows, dense_names
from tests.own_counters import FEATURES, TOLD_FEATURES, own_world


def recounted(rows: UserRows, features: FeatureConfig, whole: bool = True) -> list[LeakFinding]:
    recount = Recount(rows, features, 200, np.random.default_rng(0))
    recount.update(rows)
    return list(recount.findings(whole))


@pytest.mark.parametrize("features", [FEATURES, TOLD_FEATURES], ids=["request", "told"])
def test_honest_counters_raise_no_alarm(features: FeatureConfig) -> None:
    assert recounted(own_world(features).rows, features) == []


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("impressions(ad_id,request.place).24h.log1p_impressions", True),
        ("impressions(request.page,device,category).168h.log_ctr", True),
        ("events(user_id,category).all.log1p_view", False),
    ],
)
def test_a_counter_that_saw_more_is_named_with_a_remedy(name: str, whole: bool) -> None:
    rows = own_world().rows
    dense, column = rows.dense.copy(), dense_names(FEATURES).index(name)
    dense[:, column] = np.nan_to_num(dense[:, column]) + 1
    (found,) = recounted(replace(rows, dense=dense), FEATURES, whole)
    assert found.where == name
    assert f"leave '{name.rsplit('.', 2)[0]}' out of features.counters" in found.remedy
