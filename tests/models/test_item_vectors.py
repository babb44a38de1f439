"""Items that others meet together are alike within their category: small worlds whose tastes are known."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.models import item_vectors as module
from rosa_ray.models.item_vectors import (
    HALF_LIFE_HOURS,
    LAST,
    LEAST_EVENTS,
    NAMES,
    WIDTH,
    ItemEvents,
    ItemVectors,
    event_hours,
)
from rosa_ray.models.pairs import Pairs
from rosa_ray.models.transitions import HORIZONS, Transitions
from rosa_ray.schema import FOLDS
from rosa_ray.units import HOUR_US, NO_PRICE

SHOES, TENTS = 1, 2
RED, BLUE = (1, 2, 3), (4, 5, 6)
"""Shoes of two styles. Each user looks at those of one."""
TENT = (7, 8)
ROWS = 9
CATEGORY = np.array([0, *[SHOES] * 6, *[TENTS] * 2])
TASTES = [[1, 2, 3, 7, 8] * 2, [4, 5, 6, 8, 7] * 2]


def counted(timelines: Sequence[Sequence[int]], folds: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    row = np.array([row for timeline in timelines for row in timeline], np.int64)
    offsets = np.cumsum([0, *(len(timeline) for timeline in timelines)])
    return row, offsets, np.array(folds)


def columns_of(row: np.ndarray) -> dict[str, np.ndarray]:
    return {"item": row, "category": CATEGORY[row], "log_price": np.full_like(row, NO_PRICE)}


def vectors_of(
    timelines: Sequence[Sequence[int]], folds: Sequence[int], category: np.ndarray = CATEGORY
) -> ItemVectors:
    row, offsets, fold = counted(timelines, folds)
    pairs = Pairs.count(row, offsets, fold, len(category), HORIZONS[1])
    return ItemVectors.fit(pairs, ItemEvents.count(row, category[row], offsets, fold, len(category)))


def cosine(vectors: ItemVectors, one: int, other: int, fold: int = FOLDS) -> float:
    at = {row: place for place, row in enumerate(vectors.rows.tolist())}
    return float(vectors.vectors[fold, at[one]] @ vectors.vectors[fold, at[other]])


def read(vectors: ItemVectors, ad: int, last: Sequence[int], hours: Sequence[float], fold: int | None = None) -> dict:
    """Scalars of one ad by name after events of its category, newest first."""
    told = None if fold is None else torch.tensor([fold])
    same, ages = torch.ones(1, len(last), dtype=torch.bool), torch.tensor([list(hours)], dtype=torch.float64)
    found = vectors.read(torch.tensor([ad]), torch.tensor([list(last)]), same, ages, told)
    return dict(zip(NAMES, found[0].tolist(), strict=True))


def test_items_that_others_meet_together_are_alike_and_others_of_the_category_are_not() -> None:
    found = vectors_of(TASTES * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    for style, others in ((RED, BLUE), (BLUE, RED)):
        assert min(cosine(found, style[0], one) for one in style) > 0.5
        assert max(cosine(found, style[0], one) for one in others) < -0.5


def test_a_category_is_no_likeness() -> None:
    """Of tents there is one taste alone: all meet all, and nothing is left beyond the mean."""
    found = vectors_of([[7, 8] * 5, [8, 7] * 5] * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    assert found.vectors.abs().max() == 0 or cosine(found, 7, 8) < 0


def test_the_readers_own_fold_does_not_count() -> None:
    found = vectors_of(TASTES * 4, [2] * 8)
    assert found.vectors[2].abs().max() == 0
    for fold in (0, 1, 3):
        assert found.vectors[fold].equal(found.vectors[FOLDS])
    assert read(found, 1, [2], [1.0], fold=2)["like_mean"] == 0 < read(found, 1, [2], [1.0], fold=1)["like_mean"]


def test_rare_items_and_more_than_have_room_have_no_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = TASTES * 4 + [[1, 2, 7] * (LEAST_EVENTS - 1)]
    world = [[row if row != 3 else 1 for row in timeline] for timeline in rare] + [[3] * (LEAST_EVENTS - 1)]
    folds = [number % FOLDS for number in range(len(world))]
    assert 3 not in vectors_of(world, folds).rows
    monkeypatch.setattr(module, "MOST_ITEMS", 4)
    assert vectors_of(TASTES * 3 + [[7, 8, 4, 5] * 9], [0, 1, 2, 3, 0, 1, 2]).rows.tolist() == [4, 5, 7, 8]


def test_the_missing_row_has_none() -> None:
    assert 0 not in vectors_of([[0, 1, 2, 3] * 5] * 4, [0, 1, 2, 3]).rows


def test_scalars_by_hand() -> None:
    vectors = torch.zeros(FOLDS + 1, 3, WIDTH)
    vectors[:, 0, 0], vectors[:, 1, 0], vectors[:, 1, 1], vectors[:, 2, 1] = 1.0, 0.6, 0.8, 1.0
    found = read(ItemVectors(torch.tensor([1, 2, 3]), vectors), 1, [2, 3, 1, 4], [0, HALF_LIFE_HOURS, 24, 36])
    assert found["like_mean"] == pytest.approx((0.6 + 0 + 1 + 0) / 4)
    assert found["like_lately"] == pytest.approx((0.6 + 0.25) / (1 + 0.5 + 0.25 + 0.125))
    assert found["like_newest"] == pytest.approx(0.6)
    assert found["like_sum"] == pytest.approx(1.6 / 5)


def test_a_user_who_was_long_away_is_read_as_one_who_was_not() -> None:
    found = vectors_of(TASTES * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    near, far = (read(found, 1, [2, 3], [since, since + 12]) for since in (1.0, 24 * 400.0))
    assert near["like_lately"] > 0.5
    assert near == pytest.approx(far)


def test_an_ad_of_an_unknown_item_is_like_nothing() -> None:
    found = vectors_of(TASTES * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    assert set(read(found, 0, [1, 2], [1.0, 2.0]).values()) == {0.0}
    assert set(read(ItemVectors.none(), 1, [1, 2], [1.0, 2.0]).values()) == {0.0}


def test_only_the_last_events_of_the_ads_category_are_compared() -> None:
    transitions = Transitions({"item": ROWS, "category": 3}, within_category=True)
    row, offsets, fold = counted(TASTES * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    transitions.take([transitions.count(columns_of(row), offsets, fold)])

    def like(timeline: Sequence[int], ad: int = 1, category: int = SHOES) -> list[float]:
        events = torch.tensor([list(timeline)])
        hours = torch.arange(len(timeline))[None] * HOUR_US
        told = transitions.eval()(
            {
                "item": torch.tensor([[ad]]),
                "category": torch.tensor([[category]]),
                "visible": torch.tensor([[len(timeline)]]),
                "time_us": torch.tensor([[len(timeline) * HOUR_US]]),
            },
            {"item": events, "category": torch.from_numpy(CATEGORY)[events], "time_us": hours},
            None,
        )
        assert told.values.shape == (1, 1, transitions.width)
        return told.values[0, 0, -len(NAMES) :].tolist()

    assert min(like([2, 7, 8])) > 0 > max(like([5, 7, 8]))
    assert like([2, 7, 8])[0] == like([2])[0]
    assert set(like([7, 8])) == set(like([2], category=0)) == {0.0}
    assert like([2, *[7] * (LAST - 1)])[0] > 0 == like([2, *[7] * LAST])[0]


def test_in_training_a_user_reads_the_vectors_of_other_folds_alone() -> None:
    """All events are of fold 0, whose users read none of them."""
    transitions = Transitions({"item": ROWS, "category": 3}, within_category=True)
    row, offsets, fold = counted(TASTES * 4, [0] * 8)
    transitions.take([transitions.count(columns_of(row), offsets, fold)])
    shown = {name: torch.tensor([[value]] * 2) for name, value in
             (("item", 1), ("category", SHOES), ("visible", 1), ("time_us", HOUR_US))}  # fmt: skip
    events = {name: torch.tensor([[value]] * 2) for name, value in (("item", 2), ("category", SHOES), ("time_us", 0))}
    read_by = torch.tensor([0, 2])
    own, others = transitions.train()(shown, events, read_by).values[:, 0, -len(NAMES) :].tolist()
    assert set(own) == {0.0}
    assert min(others) > 0
    both = transitions.eval()(shown, events, read_by).values[:, 0, -len(NAMES) :].tolist()
    assert both == [others, others]


def test_company_and_parts_change_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.standard_normal((FOLDS + 1, 30, WIDTH)).astype(np.float32))
    found = ItemVectors(torch.arange(1, 31), vectors)
    ads, last = (torch.from_numpy(rng.integers(0, 32, shape)) for shape in ((40, 7), (40, 7, LAST)))
    same, hours = torch.from_numpy(rng.random((40, 7, LAST)) < 0.3), torch.from_numpy(rng.random((40, 7, LAST)) * 90)
    fold = torch.from_numpy(rng.integers(0, FOLDS, (40, 1)))
    whole = found.read(ads, last, same, hours, fold)
    monkeypatch.setattr(module, "_CELLS", 7)
    assert found.read(ads, last, same, hours, fold).equal(whole)
    for at in range(40):
        alone = found.read(ads[at, :1], last[at, :1], same[at, :1], hours[at, :1], fold[at])
        assert alone.equal(whole[at, :1])


def test_many_items_are_told_apart_too_and_the_same_each_time() -> None:
    """More than are decomposed whole: 40 styles of 5 items in one category, and users of one style each."""
    rng = np.random.default_rng(0)
    timelines = [(5 * (user % 40) + 1 + rng.integers(0, 5, 30)).tolist() for user in range(320)]
    category = np.r_[0, np.ones(200, np.int64)]
    found, again = (vectors_of(timelines, [user % FOLDS for user in range(320)], category) for _ in range(2))
    assert found.vectors.equal(again.vectors)
    assert len(found.rows) == 200
    like = (found.vectors[FOLDS] @ found.vectors[FOLDS].T).numpy()
    style = np.arange(200) // 5
    alike = style[:, None] == style[None]
    assert like[alike].mean() > 0.7 > 0.1 > like[~alike].mean()


def test_weights_are_kept_and_those_without_vectors_refused() -> None:
    given, taken = (Transitions({"item": ROWS, "category": 3}, within_category=True) for _ in range(2))
    row, offsets, fold = counted(TASTES * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    given.take([given.count(columns_of(row), offsets, fold)])
    taken.load_state_dict(given.state_dict())
    assert taken.vectors is not None
    assert given.vectors is not None
    assert len(taken.vectors.rows) == 8
    assert taken.vectors.vectors.equal(given.vectors.vectors)
    with pytest.raises(RuntimeError, match="item_vectors"):
        taken.load_state_dict(Transitions({"item": ROWS, "category": 3}).state_dict())


def test_hours_are_before_the_ad() -> None:
    assert event_hours(torch.tensor([7 * HOUR_US]), torch.tensor([[HOUR_US, 7 * HOUR_US]])).tolist() == [[6.0, 0.0]]


@given(st.lists(st.lists(st.integers(0, ROWS - 1), max_size=6), max_size=5), st.integers(0, 5))
def test_events_of_parts_are_those_of_the_whole(timelines: list[list[int]], cut: int) -> None:
    def of(some: list[list[int]]) -> ItemEvents:
        row, offsets, fold = counted(some, [len(timeline) % FOLDS for timeline in some])
        return ItemEvents.count(row, CATEGORY[row], offsets, fold.astype(np.int64), ROWS)

    whole, parts = of(timelines), (of(timelines[cut:]), of(timelines[:cut]))
    for merged in (parts[0].merge(parts[1]), parts[1].merge(parts[0]), ItemEvents.none(ROWS).merge(whole)):
        assert merged.events.equal(whole.events)
        assert merged.category.equal(whole.category)
