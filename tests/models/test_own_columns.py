"""Declared columns of every type in every ranker: what one says of clicks is found."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch

from rosa_ray.features import FeatureConfig, FeatureState, FitSums, UserRows, encode_users
from rosa_ray.features.frozen import FrozenVectors
from rosa_ray.features.own import ColumnConfig
from rosa_ray.models import build_ranker, ranker_names
from rosa_ray.models.exact_match import HALF_LIVES_HOURS
from rosa_ray.models.vector_likeness import VectorLikeness
from rosa_ray.schema import BEHAVIORS, hash_ids
from rosa_ray.units import HOUR_US
from tests.models.fitting import fit_clicks
from tests.models.test_rankers import small, whole_batch
from tests.synthetic import BOUNDS, CONFIG, impressions_table, user_rows_of

ROWS = 3000
SIZE = 4
EVERY = [*ranker_names(), "examples.my_model"]


def click_of(name: str, config: FeatureConfig, rows: UserRows, state: FeatureState) -> float:
    """AUC of held-out clicks after a short training."""
    batch = whole_batch(encode_users(rows, state))
    torch.manual_seed(0)
    ranker = build_ranker(name, small(name, dropout=0.0), state.table_sizes, state.base_rates)
    return fit_clicks(ranker, batch, steps=60)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", ["categories", "vector"])
def test_every_ranker_finds_what_a_column_of_several_values_says(name: str, kind: str) -> None:
    rng = np.random.default_rng(5)
    column = ColumnConfig(type="vector", size=SIZE) if kind == "vector" else ColumnConfig(type="categories", most=3)
    config = dataclasses.replace(CONFIG, columns={"request.told": column})
    click = impressions_table(np.random.default_rng(0), impressions=ROWS)["click"].to_numpy()
    if kind == "vector":
        vectors = rng.normal(size=(ROWS, SIZE)) + np.where(click, 1.0, -1.0)[:, None] * [1, 0, -1, 0]
        told = pa.array(vectors.tolist(), pa.list_(pa.float32()))
    else:
        noise = rng.integers(0, 9, (ROWS, 2))
        told = pa.array([[f"n{a}", "yes" if yes else "no", f"n{b}"] for (a, b), yes in zip(noise, click, strict=True)])
    rows = user_rows_of(config, {"request.told": told}, impressions=ROWS)
    rows = UserRows.from_table(rows.to_table())
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config)
    assert click_of(name, config, rows, state) > 0.75


@pytest.mark.parametrize("name", EVERY)
def test_every_ranker_finds_what_a_frozen_vector_of_ads_says(name: str) -> None:
    rng = np.random.default_rng(5)
    config = dataclasses.replace(CONFIG, columns={"ad.image": ColumnConfig(type="vector", size=SIZE)})
    click = impressions_table(np.random.default_rng(0), impressions=ROWS)["click"].to_numpy()
    rows = user_rows_of(config, {}, impressions=ROWS)
    # Every impression is of an ad of its own, so that nothing but the vector can be learned from.
    ads = np.arange(ROWS) + 1
    rows.impressions["ad_key"][:] = ads
    vectors = rng.normal(size=(ROWS, SIZE)) + np.where(rows.impressions["click"], 1.0, -1.0)[:, None] * [1, 0, -1, 0]
    frozen = {"ad.image": FrozenVectors(ads, vectors.astype(np.float32))}
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config, vectors=frozen)
    assert click.sum() == rows.impressions["click"].sum()
    assert click_of(name, config, rows, state) > 0.75


def test_likeness_is_the_mean_cosine_of_the_history_s_items_newer_events_counting_more() -> None:
    sizes = {"vector:item.image": 2, "vector:ad.image": 3}
    likeness = VectorLikeness(sizes, window=10)
    events = {
        "time_us": torch.tensor([[0, 2 * HOUR_US, 2 * HOUR_US, 9 * HOUR_US]]),
        "behavior": torch.tensor([[0, 0, 0, 3]]),
        "vectors": torch.tensor([[[2.0, 0.0], [0.0, 5.0], [0.0, 0.0], [1.0, 1.0]]]),
    }
    shown = {
        "time_us": torch.tensor([[3 * HOUR_US, 3 * HOUR_US]]),
        "visible": torch.tensor([[3, 0]]),
        "vectors": torch.tensor([[[3.0, 0.0, 7.0, 7.0, 7.0], [3.0, 0.0, 7.0, 7.0, 7.0]]]),
    }
    found = likeness(shown, events).detach().reshape(2, len(HALF_LIVES_HOURS), len(BEHAVIORS))
    # Half-life of an hour: the first event, of cosine 1, counts 1/8, the second, of cosine 0, counts 1/2.
    assert found[0, 0, 0].item() == pytest.approx((1 / 8) / (1 / 8 + 1 / 2))
    assert found[0, :, 1:].abs().max() == 0
    assert found[1].abs().max() == 0


def test_shared_columns_tell_events_and_ads_from_one_table() -> None:
    config = dataclasses.replace(CONFIG, columns={"item.brand": ColumnConfig(shared=True)})
    keys = hash_ids(pa.array([f"b{at}" for at in range(5)]))
    rows = user_rows_of(
        config, {"item.brand": pa.array(["b1"] * 400)}, event_own={"item.brand": keys[np.arange(300) % 5]}
    )
    again = UserRows.from_table(rows.to_table())
    np.testing.assert_array_equal(again.events["item.brand"], rows.events["item.brand"])
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config)
    users = encode_users(rows, state)
    ranker = build_ranker("rosa", small("rosa", dropout=0.0), state.table_sizes, state.base_rates)
    batch = whole_batch(users)
    before = ranker.encode(batch.events)
    with torch.no_grad():
        ranker.tables.shared.weight[users.impressions["shared"][0, 0]] += 1.0
    after = ranker.encode(batch.events)
    changed = (before != after).any(-1) & batch.event_mask
    of_brand = (batch.events["shared"][..., 0] == int(users.impressions["shared"][0, 0])) & batch.event_mask
    assert of_brand.any()
    assert (changed | ~of_brand).all()
