"""Live records count what the log they become counts, whatever their order."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import (
    RECORD_COLUMNS,
    CounterStates,
    FeatureConfig,
    RecordKind,
    concat_records,
    event_records,
    fold_events,
    fold_impressions,
    fold_records,
    impression_records,
    merge_states,
    record_keys,
    records_of,
)
from rosa_ray.features.records import mixed_keys
from rosa_ray.features.views import IMPRESSION_MEASURES
from rosa_ray.schema import derive_key, hash_id
from rosa_ray.units import HOUR_US, MINUTE_US

CONFIG = FeatureConfig()
USER, AD, CAMPAIGN = 1, 4, 5
LARGEST = np.iinfo(np.int64).max


def impressions(rows: list[tuple[int, int, int, int, int, int]]) -> dict[str, np.ndarray]:
    """Rows of (user, ad, time, click, conversion, delay of the conversion)."""
    user, ad, time, click, conversion, delay = np.array(rows, np.int64).reshape(-1, 6).T
    return {
        "impression_id": np.array([f"i{row}" for row in range(len(rows))], object),
        "user_key": user,
        "ad_key": ad,
        "campaign_key": ad // 2,
        "time_us": time,
        "conversion_time_us": time + delay,
        "click": click,
        "conversion": click * conversion,
        "bid": 0.1 + ad / 7,
        "cost": ad / 9,
    }


def events(rows: list[tuple[int, int, int, int]]) -> dict[str, np.ndarray]:
    """Rows of (user, item, time, behaviour)."""
    user, item, time, behavior = np.array(rows, np.int64).reshape(-1, 4).T
    return {
        "event_id": np.array([f"i{row}" for row in range(len(rows))], object),
        "user_key": user,
        "item_key": item,
        "category_key": item // 2,
        "time_us": time,
        "behavior": behavior.astype(np.int8),
        "price": np.full(len(rows), np.nan, np.float32),
    }


def require_equal(found: CounterStates, expected: CounterStates) -> None:
    assert found.keys() == expected.keys()
    for view, counters in expected.items():
        for name in ("entity_key", "bucket", "sums"):
            np.testing.assert_array_equal(getattr(found[view], name), getattr(counters, name), err_msg=view)


def as_dict(states: CounterStates) -> dict[tuple[str, int, int], list[int]]:
    return {
        (view, int(key), int(bucket)): sums.tolist()
        for view, counters in states.items()
        for key, bucket, sums in zip(counters.entity_key, counters.bucket, counters.sums, strict=True)
    }


def counted_by_hand(log: dict[str, np.ndarray], shown: dict[str, np.ndarray]) -> dict[tuple[str, int, int], list[int]]:
    """Row by row, in plain Python."""
    found: dict[tuple[str, int, int], list[int]] = {}

    def add(view: str, key: int, time_us: int, amounts: list[int]) -> None:
        held = found.setdefault((view, int(key), int(time_us) // HOUR_US), [0] * len(amounts))
        held[:] = [left + right for left, right in zip(held, amounts, strict=True)]

    for row, time_us in enumerate(log["time_us"]):
        for name in ("user", "item", "category"):
            add(f"{name}_events", log[f"{name}_key"][row], time_us, [int(log["behavior"][row] == b) for b in range(4)])
    for row, time_us in enumerate(shown["time_us"]):
        money = [round(float(shown[name][row]) * 1e6) for name in ("bid", "cost")]
        for name in ("user", "ad", "campaign"):
            key = shown[f"{name}_key"][row]
            add(f"{name}_impressions", key, time_us, [1, int(shown["click"][row]), 0, *money])
            if shown["conversion"][row]:
                add(f"{name}_impressions", key, shown["conversion_time_us"][row], [0, 0, 1, 0, 0])
    return found


def test_each_kind_counts_its_measures_in_its_bucket() -> None:
    keys = {"user_key": np.array([USER]), "ad_key": np.array([AD]), "campaign_key": np.array([CAMPAIGN])}
    shown = {**keys, "record_id": np.array(["i"], object), "shown_us": np.array([59 * MINUTE_US])}
    money = {"bid": np.array([0.25]), "cost": np.array([0.1])}
    stream = concat_records(
        [
            records_of(RecordKind.CONVERSION, **shown, time_us=np.array([30 * HOUR_US])),
            records_of(RecordKind.CLICK, **shown, time_us=np.array([61 * MINUTE_US])),
            records_of(RecordKind.IMPRESSION, **shown, **money, time_us=np.array([59 * MINUTE_US])),
        ]
    )
    states = fold_records(stream, CONFIG)
    for view, key in (("user_impressions", USER), ("ad_impressions", AD), ("campaign_impressions", CAMPAIGN)):
        assert states[view].entity_key.tolist() == [key, key, key]
        assert states[view].bucket.tolist() == [0, 1, 30]
        assert states[view].sums.tolist() == [[1, 0, 0, 250_000, 100_000], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert len(states["user_events"].bucket) == 0


def test_records_of_one_kind_fill_what_is_not_given() -> None:
    records = records_of(RecordKind.CLICK, record_id=np.array(["a", "b"], object), time_us=np.array([1, 2]))
    assert {name: values.dtype for name, values in records.items()} == RECORD_COLUMNS
    assert np.isnan(records["price"]).all()
    assert records["bid"].tolist() == [0, 0]


def test_kinds_with_the_same_id_have_different_keys() -> None:
    one = {"record_id": np.array(["x"], object)}
    keys = record_keys(concat_records([records_of(kind, **one) for kind in RecordKind]))
    assert len(set(keys.tolist())) == len(RecordKind)


def test_keys_of_ids_are_those_of_the_user_rows() -> None:
    ids = {"record_id": np.array(["x", "x"], object), "user_key": np.array([1, 2])}
    clicks, hashed = records_of(RecordKind.CLICK, **ids), np.array([hash_id("x")] * 2)
    assert record_keys(clicks).tolist() == mixed_keys(hashed, clicks["kind"], ids["user_key"]).tolist()
    assert len(set(record_keys(clicks).tolist())) == 2
    former = record_keys(clicks, with_users=False)
    assert former.tolist() == derive_key(hashed, RecordKind.CLICK).tolist()
    assert record_keys(records_of(RecordKind.EVENT, **ids), with_users=False).tolist() == hashed.tolist()


def test_an_impression_row_is_taken_apart_and_counted_as_by_hand() -> None:
    rows = impressions([(USER, AD, 0, 1, 1, 2 * HOUR_US), (USER, AD, 5, 1, 0, 0), (USER, AD, HOUR_US, 0, 1, 9)])
    records = impression_records(rows)
    assert records["kind"].tolist() == [1, 1, 1, 2, 2, 3]
    assert records["record_id"].tolist() == ["i0", "i1", "i2", "i0", "i1", "i0"]
    assert records["time_us"].tolist() == [0, 5, HOUR_US, 0, 5, 2 * HOUR_US]
    assert records["bid"][3:].tolist() == [0, 0, 0]
    counters = fold_impressions(rows, CONFIG)["ad_impressions"]
    bid, cost = (round((0.1 + AD / 7) * 1e6), round(AD / 9 * 1e6))
    assert counters.bucket.tolist() == [0, 1, 2]
    assert counters.sums.tolist() == [[2, 2, 0, 2 * bid, 2 * cost], [1, 0, 0, bid, cost], [0, 0, 1, 0, 0]]


_KEY = st.sampled_from([-(2**63), -3, 1, 2, 7, LARGEST])
_TIME = st.integers(0, 200 * HOUR_US)
_EVENTS = st.lists(st.tuples(_KEY, _KEY, _TIME, st.integers(0, 3)), max_size=20)
_SHOWN = st.lists(
    st.tuples(_KEY, st.integers(1, 6), _TIME, st.integers(0, 1), st.integers(0, 1), st.integers(0, 50 * HOUR_US)),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), event_rows=_EVENTS, shown_rows=_SHOWN)
def test_cut_and_shuffled_records_count_as_the_whole_logs(
    data: st.DataObject, event_rows: list[tuple[int, ...]], shown_rows: list[tuple[int, ...]]
) -> None:
    log, shown = events(event_rows), impressions(shown_rows)
    records = concat_records([event_records(log), impression_records(shown)])
    order = np.array(data.draw(st.permutations(range(len(records["kind"])))), np.int64)
    cut = data.draw(st.integers(0, len(order)))
    parts = [{name: values[rows] for name, values in records.items()} for rows in (order[:cut], order[cut:])]
    merged = merge_states(*(fold_records(part, CONFIG) for part in parts))
    assert as_dict(merged) == counted_by_hand(log, shown)
    require_equal(merged, fold_events(log, CONFIG) | fold_impressions(shown, CONFIG))
    assert len(np.unique(record_keys(records))) == len(order)


def test_a_click_counts_when_it_came_and_at_its_request_where_that_is_not_known() -> None:
    rows = impressions([(1, 1, 0, 1, 0, 0), (1, 1, HOUR_US, 0, 0, 0)])
    dated = rows | {"click_time_us": rows["time_us"] + 5 * HOUR_US}
    at_request, own = (fold_impressions(log, CONFIG)["ad_impressions"] for log in (rows, dated))
    assert at_request.bucket.tolist() == [0, 1]
    assert at_request.sums[:, :2].tolist() == [[1, 1], [1, 0]]
    assert own.bucket.tolist() == [0, 1, 5]
    assert own.sums[:, :2].tolist() == [[1, 0], [1, 0], [0, 1]]


def test_a_conversion_after_its_days_counts_nowhere_offline_or_live() -> None:
    rows = impressions([(1, 1, 0, 1, 1, 48 * HOUR_US), (1, 1, 0, 1, 1, 48 * HOUR_US + 1)])
    live = impression_records(rows)
    for config, counted in ((CONFIG, 2), (replace(CONFIG, conversion_days=2.0), 1)):
        states = fold_records(live, config)
        assert states["ad_impressions"].sums[:, 2].sum() == counted
        assert fold_impressions(rows, config)["ad_impressions"].sums.tolist() == states["ad_impressions"].sums.tolist()
    assert FeatureConfig().definition() == replace(FeatureConfig(), conversion_days=0.0).definition()
    assert "conversion_days" not in FeatureConfig().definition()


def test_what_a_click_costs_counts_when_it_came_and_the_rest_at_the_request() -> None:
    shown = {
        "user_key": np.array([1, 1]),
        "ad_key": np.array([5, 5]),
        "campaign_key": np.array([9, 9]),
        "time_us": np.array([0, 0]),
        "click_time_us": np.array([3 * HOUR_US, 0]),
        "conversion_time_us": np.array([0, 0]),
        "click": np.array([1, 0], np.int8),
        "conversion": np.array([0, 0], np.int8),
        "bid": np.array([1.0, 1.0]),
        "cost": np.array([0.75, 0.5]),
        "click_cost": np.array([0.5, 0.0]),
    }
    counted = fold_impressions(shown, FeatureConfig())["ad_impressions"]
    cost = IMPRESSION_MEASURES.index("cost_micros")
    assert dict(zip(counted.bucket.tolist(), counted.sums[:, cost].tolist(), strict=True)) == {0: 750_000, 3: 500_000}
    live = records_of(
        RecordKind.CLICK, record_id=np.array(["m"], object), ad_key=np.array([5]), user_key=np.array([1]),
        campaign_key=np.array([9]), time_us=np.array([3 * HOUR_US]), cost=np.array([0.5]),
    )  # fmt: skip
    assert fold_records(live, FeatureConfig())["ad_impressions"].sums[0, cost] == 500_000
