"""Diversity: groups share the first places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.policy.steps.diversity import Config, Rule
from rosa_ray.schema.keys import MISSING_KEY
from tests.policy.slates import random_slate, slate_of


def test_the_second_ad_of_a_campaign_leaves_the_first_places() -> None:
    slate = slate_of([9.0, 8.0, 7.0, 6.0, 5.0], [1.0] * 5, campaign_key=[1, 1, 2, 1, 1])
    left = Rule(Config(most=1, places=2)).apply(slate)
    assert left.order.tolist() == [0, 2, 3, 4]
    assert left.said == {"diversity": {"per": "campaign", "crowded": 1}}


def test_where_no_other_group_is_left_places_stay_empty() -> None:
    slate = slate_of([9.0, 8.0, 7.0], [1.0] * 3, category_key=[4, 4, 4])
    assert Rule(Config(most=2, places=3, per="category")).apply(slate).order.tolist() == [0, 1]


def test_ads_without_a_group_crowd_nobody() -> None:
    slate = slate_of([9.0, 8.0, 7.0], [1.0] * 3, campaign_key=[MISSING_KEY] * 3)
    assert Rule(Config()).apply(slate) is slate


@pytest.mark.parametrize("per", ["campaign", "category"])
@given(seed=st.integers(0, 999), most=st.integers(1, 3), places=st.integers(1, 12))
def test_no_group_has_more_than_its_places_and_each_is_the_best_that_may_be(
    per: str, seed: int, most: int, places: int
) -> None:
    slate = random_slate(seed)
    groups = slate.campaign_key if per == "campaign" else slate.category_key
    left = Rule(Config(most=most, places=places, per=per)).apply(slate)  # type: ignore[arg-type]
    first = left.order[:places]
    assert np.unique(groups[first], return_counts=True)[1].max() <= most
    # Whoever was taken out scores below `most` of its group that stand in first places.
    for row in np.flatnonzero(~left.shown):
        rivals = first[groups[first] == groups[row]]
        assert len(rivals) == most
        assert (slate.score[rivals] >= slate.score[row]).all()
