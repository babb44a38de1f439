"""Money of live records is held against its ad: what does not fit is refused, told why, and moves nobody's ranking."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.features import AdTable, FeatureConfig, expected_cost
from rosa_ray.features.counting import to_micros
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.records import RecordParser, RecordsConfig
from rosa_ray.records.money import HourlyCosts, MoneyGuard
from rosa_ray.schema import ADS as ADS_CONTRACT
from rosa_ray.schema import EVENTS, IMPRESSIONS, hash_ids
from rosa_ray.simulation import SimulationConfig, ads_table, build_world, chunk_tables, simulate_chunk
from rosa_ray.units import HOUR_US

NOW_US = 1_700_000_000_000_000
TIME = "2023-11-14T20:00:00Z"
BID, PRICE = 0.02, 30.0


def ads(bid: float = BID, price: float = PRICE) -> AdTable:
    row = {"ad_id": "a1", "item_id": "i1", "campaign_id": "c1", "category": "k", "price": price, "bid": bid}
    return AdTable.from_table(pa.Table.from_pylist([row], ADS_CONTRACT.schema))


def refused(*records: dict, table: AdTable | None = None, **config: float) -> list[tuple[int, str, str]]:
    parser = RecordParser(table or ads(), now_us=lambda: NOW_US, money=MoneyGuard(RecordsConfig(**config)))
    parsed = parser.parse_lines([json.dumps(record).encode() for record in records])
    assert len(parsed.rows) + len(parsed.refusals) == len(records)
    return [(one.index, one.reason, one.detail.split(":")[0]) for one in parsed.refusals]


def impression(number: int = 0, ad: str = "a1", **fields: object) -> dict:
    shown = {"impression_id": f"m{number}", "user_id": "u1", "ad_id": ad, "request_time": TIME}
    return {"type": "impression", **shown, **fields}


def click(number: int = 0, **fields: object) -> dict:
    return {**impression(number), "type": "click", **fields}


def conversion(**fields: object) -> dict:
    return {**impression(), "type": "conversion", "conversion_time": TIME, **fields}


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (impression(), None),
        (impression(cost=BID), None),
        (impression(bid=BID * 99, cost=BID * 99 * 99), "cost"),  # more than the hour's grace
        (impression(bid=BID * 99), None),
        (impression(bid=BID * 101), "bid"),
        (impression(bid=BID / 99), None),
        (impression(bid=BID / 101), "bid"),
        (impression(cost=BID * 99), None),
        (impression(cost=BID * 101), "cost"),
        (impression(cost=1e9), "cost"),
        (impression(bid=BID / 10, cost=BID * 11), "cost"),
        (click(cost=BID * 999), None),
        (click(cost=BID * 1001), "cost"),
        (conversion(revenue=PRICE * 999), None),
        (conversion(revenue=PRICE * 1001), "revenue"),
    ],
)
def test_money_that_does_not_fit_its_ad_is_refused(record: dict, field: str | None) -> None:
    assert refused(record) == ([] if field is None else [(0, "implausible", field)])


def test_where_no_bid_is_known_the_price_bounds_the_cost() -> None:
    without = ads(bid=1.0)
    assert refused(impression(cost=PRICE * 9), impression(1, cost=PRICE * 11), table=without) == [
        (1, "implausible", "cost")
    ]
    nothing_said = ads(bid=1.0, price=1.0)
    assert refused(impression(cost=1e8), conversion(revenue=1e8), table=nothing_said) == []
    assert refused(impression(ad="new", bid=0.5, cost=51.0)) == [(0, "implausible", "cost")]


def test_the_costs_of_an_hour_grow_with_its_bids() -> None:
    within = [impression(number, cost=BID * 50) for number in range(21)]
    assert refused(*within, hourly_grace_bids=1000, max_hourly_cost_per_bid=10) == []
    flood = [impression(number, cost=BID * 50) for number in range(40)]
    found = refused(*flood, hourly_grace_bids=1000, max_hourly_cost_per_bid=10)
    assert found == [(number, "implausible", "cost") for number in range(25, 40)]
    later = [{**one, "request_time": "2023-11-14T21:00:00Z"} for one in flood[:25]]
    assert [index for index, *_ in refused(*flood, *later)] == list(range(25, 40))


def test_an_impression_without_a_cost_is_never_too_much() -> None:
    flood = [impression(number, cost=BID * 50) for number in range(40)]
    assert refused(*flood, impression(99))[-1][0] == 39


def test_remembered_hours_are_bounded() -> None:
    costs, config = HourlyCosts(max_entries=3), RecordsConfig(hourly_grace_bids=5)
    for hour in range(10):
        assert costs.admit(1, hour, 5.0, 0.0, config)
    assert not costs.admit(1, 9, 1.0, 0.0, config)
    assert costs.admit(1, 0, 5.0, 0.0, config)


def test_the_most_that_one_impression_may_cost_hardly_moves_an_ad() -> None:
    """Of an ad with a day of impressions, by less than a tenth."""
    from rosa_ray.features.records import RecordKind, fold_records, records_of

    config, key, shown = FeatureConfig(), hash_ids(pa.array(["a1"]))[0], 2000
    cost = np.full(shown + 1, BID)
    cost[-1] = BID * 100
    known = records_of(
        RecordKind.IMPRESSION,
        ad_key=np.full(shown + 1, key),
        campaign_key=np.full(shown + 1, 7),
        time_us=np.full(shown + 1, NOW_US),
        bid=np.full(shown + 1, BID),
        cost=cost,
        record_id=np.array([str(number) for number in range(shown + 1)], object),
    )
    asked = {
        "ad_key": np.array([key]),
        "campaign_key": np.array([7]),
        "bid": np.array([BID]),
        "time_us": np.array([NOW_US + 2 * HOUR_US]),
    }
    calm = {name: values[:-1] for name, values in known.items()}
    before, after = (expected_cost(fold_records(some, config), asked, config)[0] for some in (calm, known))
    assert before == pytest.approx(BID)
    assert before < after < 1.1 * before


def test_a_bid_that_counts_as_nothing_has_a_cost() -> None:
    asked = {"ad_key": np.array([1]), "campaign_key": np.array([2]), "bid": np.array([4e-7]), "time_us": np.array([0])}
    assert expected_cost({}, asked, FeatureConfig()).tolist() == [4e-7]


@pytest.mark.parametrize(
    ("amount", "micros"), [(0.0, 0), (1e9, 10**15), (9e9, 9 * 10**15), (1e13, 2**53), (1e300, 2**53)]
)
def test_money_never_wraps(amount: float, micros: int) -> None:
    assert to_micros(np.array([amount])).tolist() == [micros]


@pytest.fixture(scope="module")
def simulated() -> SimpleNamespace:
    config = SimulationConfig(users=100, chunk_users=100, items=500, ads=100)
    world = build_world(config)
    return SimpleNamespace(ads=ads_table(world), **chunk_tables(config, world, simulate_chunk(config, world, 0)))


def test_the_simulated_log_is_far_within(simulated: SimpleNamespace) -> None:
    """Not one of its records is refused, nor would be by bounds ten times as tight."""
    events, impressions = EVENTS.check(simulated.events, "e")[0], IMPRESSIONS.check(simulated.impressions, "i")[0]
    log, table = RecordedLog.of(events, impressions), AdTable.from_table(simulated.ads)
    tight = {name: getattr(RecordsConfig(), name) / 10 for name in vars(RecordsConfig()) if name.startswith("max_")}
    for config in (RecordsConfig(), RecordsConfig(**tight, hourly_grace_bids=100)):
        parser = RecordParser(table, now_us=lambda: 2**62, money=MoneyGuard(config))
        assert parser.parse_lines(log.lines(0, len(log))).refusals == ()
