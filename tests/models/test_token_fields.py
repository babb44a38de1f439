"""Every ranker reads crosses, the ad's id and the slot; the slot is fixed wherever a model scores."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.features import EncodedUsers, FeatureConfig, FeatureState, FitSums, UserRows, encode_users
from rosa_ray.features.own import ColumnConfig
from rosa_ray.inference import predict
from rosa_ray.models import build_ranker, ranker_names
from tests.models.fitting import fit_clicks
from tests.models.test_rankers import OUTSIDE, small, whole_batch
from tests.synthetic import BOUNDS, CONFIG, user_rows_of

ROWS = 3000
A, B = "request.a", "request.b"
RANKERS = [*ranker_names(), *(name for name, _ in OUTSIDE)]
NOISE = 0.05
PLAIN = user_rows_of(CONFIG, {}, impressions=ROWS)
CLICK = PLAIN.impressions["click"].astype(np.int64)


def planted(**columns: np.ndarray) -> UserRows:
    """The synthetic log whose impressions say something else."""
    return dataclasses.replace(PLAIN, impressions={**PLAIN.impressions, **columns})


def told(rng: np.random.Generator, kinds: int) -> np.ndarray:
    """Numbers below `kinds` that are odd where an impression was clicked, but for some noise."""
    odd = np.where(rng.random(ROWS) < NOISE, 1 - CLICK, CLICK)
    return 2 * rng.integers(0, kinds // 2, ROWS) + odd


def fitted(name: str, rows: UserRows, config: FeatureConfig) -> tuple[nn.Module, FeatureState, EncodedUsers, float]:
    """A ranker trained on three quarters of the rows, and its AUC on the others, read as training reads them."""
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config)
    users = encode_users(rows, state, logged_slots=True)
    batch = whole_batch(users)
    torch.manual_seed(0)
    ranker = build_ranker(name, small(name, dropout=0.0), state.table_sizes, state.base_rates)
    return ranker, state, users, fit_clicks(ranker, batch, steps=40)


@pytest.mark.parametrize("name", RANKERS)
def test_every_ranker_finds_a_cross_of_which_no_part_says_anything(name: str) -> None:
    rng = np.random.default_rng(5)
    first = rng.integers(0, 6, ROWS)
    second = 2 * rng.integers(0, 3, ROWS) + (told(rng, 2) + first) % 2
    for part in (first, second):
        assert np.ptp([CLICK[part == value].mean() for value in range(6)]) < 0.1
    columns = {A: ColumnConfig(), B: ColumnConfig(type="number")}
    config = dataclasses.replace(CONFIG, columns=columns, crosses=((A, B),))
    rows = planted(**{A: first + 1, B: second.astype(np.float64)})
    assert fitted(name, rows, config)[-1] > 0.85


@pytest.mark.parametrize("name", RANKERS)
def test_every_ranker_finds_which_ad_it_is(name: str) -> None:
    rng = np.random.default_rng(6)
    config = dataclasses.replace(CONFIG, ad_id=True)
    assert fitted(name, planted(ad_key=1 + told(rng, 20)), config)[-1] > 0.85


@pytest.mark.parametrize("name", RANKERS)
def test_every_ranker_finds_the_slot_and_no_score_depends_on_the_logged_one(name: str) -> None:
    rng = np.random.default_rng(7)
    config = dataclasses.replace(CONFIG, position=True, serving_position=3)
    slot = told(rng, 10).astype(np.int32)
    ranker, state, users, auc = fitted(name, planted(position=slot), config)
    assert auc > 0.85
    served = [
        predict(ranker, encode_users(planted(position=slots), state))["p_ctr"]
        for slots in (slot, rng.permutation(slot), np.full_like(slot, 99), np.full_like(slot, -1))
    ]
    for other in served[1:]:
        np.testing.assert_array_equal(served[0], other)
    logged = predict(ranker, users)["p_ctr"]
    np.testing.assert_allclose(served[0][slot == 3], logged[slot == 3], rtol=1e-5)
    assert np.abs(served[0][slot != 3] - logged[slot != 3]).mean() > 0.05


def test_what_the_slot_explains_is_not_put_down_to_the_campaign_that_stands_there() -> None:
    rng = np.random.default_rng(8)
    slot = np.where(rng.random(ROWS) < NOISE, 1 - CLICK, CLICK)
    campaign = 1 + np.where(rng.random(ROWS) < 0.1, rng.integers(0, 2, ROWS), slot)
    rows = planted(position=slot.astype(np.int32), campaign_key=campaign)
    gaps = []
    for config in (CONFIG, dataclasses.replace(CONFIG, position=True)):
        ranker, state, _, _ = fitted("rosa", rows, config)
        p_ctr = predict(ranker, encode_users(rows, state))["p_ctr"]
        gaps.append(p_ctr[campaign == 2].mean() - p_ctr[campaign == 1].mean())
    assert gaps[0] > 0.5
    assert abs(gaps[1]) < gaps[0] / 2
