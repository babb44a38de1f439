"""The first pass: an order of ads by their counters, read in the background, and only where it is needed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import VIEWS, Counters, CounterStates, fold_impressions
from rosa_ray.features.ad_changes import AdChange
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.metrics import Ranking
from rosa_ray.schema import hash_id
from rosa_ray.serving import first_pass as module
from rosa_ray.serving.first_pass import FirstPass
from rosa_ray.units import HOUR_US
from tests.serving.conftest import NOW_US
from tests.synthetic import CONFIG, ads_table

MOST = 5


class Shown:
    """Counters of impressions; ad `a<n>` of campaign `k<n % 3>`."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, int, int]] = []
        self.asked = 0

    def add(self, ad: str, campaign: str, shown: int, clicked: int) -> None:
        self.rows.append((ad, campaign, shown, clicked))

    def read(self, view: str, keys: np.ndarray, since_bucket: int) -> CounterStates:
        self.asked += len(keys)
        count = np.array([shown for _, _, shown, _ in self.rows], np.int64)
        clicks = np.concatenate([np.arange(shown) < clicked for _, _, shown, clicked in self.rows])
        times = np.full(len(clicks), NOW_US - 5 * HOUR_US)
        columns: dict[str, Any] = {
            "ad_key": np.repeat([hash_id(ad) for ad, *_ in self.rows], count),
            "campaign_key": np.repeat([hash_id(campaign) for _, campaign, *_ in self.rows], count),
            "user_key": np.arange(len(clicks)) + 1,
            "click": clicks,
            "conversion": clicks,
            **dict.fromkeys(("time_us", "conversion_time_us", "click_time_us"), times),
            **dict.fromkeys(("bid", "cost"), np.full(len(clicks), 0.5)),
        }
        whole = fold_impressions(columns, CONFIG)[view]
        kept = np.isin(whole.entity_key, keys)
        return {view: Counters(whole.entity_key[kept], whole.bucket[kept], whole.sums[kept])}


@pytest.fixture
def catalogue() -> LiveCatalogue:
    return priced_alike()


def priced_alike() -> LiveCatalogue:
    """All ads have one price and one bid, so that counters alone tell them apart."""
    catalogue = LiveCatalogue(ads_table())
    ids = ads_table()["ad_id"].to_pylist()
    catalogue.apply(AdChange.of(ad, 0, {"price": 10.0, "bid": 0.5, "campaign_id": f"k{int(ad[1:]) % 3}"}) for ad in ids)
    return catalogue


@pytest.fixture
def first_pass(catalogue: LiveCatalogue) -> FirstPass:
    return FirstPass(catalogue, CONFIG, Ranking("roi"), MOST)


@pytest.fixture
def shown() -> Shown:
    shown = Shown()
    shown.add("a4", "k1", 400, 80)
    shown.add("a7", "k1", 400, 40)
    shown.add("a3", "k0", 400, 0)
    return shown


def chosen(catalogue: LiveCatalogue, one: FirstPass, time_us: int = NOW_US) -> list[str]:
    ids: list[str] = catalogue.ids(one.choose(catalogue.active(time_us), time_us)).tolist()
    return ids


def test_without_counters_equal_ads_go_by_their_keys(catalogue: LiveCatalogue, first_pass: FirstPass) -> None:
    expected = sorted(ads_table()["ad_id"].to_pylist(), key=hash_id)[:MOST]
    assert chosen(catalogue, first_pass) == expected
    assert not first_pass.counted


def test_clicks_of_an_ad_and_then_of_its_campaign_decide(
    catalogue: LiveCatalogue, first_pass: FirstPass, shown: Shown
) -> None:
    first_pass.step(shown.read, NOW_US, budget_s=60)
    assert first_pass.counted
    found = chosen(catalogue, first_pass)
    of_campaign = [ad for ad in ads_table()["ad_id"].to_pylist() if int(ad[1:]) % 3 == 1]
    assert found[:1] == ["a4"]
    assert set(found) <= set(of_campaign)
    assert "a3" not in found


def test_value_for_money_decides_between_equal_counters(catalogue: LiveCatalogue, first_pass: FirstPass) -> None:
    catalogue.apply([AdChange.of("a9", 1, {"price": 30.0}), AdChange.of("a8", 1, {"bid": 0.1})])
    assert chosen(catalogue, first_pass)[:2] == ["a8", "a9"]
    by_clicks = FirstPass(catalogue, CONFIG, Ranking("ctr"), MOST)
    assert chosen(catalogue, by_clicks) == sorted(ads_table()["ad_id"].to_pylist(), key=hash_id)[:MOST]


def test_an_ad_of_which_nothing_is_counted_goes_by_its_campaign(
    catalogue: LiveCatalogue, first_pass: FirstPass, shown: Shown
) -> None:
    terms = {"price": 10.0, "bid": 0.5, "category": "c1"}
    catalogue.apply(AdChange.of(name, 1, {**terms, "campaign_id": name[:2]}) for name in ("k1-new", "k0-new"))
    first_pass.step(shown.read, NOW_US, budget_s=60)
    first_pass._most = 32
    order = chosen(catalogue, first_pass)
    assert order.index("k1-new") < order.index("k0-new")


def test_only_those_that_may_be_shown_are_taken(catalogue: LiveCatalogue, first_pass: FirstPass) -> None:
    some = catalogue.active(NOW_US)[3:20]
    found = first_pass.choose(some, NOW_US)
    assert len(found) == MOST
    assert set(found.tolist()) <= set(some.tolist())


def test_ads_are_sorted_again_only_where_something_changed(
    catalogue: LiveCatalogue, first_pass: FirstPass, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorts: list[int] = []
    scores = first_pass._scores
    monkeypatch.setattr(first_pass, "_scores", lambda rows: sorts.append(len(rows)) or scores(rows))
    for after in range(5):
        chosen(catalogue, first_pass, NOW_US + after)
    assert sorts == [30]
    catalogue.apply([AdChange.of("a9", 1, {"price": 30.0})])
    assert chosen(catalogue, first_pass)[0] == "a9"
    assert sorts == [30, 1]


@settings(max_examples=60, deadline=None)
@given(
    rounds=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["a1", "a2", "a3", "a4", "n1", "n2"]),
                st.integers(NOW_US - 3, NOW_US + 3),
                st.fixed_dictionaries(
                    {},
                    optional={
                        "price": st.sampled_from([10.0, 20.0]),
                        "bid": st.sampled_from([0.5, 0.25]),
                        "paused": st.booleans(),
                        "campaign_id": st.just("k1"),
                        "category": st.just("c1"),
                    },
                ).filter(bool),
            ),
            max_size=4,
        ),
        max_size=5,
    ),
    times=st.lists(st.integers(NOW_US - 5, NOW_US + 5), min_size=5, max_size=5),
)
def test_the_order_that_is_kept_up_is_the_one_of_a_sort(
    rounds: list[list[tuple[str, int, dict[str, Any]]]], times: list[int]
) -> None:
    catalogue = priced_alike()
    kept = FirstPass(catalogue, CONFIG, Ranking("roi"), MOST)
    for told, time_us in zip(rounds, times, strict=False):
        catalogue.apply(AdChange.of(*one) for one in told)
        assert chosen(catalogue, kept, time_us) == chosen(
            catalogue, FirstPass(catalogue, CONFIG, Ranking("roi"), MOST), time_us
        )
        anew = priced_alike()
        anew.apply(change for one in catalogue._changed.values() for change in one.changes)
        assert set(anew.ids(anew.active(time_us))) == set(catalogue.ids(catalogue.active(time_us)))


def test_counters_are_read_once_per_bucket_and_not_without_need(
    catalogue: LiveCatalogue, first_pass: FirstPass, shown: Shown
) -> None:
    FirstPass(catalogue, CONFIG, Ranking("roi"), 30).step(shown.read, NOW_US, budget_s=60)
    assert shown.asked == 0
    for minutes in range(4):
        first_pass.step(shown.read, NOW_US + minutes, budget_s=60)
    assert shown.asked == 33
    first_pass.step(shown.read, NOW_US + 2 * HOUR_US, budget_s=60)
    assert shown.asked == 66


def test_counters_count_when_all_are_read(
    catalogue: LiveCatalogue, first_pass: FirstPass, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 8)
    asked = []
    while not first_pass.counted:
        first_pass.step(shown.read, NOW_US, budget_s=0)
        asked.append(shown.asked)
    assert asked == [8, 16, 24, 30, 33, 33]
    whole = FirstPass(catalogue, CONFIG, Ranking("roi"), MOST)
    monkeypatch.setattr(module, "CHUNK", 500)
    whole.step(shown.read, NOW_US, budget_s=60)
    assert chosen(catalogue, whole) == chosen(catalogue, first_pass)


def test_views_of_costs_are_those_that_are_kept_of_every_log() -> None:
    assert [VIEWS[view].entity for view in module.COST_VIEWS] == ["ad_key", "campaign_key"]
