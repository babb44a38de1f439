"""Contracts: what is refused whole, what is set aside and counted, what is cast."""

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.errors import ContractError
from rosa_ray.schema import ADS, CONTRACTS, EVENTS, IMPRESSIONS
from tests.synthetic import ads_table, events_table, impressions_table


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


@pytest.fixture
def ads() -> pa.Table:
    return ads_table(3)


def test_a_good_table_passes_whole() -> None:
    rng = np.random.default_rng(0)
    for contract, table in ((EVENTS, events_table(rng)), (IMPRESSIONS, impressions_table(rng)), (ADS, ads_table())):
        kept, violations = contract.check(table, "x")
        assert kept.schema == contract.schema
        assert kept.num_rows == table.num_rows
        assert not violations


def test_a_missing_column_is_named_with_its_type(ads: pa.Table) -> None:
    with pytest.raises(ContractError, match=r"f\.parquet: column 'ad_id' is missing; ads needs string"):
        ADS.check(ads.drop_columns(["ad_id"]), "f.parquet")


def test_a_table_may_lack_a_required_column_as_a_whole_but_not_in_a_row(ads: pa.Table) -> None:
    kept, violations = ADS.check(ads.drop_columns(["price", "campaign_id"]), "f.parquet")
    assert (kept["price"].to_pylist(), kept["campaign_id"].to_pylist()) == ([1.0] * 3, [None] * 3)
    assert not violations
    assert ADS.lacking(["ad_id", "category", "bid"]) == ["campaign_id", "price"]
    half = with_column(ads, "campaign_id", pa.array(["k0", None, "k1"]))
    kept, violations = ADS.check(half, "f.parquet")
    assert (kept.num_rows, violations[0].reason) == (2, "are null")


def test_columns_that_are_null_in_every_row_are_absent_where_they_may_be(ads: pa.Table) -> None:
    nothing = with_column(ads, "campaign_id", pa.nulls(3, pa.string()))
    assert "campaign_id" not in ADS.without_absent(nothing).column_names
    assert ADS.without_absent(ads).column_names == ads.column_names


def test_a_wrong_type_is_named_with_both_types(ads: pa.Table) -> None:
    broken = with_column(ads, "price", pa.array(["1.0", "two", "3"]))
    with pytest.raises(ContractError, match=r"column 'price' of 3 rows is string.*double.*'two'"):
        ADS.check(broken, "f.parquet")


def test_an_optional_column_may_be_absent(ads: pa.Table) -> None:
    kept, violations = ADS.check(ads.drop_columns(["item_id"]), "x")
    assert kept["item_id"].null_count == 3
    assert not violations


def test_numbers_without_a_unit_are_no_times() -> None:
    events = events_table(np.random.default_rng(0), events=2)
    with pytest.raises(ContractError, match="no time unit"):
        EVENTS.check(with_column(events, "event_time", pa.array([1, 2])), "x")
    naive = pa.array([1, 2]).cast(pa.timestamp("us"))
    with pytest.raises(ContractError, match="without a time zone"):
        EVENTS.check(with_column(events, "event_time", naive), "x")


@pytest.mark.parametrize(
    ("column", "bad", "reason"),
    [
        ("price", float("nan"), "NaN"),
        ("price", -1.0, "negative"),
        ("price", float("inf"), "infinite"),
        ("price", 1.1e9, "above 1e9"),
        ("bid", 0.0, "below 1e-6"),
        ("bid", 4e-7, "below 1e-6"),
        ("bid", 1.1e6, "above 1e6"),
        ("ad_id", None, "null"),
        ("campaign_id", "", "empty"),
    ],
)
def test_a_bad_row_is_set_aside_and_counted(ads: pa.Table, column: str, bad: object, reason: str) -> None:
    values = ads[column].to_pylist()
    broken = with_column(ads, column, pa.array([values[0], bad, values[2]], ads[column].type))
    kept, violations = ADS.check(broken, "f.parquet")
    assert kept["ad_id"].to_pylist() == [ads["ad_id"][0].as_py(), ads["ad_id"][2].as_py()]
    assert [(v.where, v.column, v.rows) for v in violations] == [("f.parquet", column, 1)]
    assert reason in violations[0].reason
    assert "f.parquet" in str(violations[0])


def test_a_violation_shows_the_first_row_and_its_value(ads: pa.Table) -> None:
    broken = with_column(ads, "price", pa.array([1.0, -1.5, -2.0]))
    assert ADS.check(broken, "x")[1][0].example == "row 2, -1.5"
    assert ADS.check(broken, "x", np.array([7, 9, 11]))[1][0].example == "row 9, -1.5"


def test_digits_below_the_microsecond_are_cut_off() -> None:
    events = events_table(np.random.default_rng(0), events=2)
    times = pa.array([1_791_629_956_123_456_789, 1_791_629_956_000_000_001], pa.timestamp("ns", "UTC"))
    kept, _ = EVENTS.check(with_column(events, "event_time", times), "x")
    assert kept["event_time"].cast(pa.int64()).to_pylist() == [1_791_629_956_123_456, 1_791_629_956_000_000]


def test_impossible_labels_are_set_aside() -> None:
    table = impressions_table(np.random.default_rng(0), impressions=40)
    free_revenue = with_column(table, "revenue", pa.array([1.0] * 40))
    assert IMPRESSIONS.check(free_revenue, "x")[1][-1].reason == "have revenue without a conversion"


def test_a_conversion_without_a_click_keeps_its_row() -> None:
    table = impressions_table(np.random.default_rng(0), impressions=40)
    kept, violations = IMPRESSIONS.check(with_column(table, "click", pa.array([False] * 40)), "x")
    assert violations == []
    assert kept["conversion"].to_pylist() == table["conversion"].to_pylist()


def test_a_row_counts_once_at_its_first_reason(ads: pa.Table) -> None:
    broken = with_column(with_column(ads, "price", pa.array([-1.0, 1, 1])), "bid", pa.array([-1.0, 1, 1]))
    _, violations = ADS.check(broken, "x")
    assert sum(v.rows for v in violations) == 1


def test_labels_of_0_and_1_are_booleans_and_2_is_not() -> None:
    table = impressions_table(np.random.default_rng(0), impressions=8)
    as_int = with_column(table, "click", table["click"].cast(pa.int8()))
    assert IMPRESSIONS.check(as_int, "x")[0]["click"].equals(table["click"])
    with pytest.raises(ContractError, match="other than 0 and 1"):
        IMPRESSIONS.check(with_column(table, "click", pa.array([2] * 8)), "x")


def test_fingerprints_differ_and_stay() -> None:
    assert len({contract.fingerprint for contract in CONTRACTS.values()}) == len(CONTRACTS)
