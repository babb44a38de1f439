"""Prices and campaigns are those of the time: snapshots, changes, new and ended ads, and ads that nobody knows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.data.catalogue import CatalogueSpan, ads_at, read_versions
from rosa_ray.data.counter_files import read_counters_file
from rosa_ray.data.leakage.guard import LeakGuardConfig, guard
from rosa_ray.data.preprocess import PreprocessConfig
from rosa_ray.data.user_encoding import UserEncoder, timeline_block
from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.features import RecordKind, Split, UserRows, encode_users, record_keys, records_of
from rosa_ray.parity.check import ParityOptions, check_run
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.schema import ADS, hash_id, hash_ids
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from rosa_ray.sources import SourceConfig
from rosa_ray.storage import read_parquet, write_parquet
from rosa_ray.store import StoreConfig
from rosa_ray.units import DAY_US
from tests.data.test_losses import Tables, log, run, users_of, without_ray  # noqa: F401
from tests.synthetic import DAYS, START_US, ads_table

START = datetime.fromtimestamp(START_US / 1e6, UTC)
HALF = DAYS // 2
ONE_PART = PreprocessConfig(partitions=1)


def ad(**changed: Any) -> dict[str, Any]:
    row = {"ad_id": "a1", "item_id": "i1", "campaign_id": "k1", "category": "c1", "bid": 0.1, "price": 5.0}
    return row | changed


def ads(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ADS.schema)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def snapshots(days: int = DAYS) -> pa.Table:
    """All ads once a day; half way their prices double and their campaigns are new ones."""
    rows = []
    for number in range(days):
        late = number >= HALF
        for row in ads_table().to_pylist():
            changes = {"price": 2 * row["price"], "campaign_id": f"{row['campaign_id']}-new"} if late else {}
            rows.append({**row, **changes, "valid_from": day(number)})
    return ads(*rows)


def shown_rows(folder: Path) -> dict[str, np.ndarray]:
    files = sorted((folder / "data" / "users").iterdir())
    return UserRows.from_table(pa.concat_tables([read_parquet(str(path)) for path in files])).impressions


def test_every_impression_has_the_price_and_the_campaign_of_its_time(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    tables = log() | {"ads": snapshots()}
    result = run(tmp_path, tables)
    plain = {row["ad_id"]: row for row in ads_table().to_pylist()}
    due = {}
    for row in tables["impressions"].to_pylist():
        late = row["request_time"] >= day(HALF)
        own = plain[row["ad_id"]]
        price, campaign = own["price"] * (2 if late else 1), own["campaign_id"] + ("-new" if late else "")
        due[hash_id(row["impression_id"])] = (price, hash_id(campaign))
    shown = shown_rows(tmp_path)
    found = zip(shown["impression_key"].tolist(), shown["price"].tolist(), shown["campaign_key"].tolist(), strict=True)
    assert {key: (price, campaign) for key, price, campaign in found} == due
    report = result.report
    assert report["catalogue"] == {"ads": 30, "versions": 60, "begin": 0, "end": 0}
    assert (report["versions_of_ads"], report["unchanged_ads"], report["conflicting_ads"]) == (30, 30 * (DAYS - 2), 0)
    assert not result.partial
    state = read_feature_state(str(tmp_path / "data" / "features"))
    rows = UserRows.from_table(read_parquet(str(tmp_path / "data" / "users" / "part-00000.parquet")))
    encoded = encode_users(rows, state)
    np.testing.assert_array_equal(encoded.impressions["price"], rows.impressions["price"])


def test_neither_the_names_nor_the_order_of_snapshots_decide(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    days = [snapshots().slice(number * 30, 30) for number in range(DAYS)]
    rng = np.random.default_rng(0)
    written = []
    for name, order in (("one", range(DAYS)), ("other", rng.permutation(DAYS))):
        root = tmp_path / name
        shuffled = pa.concat_tables([days[number].take(rng.permutation(30)) for number in order])
        run(root, log() | {"ads": shuffled})
        written.append((users_of(root), (root / "data" / "ads.parquet").read_bytes()))
    assert written[0] == written[1]


def test_a_snapshot_that_changes_nothing_changes_no_file(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    for name, number in (("few", DAYS - 1), ("more", DAYS)):
        run(tmp_path / name, log() | {"ads": snapshots(number)})
    catalogues = [(tmp_path / name / "data" / "ads.parquet").read_bytes() for name in ("few", "more")]
    assert catalogues[0] == catalogues[1]


def test_ads_without_dates_are_written_as_they_stand(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    run(tmp_path, log())
    catalogue = read_parquet(DataDir(str(tmp_path / "data")).ads)
    assert catalogue.column_names == ["ad_id", "item_id", "campaign_id", "category", "bid", "price"]
    assert catalogue.to_pylist() == ads_table().select(catalogue.column_names).to_pylist()


def test_two_contents_of_one_ad_without_a_date_are_a_conflict(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    """As in a table in which each ad stands twice, the second time with twice the price."""
    twice = [{**row, "price": row["price"] * factor} for factor in (1, 2) for row in ads_table().to_pylist()]
    result = run(tmp_path, log() | {"ads": ads(*twice, twice[0])})
    assert (result.report["duplicate_ads"], result.report["conflicting_ads"]) == (1, 30)
    assert result.partial
    (loss,) = [loss for loss in result.report["losses"] if loss["lost"]]
    assert "a column ads.valid_from would say since when a row holds" in loss["remedy"]
    assert "price" in loss["example"]
    dated = [{**row, "valid_from": day(number // 30)} for number, row in enumerate(twice)]
    result = run(tmp_path / "dated", log() | {"ads": ads(*dated)})
    assert (result.report["versions_of_ads"], result.report["conflicting_ads"]) == (30, 0)
    assert not result.partial


def test_rows_that_go_on_are_one_version() -> None:
    rows = [ad(valid_from=day(2), price=7.0), ad(), ad(valid_from=day(1)), ad(valid_from=day(3), price=7.0)]
    found = read_versions(ads(*rows))
    assert [(row["valid_from"], row["price"]) for row in found.table.to_pylist()] == [(None, 5.0), (day(2), 7.0)]
    assert found.counts == {"duplicate_ads": 0, "versions_of_ads": 1, "unchanged_ads": 2, "conflicting_ads": 0}


def test_a_version_ends_with_the_last_of_the_rows_that_it_is_made_of() -> None:
    closed = [ad(valid_from=day(number), valid_until=day(number + 1)) for number in range(3)]
    (row,) = read_versions(ads(*closed)).table.to_pylist()
    assert (row["valid_from"], row["valid_until"]) == (day(0), day(3))
    first, second = read_versions(ads(closed[0], closed[2])).table.to_pylist()
    assert (first["valid_until"], second["valid_from"]) == (day(1), day(2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.none() | st.integers(0, 5), st.integers(1, 2)), min_size=1))
def test_versions_depend_on_the_rows_alone(drawn: list[tuple[int, int | None, int]]) -> None:
    rows = [
        ad(ad_id=f"a{name}", valid_from=None if since is None else day(since), price=float(price))
        for name, since, price in drawn
    ]
    one, other = read_versions(ads(*rows)), read_versions(ads(*rows[::-1]))
    assert one.counts == other.counts
    order = [(name, "ascending") for name in ("ad_id", "price")]
    assert one.table.sort_by(order).to_pylist() == other.table.sort_by(order).to_pylist()
    counts = one.counts
    assert len(rows) == one.table.num_rows + sum(counts.values()) - counts["versions_of_ads"]


def lasting(**changed: Any) -> pa.Table:
    """An ad that always is, one of two prices, one that begins on day 3, and one that ends on day 5."""
    return read_versions(
        ads(
            ad(ad_id="always"),
            ad(ad_id="dearer", valid_from=day(0)),
            ad(ad_id="dearer", valid_from=day(4), price=9.0),
            ad(ad_id="new", valid_from=day(3)),
            ad(ad_id="ended", valid_from=day(0), valid_until=day(5)),
        )
    ).table


def test_what_can_be_shown_is_what_has_begun_and_not_ended() -> None:
    table = lasting()
    found = {
        number: {row["ad_id"]: row["price"] for row in ads_at(table, START_US + number * DAY_US).to_pylist()}
        for number in (-1, 0, 3, 4, 5)
    }
    assert found == {
        -1: {"always": 5.0},
        0: {"always": 5.0, "dearer": 5.0, "ended": 5.0},
        3: {"always": 5.0, "dearer": 5.0, "ended": 5.0, "new": 5.0},
        4: {"always": 5.0, "dearer": 9.0, "ended": 5.0, "new": 5.0},
        5: {"always": 5.0, "dearer": 9.0, "new": 5.0},
    }
    assert CatalogueSpan.of(table, START_US, START_US + 6 * DAY_US) == CatalogueSpan(4, 5, begin=1, end=1)
    assert CatalogueSpan.of(table, START_US, START_US + 2 * DAY_US) == CatalogueSpan(4, 5, begin=0, end=0)


def test_impressions_outside_of_their_ads_time_are_kept_and_counted(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    rows = ads_table().to_pylist()
    rows[3]["valid_from"], rows[4]["valid_until"] = day(2), day(6)
    tables = log() | {"ads": ads(*rows)}
    result = run(tmp_path, tables)
    shown = tables["impressions"].to_pylist()
    early = sum(row["ad_id"] == "a3" and row["request_time"] < day(2) for row in shown)
    late = sum(row["ad_id"] == "a4" and row["request_time"] >= day(6) for row in shown)
    assert early > 0
    assert late > 0
    report = result.report
    assert (report["impressions_before_their_ads"], report["impressions_after_their_ads"]) == (early, late)
    assert report["impressions"] == 400
    told = {loss["reason"]: (loss["example"], loss["lost"]) for loss in report["losses"]}
    assert told["come before the first version of their ad (which they take)"] == ("ad_id 'a3'", False)
    assert told["come after the end of their ad (kept)"] == ("ad_id 'a4'", False)
    assert (report["catalogue"]["begin"], report["catalogue"]["end"]) == (1, 1)
    assert not result.partial


def test_an_ad_that_ends_before_it_begins_is_set_aside() -> None:
    good, violations = ADS.check(ads(ad(valid_from=day(2), valid_until=day(1)), ad(valid_from=day(2))), "t")
    assert good.num_rows == 1
    assert [violation.reason for violation in violations] == ["end before they begin"]


def half_known() -> Tables:
    """Two campaigns a half, and a third of the ads that no catalogue knows."""
    return log() | {"ads": snapshots().filter(pa.array(np.arange(30 * DAYS) % 30 < 20))}


@pytest.mark.parametrize("shuffle", [None, 7])
def test_live_features_equal_those_of_the_log_with_versions_and_unknown_ads(
    without_ray: None,  # noqa: F811
    tmp_path: Path,
    shuffle: int | None,
) -> None:
    tables = half_known()
    result = run(tmp_path, tables)
    recorded = RecordedLog.of(tables["events"], tables["impressions"])
    store, options = StoreConfig(path=str(tmp_path / "store.db")), ParityOptions(shuffle=shuffle, kill=5, scores=0)
    found = check_run(RunDir(str(tmp_path)), recorded, store, options)
    known = sum(ad_id in {f"a{number}" for number in range(20)} for ad_id in tables["impressions"]["ad_id"].to_pylist())
    assert found.report.impressions == known == result.report["impressions"]
    assert 0 < result.report["impressions_of_unknown_ads"] == 400 - known
    assert not found.refused


def test_unknown_ads_count_for_their_users_and_reach_neither_fit_nor_period(
    without_ray: None,  # noqa: F811
    tmp_path: Path,
) -> None:
    tables = half_known()
    report = run(tmp_path / "all", tables, ONE_PART).report
    counters = read_counters_file(DataDir(str(tmp_path / "all" / "data")).counters)
    impressions = [counters[f"{view}_impressions"] for view in ("user", "ad", "campaign")]
    users, per_ad, campaigns = (counter.to_table("x")["sums"].combine_chunks().flatten() for counter in impressions)
    assert sum(users.to_pylist()[::5]) == sum(per_ad.to_pylist()[::5]) == sum(campaigns.to_pylist()[::5]) == 400
    unknown = hash_id("a25")
    assert unknown in counters["ad_impressions"].to_table("x")["entity_key"].to_pylist()
    shown = shown_rows(tmp_path / "all")
    assert (shown["split"] == Split.UNKNOWN_AD).sum() == report["impressions_of_unknown_ads"]
    assert sum(part["impressions"] for part in report["splits"].values()) == report["impressions"]
    known = np.isin(tables["impressions"]["ad_id"].to_numpy(), [f"a{number}" for number in range(20)])
    without = tables | {"impressions": tables["impressions"].filter(pa.array(known))}
    run(tmp_path / "known", without, ONE_PART)
    states = [read_feature_state(str(tmp_path / name / "data" / "features")) for name in ("all", "known")]
    assert states[0].totals == states[1].totals
    for table, vocabulary in states[0].vocabularies.items():
        np.testing.assert_array_equal(vocabulary.keys, states[1].vocabularies[table].keys)
    found = guard(str(tmp_path / "all" / "data"), LeakGuardConfig(), SourceConfig())
    assert not found.leaks, found.lines()


def test_a_price_of_later_is_a_leak(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    run(tmp_path, log() | {"ads": snapshots()})
    data = DataDir(str(tmp_path / "data"))
    assert not guard(data.root, LeakGuardConfig(), SourceConfig()).leaks
    newest = ads_at(read_parquet(data.ads), START_US + DAYS * DAY_US)
    write_parquet(newest, data.ads)
    (leak,) = guard(data.root, LeakGuardConfig(action="warn"), SourceConfig()).leaks
    before = sum(row["request_time"] < day(HALF) for row in log()["impressions"].to_pylist())
    assert leak.message.startswith(f"{before} of 400 impressions have another campaign")


def test_the_store_remembers_impressions_of_unknown_ads(without_ray: None, tmp_path: Path) -> None:  # noqa: F811
    tables = half_known()
    run(tmp_path, tables, ONE_PART)
    state = read_feature_state(str(tmp_path / "data" / "features"))
    encoder = UserEncoder(None, state, context_events=10, as_of_us=START_US + DAYS * DAY_US, seen_from_us=0)
    seen = timeline_block(encoder(read_parquet(DataDir(str(tmp_path / "data")).user_rows(0)))).seen_key
    shown = {name: tables["impressions"][name] for name in ("impression_id", "user_id")}
    ids = {"record_id": np.array(shown["impression_id"].to_pylist(), object), "user_key": hash_ids(shown["user_id"])}
    keys = record_keys(records_of(RecordKind.IMPRESSION, **ids))
    assert set(keys.tolist()) <= set(seen.tolist())


def test_declared_columns_of_an_ad_make_versions() -> None:
    own = (OwnColumn("ad.margin", "number"), OwnColumn("ad.tags", "categories"))
    told = [(1, 0.5, ["a"]), (2, 0.5, ["a"]), (3, 0.5, ["b", "a"]), (4, 0.25, ["b", "a"]), (5, 0.25, None)]
    rows = [
        {"ad_id": "a1", "valid_from": datetime(2026, 10, day, tzinfo=UTC), "ad.margin": margin, "ad.tags": tags}
        for day, margin, tags in told
    ]
    found = read_versions(pa.Table.from_pylist(rows, schema=nullable(contract_with("ads", own).schema)))
    kept = [(row["valid_from"].day, row["ad.margin"], row["ad.tags"]) for row in found.table.to_pylist()]
    assert kept == [told[0], told[2], told[3], told[4]]
    assert found.unchanged == 1


def nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])
