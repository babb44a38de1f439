import dataclasses
import math

import numpy as np
import pytest
import torch

from rosa_ray.features import IMPRESSION_COLUMNS, FeatureConfig, FeatureState, collate, encode_users, event_columns
from rosa_ray.features.fit_sums import TABLES
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.models import UserBatch
from rosa_ray.models.exact_match import HALF_LIVES_HOURS, ExactMatch
from rosa_ray.schema import MISSING_KEY, Behavior
from rosa_ray.serving.request_features import one_user
from rosa_ray.units import HOUR_US

STATE = FeatureState(
    config=FeatureConfig(views=()),
    vocabularies={},
    dense_mean=np.empty(0),
    dense_scale=np.empty(0),
    log_money_mean=np.zeros(2),
    log_money_scale=np.ones(2),
    totals={},
)


def counts(match: ExactMatch, shown: dict, events: dict) -> torch.Tensor:
    """Counts as (half-life, kind, behaviour) of the first ad."""
    read = match(
        {name: torch.tensor([values]) for name, values in shown.items()},
        {name: torch.tensor([values]) for name, values in events.items()},
    )
    return torch.expm1(read[0, 0]).view(len(HALF_LIVES_HOURS), 2, len(Behavior)).detach()


def test_counts_by_hand() -> None:
    """A view of the very item one hour ago and a cart of its category twelve hours ago; the last event is not seen."""
    events = {
        "time_us": [0, 11 * HOUR_US, 13 * HOUR_US],
        "item_key": [8, 7, 7],
        "category_key": [3, 3, 3],
        "behavior": [int(Behavior.CART), int(Behavior.VIEW), int(Behavior.VIEW)],
    }
    shown = {"time_us": [12 * HOUR_US], "visible": [2], "item_key": [7], "category_key": [3]}
    found = counts(ExactMatch(window=50), shown, events)
    fresh = [[math.exp2(-hours / half_life) for hours in (1, 12)] for half_life in HALF_LIVES_HOURS]
    item, category = found[:, 0], found[:, 1]
    assert item[:, Behavior.VIEW].tolist() == pytest.approx([view for view, _ in fresh], rel=1e-5)
    assert category[:, Behavior.VIEW].tolist() == pytest.approx([view for view, _ in fresh], rel=1e-5)
    assert category[:, Behavior.CART].tolist() == pytest.approx([cart for _, cart in fresh], rel=1e-5)
    assert float(item[:, Behavior.CART].sum() + found[..., Behavior.PURCHASE].sum()) == 0


def test_only_the_last_window_of_events_counts() -> None:
    events = {"time_us": [0, 1, 2], "item_key": [5, 5, 6], "category_key": [1, 1, 2], "behavior": [0, 0, 0]}
    shown = {"time_us": [3], "visible": [3], "item_key": [5], "category_key": [1]}
    whole, short = (counts(ExactMatch(window), shown, events)[:, 0, 0] for window in (3, 2))
    assert whole.tolist() == pytest.approx([2.0] * 4, rel=1e-4)
    assert short.tolist() == pytest.approx([1.0] * 4, rel=1e-4)


def unseen_item_counts(items: np.ndarray, categories: np.ndarray, ads: np.ndarray, ad_category: int) -> torch.Tensor:
    """Counts (ad, half-life, kind, behaviour) of ads after a timeline, by features that know no id at all."""
    state = dataclasses.replace(
        STATE, vocabularies={name: Vocabulary(np.empty(0, np.int64), oov_buckets=1) for name in TABLES}
    )
    events = event_columns(time_us=np.arange(len(items)), item_key=items, category_key=categories)
    shown = {name: np.ones(len(ads), type_.to_pandas_dtype()) for name, type_ in IMPRESSION_COLUMNS.items()} | {
        "time_us": np.full(len(ads), len(items)),
        "item_key": ads,
        "category_key": np.full(len(ads), ad_category),
    }
    rows = one_user(1, events, shown, np.zeros((len(ads), 0), np.float32))
    batch = UserBatch.from_numpy(collate(encode_users(rows, state), np.array([0])))
    assert len(set(batch.events["item"][0].tolist())) == 1
    read = ExactMatch(window=200)(batch.impressions, batch.events)
    return torch.expm1(read[0]).view(len(ads), len(HALF_LIVES_HOURS), 2, len(Behavior)).detach()


def test_unseen_items_of_one_table_row_are_not_taken_for_each_other() -> None:
    items = np.arange(1, 151) * 7919
    known = np.full(150, 5)
    others, same = unseen_item_counts(items, known, ads=items + 1, ad_category=6), items[[3, 149]]
    assert others.abs().max() == 0
    met = unseen_item_counts(items, known, ads=same, ad_category=5)
    assert met[:, -1, 0, Behavior.VIEW].tolist() == pytest.approx([1.0, 1.0], rel=1e-4)
    assert met[:, -1, 1, Behavior.VIEW].tolist() == pytest.approx([150.0, 150.0], rel=1e-4)


def test_a_missing_id_matches_nothing() -> None:
    missing = np.full(3, MISSING_KEY)
    found = unseen_item_counts(missing, missing, ads=np.array([MISSING_KEY]), ad_category=MISSING_KEY)
    assert found.abs().max() == 0
