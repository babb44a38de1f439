"""What an ad costs beside the prices that its user looks at: small worlds, counted by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.features.encoding import log_prices
from rosa_ray.models.price_levels import LATELY, MOST, NAMES, PRIOR_EVENTS, USUAL_EVENTS, PriceLevels, PriceSums
from rosa_ray.models.transitions import Transitions
from rosa_ray.schema import FOLDS
from rosa_ray.units import NO_PRICE, THOUSANDTHS

SHOES, TENTS = 1, 2
ROWS = 3
Event = tuple[int, int]
"""Category and log price of an event, thousandths."""


def sums_of(timelines: Sequence[Sequence[Event]], folds: Sequence[int]) -> PriceSums:
    events = np.array([event for timeline in timelines for event in timeline], np.int64).reshape(-1, 2)
    offsets = np.cumsum([0, *(len(timeline) for timeline in timelines)])
    return PriceSums.count(events[:, 1], events[:, 0], offsets, np.array(folds, np.int64), ROWS)


LEVELS = PriceLevels(torch.tensor([[3000] * (FOLDS + 1), [4000] * (FOLDS + 1), [5000] * (FOLDS + 1)]))
"""Shoes cost e^4, tents e^5."""


def read(
    ad: Event, last: Sequence[Event], levels: PriceLevels = LEVELS, fold: int | None = None, missing: int = 0
) -> dict[str, float]:
    """Scalars of one ad by name after events, newest first, with room for `missing` more."""
    category, price = (
        torch.tensor([[event[at] for event in last] + [0] * missing], dtype=torch.int64) for at in (0, 1)
    )
    there = torch.tensor([[True] * len(last) + [False] * missing], dtype=torch.bool)
    shown = torch.tensor([ad[1]]), torch.tensor([ad[0]])
    told = None if fold is None else torch.tensor([fold])
    found = levels.read(shown, (price, category), there, there & (category == ad[0]), told)
    return dict(zip(NAMES, found[0].tolist(), strict=True))


def test_prices_are_read_less_the_usual_ones_of_their_categories() -> None:
    found = read((SHOES, 4500), [(TENTS, 5300), (SHOES, 4100), (SHOES, 3900), (TENTS, 5100)], missing=3)
    user = (0.3 + 0.1 - 0.1 + 0.1) / (4 + USUAL_EVENTS)
    assert found == pytest.approx(
        {
            "price_level": 0.5,
            "user_price_level": user,
            "user_price_level_in_category": 0.0,
            "price_to_user": 0.5 - user,
            "price_to_lately": 0.5 - 0.1,
            "price_to_category": 0.5,
            "price_to_newest": 0.4,
            "price_gap_newest": 0.4,
        }
    )


def test_a_cheaper_ad_is_as_far_from_the_newest_event_as_a_dearer_one() -> None:
    dear, cheap = (read((SHOES, 4000 + more), [(SHOES, 4000)]) for more in (250, -250))
    assert dear["price_gap_newest"] == cheap["price_gap_newest"] == 0.25
    assert dear["price_to_newest"] == -cheap["price_to_newest"] == 0.25


def test_what_a_user_looked_at_lately_are_the_last_few_events() -> None:
    found = read((SHOES, 4000), [(TENTS, 5200)] * LATELY + [(TENTS, 9000)] * 7)
    assert found["price_to_lately"] == pytest.approx(-0.2)
    assert found["user_price_level"] > 0.2


@pytest.mark.parametrize("ad", [(SHOES, NO_PRICE), (SHOES, 4500)])
def test_what_is_not_known_is_0(ad: Event) -> None:
    known = ad[1] != NO_PRICE
    alone = read(ad, [], missing=2)
    assert alone["price_level"] == alone["price_to_user"] == (0.5 if known else 0)
    assert {value for name, value in alone.items() if name not in ("price_level", "price_to_user")} == {0.0}
    unpriced = read(ad, [(SHOES, NO_PRICE), (TENTS, NO_PRICE)])
    assert unpriced == alone
    assert set(read(ad, [(SHOES, 4100)], PriceLevels.none(ROWS)).values()) == {0.0}


def test_an_ad_without_price_says_what_its_user_looks_at() -> None:
    found = read((SHOES, NO_PRICE), [(SHOES, 4800)])
    assert {name for name, value in found.items() if value} == {"user_price_level", "user_price_level_in_category"}


def test_a_slip_of_the_comma_moves_no_mean_far() -> None:
    found = read((SHOES, 4000 + 30 * THOUSANDTHS), [(SHOES, 4000 - 30 * THOUSANDTHS)])
    assert found["price_level"] == MOST / THOUSANDTHS == -found["user_price_level_in_category"]


def test_usual_prices_are_means_of_logs_with_some_events_of_all_categories() -> None:
    sums = sums_of([[(SHOES, 1000)] * 20, [(TENTS, 3000)] * 20], [0, 1])
    usual = PriceLevels.fit(sums).usual[:, FOLDS].tolist()
    assert usual[0] == 2000
    assert usual[SHOES] == (20 * 1000 + PRIOR_EVENTS * 2000) // (20 + PRIOR_EVENTS)
    assert usual[TENTS] == (20 * 3000 + PRIOR_EVENTS * 2000) // (20 + PRIOR_EVENTS)


def test_the_readers_own_fold_does_not_count() -> None:
    levels = PriceLevels.fit(sums_of([[(SHOES, 1000)] * 9, [(SHOES, 3000)] * 9], [0, 1]))
    assert levels.usual[SHOES, :3].tolist() == [3000, 1000, 2000]
    assert read((SHOES, 2000), [], levels, fold=0)["price_level"] == -1
    assert read((SHOES, 2000), [], levels, fold=1)["price_level"] == 1
    assert read((SHOES, 2000), [], levels)["price_level"] == 0


def test_a_fold_that_is_all_there_is_reads_nothing() -> None:
    levels = PriceLevels.fit(sums_of([[(SHOES, 1000)] * 9], [2]))
    assert set(read((SHOES, 2000), [(SHOES, 1500)], levels, fold=2).values()) == {0.0}
    assert read((SHOES, 2000), [(SHOES, 1500)], levels, fold=1)["price_level"] == 1


EVENTS = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.one_of(st.just(NO_PRICE), st.integers(-9000, 9000))), max_size=9
)


@given(st.lists(EVENTS, max_size=5), st.integers(0, 5))
def test_sums_of_parts_are_those_of_the_whole(timelines: list[list[Event]], cut: int) -> None:
    folds = [len(timeline) % FOLDS for timeline in timelines]
    whole = sums_of(timelines, folds)
    merged = sums_of(timelines[cut:], folds[cut:]).merge(sums_of(timelines[:cut], folds[:cut]))
    assert merged.events.equal(whole.events)
    assert merged.total.equal(whole.total)


@given(st.tuples(st.integers(0, ROWS - 1), st.integers(0, 9000)), EVENTS, st.integers(0, 9))
def test_room_for_more_events_changes_no_digit(ad: Event, last: list[Event], missing: int) -> None:
    assert read(ad, last, missing=missing) == read(ad, last)


def test_company_changes_no_digit() -> None:
    rng = np.random.default_rng(0)
    shown = tuple(torch.from_numpy(rng.integers(0, high, (40, 7))) for high in (9000, ROWS))
    last = tuple(torch.from_numpy(rng.integers(0, high, (40, 7, 50))) for high in (9000, ROWS))
    there, fold = torch.from_numpy(rng.random((40, 7, 50)) < 0.7), torch.from_numpy(rng.integers(0, FOLDS, (40, 1)))
    same = there & (last[1] == shown[1][..., None])
    whole = LEVELS.read((shown[0], shown[1]), (last[0], last[1]), there, same, fold)
    for at in range(40):
        one, those = ((part[at, :1] for part in given) for given in (shown, last))
        alone = LEVELS.read((next(one), next(one)), (next(those), next(those)), there[at, :1], same[at, :1], fold[at])
        assert alone.equal(whole[at, :1])


def priced(sizes: Sequence[int] = (2, ROWS)) -> Transitions:
    return Transitions(dict(zip(("item", "category"), sizes, strict=True)), prices=True)


def test_weights_are_kept_and_those_without_prices_refused() -> None:
    given, taken = priced(), priced()
    columns = {"item": np.array([1, 1]), "category": np.array([SHOES, SHOES]), "log_price": np.array([700, 900])}
    given.take([given.count(columns, np.array([0, 2]), np.array([1]))])
    taken.load_state_dict(given.state_dict())
    assert taken.levels is not None
    assert taken.levels.usual[SHOES, FOLDS] == 800
    with pytest.raises(RuntimeError, match="category_usual_price"):
        taken.load_state_dict(Transitions({"item": 2, "category": ROWS}).state_dict())
    with pytest.raises(RuntimeError, match=r"category_usual_price has shape \(2, 5\), the model \(3, 5\)"):
        taken.load_state_dict({**given.state_dict(), "category_usual_price": torch.zeros(2, 5)})


def test_an_ad_reads_the_events_before_it_alone() -> None:
    """The last event comes after the ad."""
    transitions = priced().eval()
    transitions.levels = LEVELS
    row = torch.tensor([[1, 1, 1]])
    events = {"item": row, "category": SHOES * row, "log_price": torch.tensor([[4100, 4300, 9000]]), "time_us": row}
    shown = {name: torch.tensor([[value]]) for name, value in
             (("item", 1), ("category", SHOES), ("log_price", 4000), ("visible", 2), ("time_us", 2))}  # fmt: skip
    told = transitions(shown, events, None)
    found = dict(zip(told.names, told.values[0, 0].tolist(), strict=True))
    assert found["price_to_newest"] == pytest.approx(-0.3)
    assert found["price_to_category"] == pytest.approx(-0.2)
    assert tuple(found)[-len(NAMES) :] == NAMES


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_logs_of_prices_are_whole_thousandths(kind: type) -> None:
    price = np.array([1, 100, 0.01, 0, -5, np.nan, np.inf], kind)
    expected = [0, round(1000 * math.log(100)), -round(1000 * math.log(100)), *[NO_PRICE] * 4]
    assert log_prices(price).tolist() == expected
