from collections.abc import Sequence

import numpy as np
import pytest
import torch

from rosa_ray.features import EncodedUsers, collate
from rosa_ray.models import UserBatch
from rosa_ray.models.exact_match import HALF_LIVES_HOURS, ExactMatch
from rosa_ray.models.tree_history import Past, history_columns
from rosa_ray.schema import BEHAVIORS, MISSING_KEY
from tests.models.one_user import Event, one_user
from tests.tiny_users import tiny_users

KINDS, WINDOW = len(BEHAVIORS), 150


def batch_of(users: EncodedUsers) -> UserBatch:
    return UserBatch.from_numpy(collate(users, np.arange(len(users))))


def columns(
    events: Sequence[Event], shown: Sequence[tuple[float, int, int]], window: int = WINDOW
) -> dict[str, list[float]]:
    found = history_columns(batch_of(one_user(events, shown)), KINDS, window)
    return {name: values.tolist() for name, values in found.items()}


def test_matches_count_half_after_each_half_life_by_behaviour() -> None:
    found = columns([(0, 1, 10, 0), (11, 1, 10, 3), (11, 2, 10, 0)], [(12, 1, 10)])
    assert found["item_0_12h"] == [pytest.approx(0.5)]
    assert found["item_3_1h"] == [pytest.approx(0.5)]
    assert found["item_1_12h"] == [0]
    assert found["category_0_12h"] == [pytest.approx(0.5 + 0.5 ** (1 / 12))]


def test_recency_is_of_the_last_event_and_of_the_last_one_that_matches() -> None:
    found = columns([(0, 1, 10, 0), (2, 2, 20, 0), (5, 3, 10, 0)], [(6, 1, 10), (6, 9, 20), (6, 9, 90)])
    assert found["hours_since_1"] == [1, 1, 1]
    assert found["hours_since_2"] == [4, 4, 4]
    np.testing.assert_array_equal(found["hours_since_item"], [6, np.nan, np.nan])
    np.testing.assert_array_equal(found["hours_since_category"], [1, 4, np.nan])
    assert found["events"] == [3, 3, 3]


def test_how_often_an_event_kept_the_category_of_the_one_before() -> None:
    categories = [10, 10, 20, 20, 20, 30, 30, 40]
    found = columns([(hour, 1, category, 0) for hour, category in enumerate(categories)], [(9, 1, 1)])
    assert found["stayed"] == [pytest.approx(4 / 7)]
    assert found["stayed_lately"] == [pytest.approx(3 / 5)]


def test_an_event_at_the_time_of_the_request_or_later_is_not_seen() -> None:
    before: list[Event] = [(0, 1, 10, 0)]
    ads = [(3, 1, 10)]
    found, expected = columns([*before, (3, 1, 10, 0), (4, 1, 10, 0)], ads), columns(before, ads)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_missing_ids_match_nothing() -> None:
    found = columns([(0, MISSING_KEY, MISSING_KEY, 0)], [(1, MISSING_KEY, MISSING_KEY)])
    assert found["item_0_12h"] == found["category_0_12h"] == [0]
    assert np.isnan(found["hours_since_item"]).all()


def test_a_user_without_events_has_no_past() -> None:
    found = columns([], [(1, 1, 10)])
    assert found["events"] == found["item_0_12h"] == [0]
    for name in ("hours_since_1", "hours_since_item", "stayed", "stayed_lately"):
        assert np.isnan(found[name]).all()


def test_matches_are_those_that_rankers_have() -> None:
    users, _ = tiny_users(users=12, per_user=9)
    batch = batch_of(users)
    found = history_columns(batch, KINDS, WINDOW)
    with torch.no_grad():
        counts = torch.expm1(ExactMatch(150)(batch.impressions, batch.events)).numpy()
    names = [
        f"{kind}_{code}_{hours:g}h" for hours in HALF_LIVES_HOURS for kind in ("item", "category") for code in range(4)
    ]
    shown = batch.impression_mask.numpy()
    for place, name in enumerate(names):
        np.testing.assert_allclose(counts[..., place][shown], found[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_past_is_newest_first() -> None:
    batch = batch_of(one_user([(0, 1, 1, 0), (1, 2, 1, 0), (2, 3, 1, 0)], [(1.5, 1, 1)]))
    past = Past.of(batch, 3)
    assert past.there.tolist() == [[True, True, False]]
    assert past.read(batch.events["item_key"])[0, :2].tolist() == [2, 1]


def test_a_window_ends_what_is_seen() -> None:
    found = columns([(0, 1, 10, 0), (11, 2, 10, 0)], [(12, 1, 10)], window=1)
    assert found["events"] == [1]
    assert found["item_0_1440h"] == [0]
    assert found["hours_since_1"] == [1]
    for name in ("hours_since_2", "hours_since_item", "stayed", "stayed_lately"):
        assert np.isnan(found[name]).all(), name


def test_no_number_of_an_impression_depends_on_its_company() -> None:
    users, _ = tiny_users(users=12, per_user=9)
    together = history_columns(batch_of(users), KINDS, WINDOW)
    alone = [history_columns(batch_of(users.take(np.array([user]))), KINDS, WINDOW) for user in range(len(users))]
    for name, values in together.items():
        assert np.concatenate([part[name] for part in alone]).tobytes() == values.tobytes(), name
