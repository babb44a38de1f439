"""Files of many conventions become configs that read every row, without an edit."""

import bz2
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from rosa_ray.config import RunConfig, load_config
from rosa_ray.errors import InputError
from rosa_ray.features import FeatureConfig
from rosa_ray.features.own import own_columns
from rosa_ray.intake.propose import Proposal, propose
from rosa_ray.intake.scan import TableScan, scan_log
from rosa_ray.sources import open_source
from rosa_ray.units import DAY_US
from tests.intake import invented
from tests.intake.invented import changed, renamed, write_csv, write_parquet

SHOP = {
    "events": {"event_id": "", "user_id": "uid", "item_id": "sku", "behavior": "action", "event_time": "ts"},
    "impressions": {
        "impression_id": "imp_id",
        "request_id": "auction_id",
        "user_id": "uid",
        "ad_id": "creative",
        "request_time": "ts",
        "position": "slot",
        "bid": "bid_price",
        "cost": "paid",
        "click": "is_click",
        "conversion": "is_conv",
        "conversion_time": "conv_time",
        "revenue": "sales",
    },
    "ads": {"ad_id": "creative", "item_id": "sku", "campaign_id": "cmp", "bid": "max_bid"},
}
CAMEL = {
    "events": {"user_id": "userId", "item_id": "productId", "behavior": "eventType", "event_time": "timestamp"},
    "impressions": {
        "impression_id": "impressionId",
        "user_id": "userId",
        "ad_id": "bannerId",
        "request_time": "timestamp",
        "click": "clicked",
        "conversion": "converted",
    },
    "ads": {"ad_id": "bannerId", "item_id": "productId", "campaign_id": "campaignId"},
}
VISITOR = {
    "events": {"user_id": "visitorid", "item_id": "itemid", "behavior": "event", "event_time": "datetime"},
    "impressions": {"user_id": "visitorid", "ad_id": "adgroup_id", "request_time": "datetime", "click": "clk"},
    "ads": {"ad_id": "adgroup_id", "item_id": "itemid", "campaign_id": "campaign", "category": "cate_id"},
}


def tables() -> dict[str, invented.Columns]:
    return {"events": invented.events(), "impressions": invented.impressions(), "ads": invented.ads()}


def configured(proposal: Proposal, folder: Path) -> RunConfig:
    path = folder / "proposed.yaml"
    path.write_text(proposal.draft.text)
    return load_config(path)


def read(proposal: Proposal, folder: Path) -> dict[str, TableScan]:
    return scan_log(open_source(configured(proposal, folder).source), 0)


def found(proposal: Proposal, table: str) -> dict[str, str]:
    guess = next(one for one in proposal.tables if one.table == table)
    return {name: column.file_column for name, column in guess.columns.items()}


@pytest.mark.parametrize("names", [{}, SHOP, CAMEL, VISITOR], ids=["contract", "shop", "camel", "visitor"])
def test_columns_are_found_by_names_of_many_conventions(tmp_path: Path, names: dict[str, dict[str, str]]) -> None:
    paths = [
        write_csv(renamed(columns, names.get(table, {})), tmp_path / f"part{at}.csv")
        for at, (table, columns) in enumerate(tables().items())
    ]
    proposal = propose(paths, "shop", "rosa check shop.yaml")
    for table, columns in tables().items():
        expected = {name: names.get(table, {}).get(name, name) for name in columns}
        assert found(proposal, table) == {name: written for name, written in expected.items() if written}
    scans = read(proposal, tmp_path)
    assert {name: scan.kept.rows for name, scan in scans.items()} == {
        "events": invented.EVENTS,
        "impressions": invented.SHOWN,
        "ads": invented.ADS,
    }
    assert all(scan.whole and not scan.set_aside and not scan.unreadable for scan in scans.values())


def test_ids_that_are_missing_become_row_numbers(tmp_path: Path) -> None:
    path = write_csv(renamed(invented.events(), {"event_id": ""}), tmp_path / "events.csv")
    proposal = propose([path], "shop", "")
    assert configured(proposal, tmp_path).source.columns["events"]["event_id"] == "#row"
    assert read(proposal, tmp_path)["events"].kept.distinct("event_id") == invented.EVENTS


def test_words_for_behaviours_are_mapped(tmp_path: Path) -> None:
    words = {"view": "pv", "click": "click", "cart": "addtocart", "purchase": "transaction"}
    columns = changed(invented.events(), behavior=lambda word: words[str(word)])
    proposal = propose([write_csv(columns, tmp_path / "log.csv")], "shop", "")
    mapped = configured(proposal, tmp_path).source.behaviors
    assert mapped == {"pv": "view", "addtocart": "cart", "transaction": "purchase"}
    assert not proposal.draft.choices


def test_words_that_are_no_known_behaviours_become_own_ones_for_a_person_to_order(tmp_path: Path) -> None:
    columns = changed(invented.events(), behavior=lambda word: {"click": "unfollow", "cart": "compare"}.get(word, word))
    proposal = propose([write_csv(columns, tmp_path / "events.csv")], "shop", "")
    names = configured(proposal, tmp_path).features.behavior_names
    assert set(names) == {"unfollow", "view", "click", "compare", "cart", "purchase"}
    assert (names[0], names[-1]) == ("unfollow", "purchase")
    assert [
        choice for choice in proposal.draft.choices if "unfollow, compare" in choice or "compare, unfollow" in choice
    ]
    config = configured(proposal, tmp_path)
    scans = scan_log(open_source(config.source), 0, (), names)
    assert (scans["events"].kept.rows, scans["events"].set_aside) == (invented.EVENTS, [])


def test_a_log_of_other_words_alone_has_its_own_behaviours_alone(tmp_path: Path) -> None:
    """The commonest is the weakest."""
    words = {"view": "hover", "click": "hover", "cart": "compare", "purchase": "hover"}
    columns = changed(invented.events(), behavior=lambda word: words[str(word)])
    proposal = propose([write_csv(columns, tmp_path / "events.csv")], "shop", "")
    assert configured(proposal, tmp_path).features.behaviors == {"hover": 0, "compare": 1}


def test_own_behaviours_and_columns_are_one_section(tmp_path: Path) -> None:
    events = changed(invented.events(), behavior=lambda word: "compare" if word == "cart" else word)
    shown = invented.impressions() | {"placement": ["top", "side"] * (invented.SHOWN // 2)}
    paths = [write_csv(events, tmp_path / "events.csv"), write_csv(shown, tmp_path / "impressions.csv")]
    text = propose(paths, "shop", "").draft.text
    start = text.index("#   columns:")
    (tmp_path / "active.yaml").write_text(text[:start] + re.sub(r"(?m)^# ?", "", text[start:]))
    config = load_config(tmp_path / "active.yaml")
    assert "compare" in config.features.behaviors
    assert set(config.features.columns) == {"request.placement"}


def test_more_words_than_there_may_be_behaviours_are_left_to_a_person(tmp_path: Path) -> None:
    rows = invented.EVENTS
    columns = invented.events() | {"behavior": ["view", *(f"deed{at % 34}" for at in range(rows - 1))]}
    proposal = propose([write_csv(columns, tmp_path / "events.csv")], "shop", "")
    assert configured(proposal, tmp_path).features.behaviors == FeatureConfig().behaviors
    assert [choice for choice in proposal.draft.choices if "their rows are set aside" in choice]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda at: at * 1000, {"time_unit": "ms"}),
        (lambda at: f"{at}.0", {"time_unit": "s"}),
        (lambda at: datetime.fromtimestamp(at, UTC).isoformat(), {}),
        (lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), {}),
        (lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"), {"time_zone": "UTC"}),
        (
            lambda at: datetime.fromtimestamp(at, UTC).strftime("%d/%m/%Y %H:%M"),
            {"time_format": "%d/%m/%Y %H:%M", "time_zone": "UTC"},
        ),
        (
            lambda at: datetime.fromtimestamp(at, UTC).strftime("%d.%m.%Y %H:%M:%S"),
            {"time_format": "%d.%m.%Y %H:%M:%S", "time_zone": "UTC"},
        ),
        (
            lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %I:%M:%S %p"),
            {"time_format": "%Y-%m-%d %I:%M:%S %p", "time_zone": "UTC"},
        ),
        (
            lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%S"),
            {"time_format": "%Y%m%d%H%M%S%f", "time_zone": "UTC"},
        ),
    ],
    ids=["ms", "float-s", "iso", "bigquery", "naive", "day-month", "dots", "am-pm", "compact"],
)
def test_times_are_read_as_they_are_written(tmp_path: Path, write: object, expected: dict[str, str]) -> None:
    path = write_csv(changed(invented.events(), event_time=write), tmp_path / "events.csv")
    proposal = propose([path], "shop", "")
    source = configured(proposal, tmp_path).source
    assert {name: getattr(source, name) for name in ("time_unit", "time_format", "time_zone")} == {
        "time_unit": "",
        "time_format": "",
        "time_zone": "",
    } | expected
    first = read(proposal, tmp_path)["events"].kept.column("event_time").min()
    assert abs(first / 1e6 - min(invented.events()["event_time"])) < 60


def test_times_finer_than_microseconds_are_read(tmp_path: Path) -> None:
    nanoseconds = [at * 10**9 + 7 for at in invented.events()["event_time"]]
    times = pa.array(nanoseconds, pa.timestamp("ns", "UTC"))
    proposal = propose(
        [write_parquet(invented.events() | {"event_time": times}, tmp_path / "events.parquet")], "shop", ""
    )
    assert read(proposal, tmp_path)["events"].kept.rows == invented.EVENTS


def test_units_may_differ_by_table(tmp_path: Path) -> None:
    events = write_csv(changed(invented.events(), event_time=lambda at: at * 1000), tmp_path / "events.csv")
    shown = write_csv(invented.impressions(), tmp_path / "impressions.csv")
    source = configured(propose([events, shown], "shop", ""), tmp_path).source
    assert source.setting("time_unit", "events", "event_time") == "ms"
    assert source.setting("time_unit", "impressions", "request_time") == "s"


def test_a_zone_that_was_taken_is_named_for_a_person_to_choose(tmp_path: Path) -> None:
    columns = changed(
        invented.events(), event_time=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
    )
    proposal = propose([write_csv(columns, tmp_path / "events.csv")], "shop", "")
    assert [choice for choice in proposal.draft.choices if choice.startswith("time_zone")]
    assert "# choose: time_zone" in proposal.draft.text


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda price: f"${price:.2f}", {"strip": "$"}),
        (lambda price: f"{price:.2f} €", {"strip": "€"}),
        (lambda price: f"{price:.2f}".replace(".", ","), {"decimal": ","}),
        (lambda price: f"{price + 1000:,.2f}", {"thousands": ","}),
        (lambda price: f"{price + 1000:,.2f}".translate(str.maketrans(",.", ".,")), {"decimal": ",", "thousands": "."}),
    ],
    ids=["dollar", "euro", "decimal-comma", "thousands", "european"],
)
def test_numbers_are_read_as_they_are_written(tmp_path: Path, write: object, expected: dict[str, str]) -> None:
    path = write_csv(changed(invented.events(), price=write), tmp_path / "events.csv", delimiter=";")
    proposal = propose([path], "shop", "")
    source = configured(proposal, tmp_path).source
    written = {name: source.setting(name, "events", "price") for name in ("decimal", "thousands", "strip")}
    assert written == {"decimal": ".", "thousands": "", "strip": ""} | expected
    assert read(proposal, tmp_path)["events"].kept.rows == invented.EVENTS


@pytest.mark.parametrize(
    "words", [("1", "0"), ("Yes", "No"), ("1.0", "0.0"), ("1", "-1"), ("clicked", "not_clicked")], ids="/".join
)
def test_labels_are_read_as_they_are_written(tmp_path: Path, words: tuple[str, str]) -> None:
    columns = changed(invented.impressions(), click=lambda yes: words[0] if yes else words[1])
    proposal = propose([write_csv(columns, tmp_path / "impressions.csv")], "shop", "")
    shown = read(proposal, tmp_path)["impressions"]
    assert shown.kept.column("click").sum() == sum(invented.impressions()["click"])


def test_a_file_without_header_is_named_by_its_content(tmp_path: Path) -> None:
    columns = {name: invented.events()[name] for name in ("user_id", "item_id", "category", "behavior", "event_time")}
    numbers = changed(
        columns, **{name: lambda text: str(text).strip("uitca") for name in ("user_id", "item_id", "category")}
    )
    proposal = propose([write_csv(numbers, tmp_path / "log.txt", header=False, delimiter="\t")], "shop", "")
    assert configured(proposal, tmp_path).source.header == {"events": tuple(columns)}
    assert read(proposal, tmp_path)["events"].kept.rows == invented.EVENTS


def test_folders_become_tables_and_hive_folders_columns(tmp_path: Path) -> None:
    rows = invented.events()
    half = {name: values[:200] for name, values in rows.items()}, {name: values[200:] for name, values in rows.items()}
    for day, part in enumerate(half, 1):
        write_parquet(part, tmp_path / f"log/events/day=2026-09-2{day}/part-0.parquet")
    write_parquet(invented.ads(), tmp_path / "log/catalogue/ads.parquet")
    proposal = propose([str(tmp_path / "log")], "shop", "")
    source = configured(proposal, tmp_path).source
    assert (source.kind, source.events) == ("parquet", f"{tmp_path}/log/events")
    assert source.ads.endswith("catalogue")
    assert read(proposal, tmp_path)["events"].kept.rows == invented.EVENTS


def test_files_of_one_table_become_a_glob(tmp_path: Path) -> None:
    paths = [write_csv(invented.events(), tmp_path / f"events_{at}.csv") for at in (1, 2)]
    assert configured(propose(paths, "shop", ""), tmp_path).source.events == f"{tmp_path}/events_*.csv"


def snapshots() -> list[dict[str, list]]:
    """Ads of three days; their price is that of the day."""
    return [invented.ads() | {"price": [float(day)] * invented.ADS} for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("ads_2026-10-0{}.csv", "#file"),
        ("ads/2026100{}.csv", "#file"),
        ("ads/2026-10-0{}/part-0.csv", "#folder"),
        ("ads/day=2026-10-0{}/part-0.csv", "day"),
    ],
)
def test_snapshots_of_ads_are_dated_by_their_files_or_folders(tmp_path: Path, name: str, column: str) -> None:
    paths = [write_csv(part, tmp_path / name.format(day)) for day, part in enumerate(snapshots(), 1)]
    given = paths if "/" not in name else [str(tmp_path / "ads")]
    proposal = propose([*given, write_csv(invented.impressions(), tmp_path / "impressions.csv")], "shop", "")
    assert configured(proposal, tmp_path).source.columns["ads"]["valid_from"] == column
    kept = read(proposal, tmp_path)["ads"].kept
    days = (kept.column("valid_from") // DAY_US - np.datetime64("2026-10-01", "D").astype(int) + 1).tolist()
    assert days == kept.column("price").tolist()
    assert set(days) == {1, 2, 3}


def test_the_end_of_ads_is_read_under_other_names(tmp_path: Path) -> None:
    ends = invented.ads() | {"start_date": ["2026-09-01"] * invented.ADS, "end_date": ["2026-10-01"] * invented.ADS}
    proposal = propose([write_csv(ends, tmp_path / "ads.csv")], "shop", "")
    kept = read(proposal, tmp_path)["ads"].kept
    assert (kept.known_share("valid_from"), kept.known_share("valid_until")) == (1.0, 1.0)


def test_compressed_and_foreign_encodings_are_read(tmp_path: Path) -> None:
    columns = changed(invented.ads(), campaign_id=lambda text: f"Frühling {text}")
    text = Path(write_csv(columns, tmp_path / "plain.csv")).read_text()
    (tmp_path / "ads.csv.bz2").write_bytes(bz2.compress(text.encode("latin-1")))
    proposal = propose([str(tmp_path / "ads.csv.bz2")], "shop", "")
    assert [choice for choice in proposal.draft.choices if choice.startswith("encoding")]
    names = read(proposal, tmp_path)["ads"].kept.texts("campaign_id")[0].to_pylist()
    assert names[0] == "Frühling c0"


def test_ads_are_taken_from_the_impressions_where_no_table_of_ads_is_given(tmp_path: Path) -> None:
    path = write_csv(invented.impressions(), tmp_path / "impressions.csv")
    proposal = propose([path], "shop", "")
    assert configured(proposal, tmp_path).source.ads == path
    assert read(proposal, tmp_path)["ads"].kept.distinct("ad_id") == invented.ADS


def test_what_a_log_may_lack_is_left_out_and_said(tmp_path: Path) -> None:
    lacking = ("user_id", "bid", "cost", "conversion", "conversion_time", "revenue", "request_id")
    path = write_csv(renamed(invented.impressions(), dict.fromkeys(lacking, "")), tmp_path / "impressions.csv")
    proposal = propose([path], "shop", "")
    assert not set(lacking) & set(configured(proposal, tmp_path).source.columns["impressions"])
    for said in ("user_id (nobody has a timeline)", "bid (that of the ad)", "cost (0)", "conversion (none converted)"):
        assert f"# no column is left for {said}" in proposal.draft.text
    assert read(proposal, tmp_path)["impressions"].kept.rows == invented.SHOWN


def test_rows_that_say_no_ad_and_no_time_are_read_once_a_person_agrees(tmp_path: Path) -> None:
    path = write_csv({"click": [0, 1, 0, 1] * 30, "site": [f"s{at % 7}" for at in range(120)]}, tmp_path / "rows.csv")
    proposal = propose([path], "shop", "")
    chosen = [choice.partition(":")[0] for choice in proposal.draft.choices]
    assert {"columns.impressions.ad_id", "columns.impressions.request_time", "columns.ads.ad_id"} <= set(chosen)
    assert {name: scan.kept.rows for name, scan in read(proposal, tmp_path).items()} == {"impressions": 120, "ads": 120}


OWN = {
    "placement": ["top", "side", "foot"],
    "age": [18, 44, 71, 30],
    "floor": [0.15, 0.22, 1.4],
    "site_id": [90_000 + at for at in range(40)],
    "is_install": [0, 1, 0],
    "order_value": [0.0, 30.5],
    "same": ["x"],
    "note with spaces": ["a", "b"],
}


def test_columns_that_no_table_takes_are_proposed_as_features_and_left_to_a_person(tmp_path: Path) -> None:
    more = {name: [values[at % len(values)] for at in range(invented.SHOWN)] for name, values in OWN.items()}
    path = write_csv(invented.impressions() | more, tmp_path / "impressions.csv")
    proposal = propose([path], "shop", "")
    assert configured(proposal, tmp_path).features.columns == {}
    text = proposal.draft.text
    assert "gives the label away" in text
    active = text[: text.index("# features:")] + re.sub(r"(?m)^# ?", "", text[text.index("# features:") :])
    (tmp_path / "active.yaml").write_text(active)
    config = load_config(tmp_path / "active.yaml")
    assert {name: column.type for name, column in config.features.columns.items()} == {
        "request.placement": "category",
        "request.age": "category",
        "request.floor": "number",
        "request.site_id": "category",
    }
    scans = scan_log(open_source(config.source, own=own_columns(config.features.columns)), 0)
    assert scans["impressions"].kept.rows == invented.SHOWN


def test_a_column_that_candidates_lack_is_no_feature_of_the_request(tmp_path: Path) -> None:
    shown = invented.impressions() | {"placement": ["top", "side"] * (invented.SHOWN // 2)}
    asked = {name: shown[name] for name in ("impression_id", "request_id", "user_id", "ad_id", "request_time", "bid")}
    paths = [write_csv(shown, tmp_path / "impressions.csv"), write_csv(asked, tmp_path / "candidates.csv")]
    assert "request.placement" not in propose(paths, "shop", "").draft.text
    paths[1] = write_csv(asked | {"placement": shown["placement"]}, tmp_path / "candidates.csv")
    assert "request.placement" in propose(paths, "shop", "").draft.text


def people() -> invented.Columns:
    """A table of users with columns of every type."""
    count = invented.USERS
    return {
        "user_id": [f"u{at}" for at in range(count)],
        "ageBand": [("18-24", "25-34", "35-44")[at % 3] for at in range(count)],
        "interests": [("sport|news", "music", "news|music|film")[at % 3] for at in range(count)],
        "household_budget": [f"${1_000 + 137 * (at % 25)}.50" for at in range(count)],
        "taste": [f"{at / 8} 0.5 1 -1" for at in range(count)],
        "email": [f"u{at}@x" for at in range(count)],
        "purchases": [at % 4 for at in range(count)],
        "signup": [f"2026-0{1 + at % 9}-01" for at in range(count)],
    }


def goods() -> invented.Columns:
    """A table of items, one row for each."""
    return {
        "item_id": [f"it{at}" for at in range(60)],
        "brand": [f"b{at % 7}" for at in range(60)],
        "image": [[at / 60, 0.5, 1.0] for at in range(60)],
        "labels_on_it": ["x", "y"] * 30,
    }


def test_tables_of_users_and_items_are_found_and_their_columns_declared(tmp_path: Path) -> None:
    paths = [
        write_csv(columns, tmp_path / f"part{at}.csv") for at, columns in enumerate([*tables().values(), people()])
    ]
    paths.append(write_parquet(goods(), tmp_path / "part9.parquet"))
    proposal = propose(paths, "shop", "")
    assert [one.table for one in proposal.tables] == ["events", "impressions", "ads", "users", "items"]
    config = configured(proposal, tmp_path)
    assert {name: (column.type, column.size) for name, column in config.features.columns.items()} == {
        "user.ageBand": ("category", 0),
        "user.interests": ("categories", 0),
        "user.household_budget": ("number", 0),
        "user.taste": ("vector", 4),
        "item.brand": ("category", 0),
        "item.image": ("vector", 3),
    }
    own = own_columns(config.features.columns)
    scans = scan_log(open_source(config.source, own=own), 0, own)
    assert (scans["users"].kept.rows, scans["items"].kept.rows) == (invented.USERS, 60)
    assert all(not scan.set_aside and not scan.unreadable for scan in scans.values())
    assert all(
        scans[table].kept.known_share(name) == 1 for table in ("users", "items") for name in scans[table].kept.own
    )
    (asked,) = [choice for choice in proposal.draft.choices if "valid_from" in choice]
    assert asked.startswith("features.columns: rows of users and items say no valid_from")


def test_columns_of_requests_stay_comments_beside_declared_ones(tmp_path: Path) -> None:
    shown = invented.impressions() | {"placement": ["top", "side"] * (invented.SHOWN // 2)}
    paths = [write_csv(shown, tmp_path / "shown.csv"), write_csv(people(), tmp_path / "users.csv")]
    proposal = propose(paths, "shop", "")
    assert "request.placement" not in configured(proposal, tmp_path).features.columns
    (tmp_path / "all.yaml").write_text(proposal.draft.text.replace("    # request.", "    request."))
    assert "request.placement" in load_config(tmp_path / "all.yaml").features.columns


def test_snapshots_of_users_take_the_day_of_their_files(tmp_path: Path) -> None:
    for day in ("2026-09-21", "2026-09-22"):
        write_csv(people(), tmp_path / "users" / f"users_{day}.csv")
    shown = write_csv(invented.impressions(), tmp_path / "shown.csv")
    proposal = propose([shown, str(tmp_path / "users")], "shop", "")
    config = configured(proposal, tmp_path)
    assert config.source.columns["users"]["valid_from"] == "#file"
    own = own_columns(config.features.columns)
    scans = scan_log(open_source(config.source, own=own), 0, own)
    assert scans["users"].kept.known_share("valid_from") == 1
    assert not [choice for choice in proposal.draft.choices if choice.startswith("features.columns")]


def test_items_stay_ads_where_no_file_has_ads_of_its_own(tmp_path: Path) -> None:
    paths = [write_csv(invented.events(), tmp_path / "part0.csv"), write_parquet(goods(), tmp_path / "part1.parquet")]
    assert [one.table for one in propose(paths, "shop", "").tables] == ["events", "ads"]


def test_a_file_that_is_no_log_is_refused_with_its_columns(tmp_path: Path) -> None:
    path = write_csv({"alpha": [1, 2], "beta": [3, 4]}, tmp_path / "figures.csv")
    with pytest.raises(InputError, match=r"fit none of events, impressions, ads.*alpha, beta"):
        propose([path], "shop", "")


def test_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text('{"user": 1}\n')
    with pytest.raises(InputError, match="is JSON"):
        propose([str(tmp_path / "log.json")], "shop", "")


def test_the_text_is_yaml_whatever_the_names_are(tmp_path: Path) -> None:
    names = {"user_id": "user: id", "category": "no", "price": "price #1", "event_time": "ts\\x"}
    path = write_csv(renamed(invented.events(), names), tmp_path / "events.csv")
    proposal = propose([path], "shop", "rosa check shop.yaml")
    written = yaml.safe_load(proposal.draft.text)["source"]["columns"]["events"]
    assert {*written.values()} <= {*renamed(invented.events(), names), "#row"}
    assert proposal.draft.text.isascii()


def test_ads_without_bids_get_the_mean_bid_of_the_impressions(tmp_path: Path) -> None:
    shown = invented.impressions()
    paths = [
        write_csv(shown, tmp_path / "impressions.csv"),
        write_csv(renamed(invented.ads(), {"bid": ""}), tmp_path / "ads.csv"),
    ]
    proposal = propose(paths, "shop", "")
    mean = sum(map(float, shown["bid"])) / len(shown["bid"])
    assert configured(proposal, tmp_path).source.columns["ads"]["bid"] == f"={mean:.4g}"
    assert read(proposal, tmp_path)["ads"].kept.rows == len(invented.ads()["ad_id"])
    assert [choice for choice in proposal.draft.choices if "mean bid" in choice]


def logs_of_three_servers(tmp_path: Path) -> list[str]:
    """Impressions without labels, clicks some of which come twice, and conversions of them with refunds."""
    labels = dict.fromkeys(("click", "conversion", "conversion_time", "revenue", "cost", "position", "device"), "")
    shown = renamed(invented.impressions(), labels | {"impression_id": "show_id", "request_time": "shown_at"})
    clicked = [*range(100)] * 2
    return [
        write_csv(shown, tmp_path / "delivered.csv"),
        write_csv(
            {
                "tap_id": [f"t{row}" for row in range(200)],
                "show_id": [f"i{at}" for at in clicked],
                "tapped_at": [invented.START + 60 * at for at in clicked],
            },
            tmp_path / "taps.csv",
        ),
        write_csv(
            {
                "order_id": [f"o{row}" for row in range(100)],
                "tap_id": [f"t{row // 3}" for row in range(100)],
                "ordered_at": [invented.START + 90 * row for row in range(100)],
                "amount": [-5.5 if row % 9 == 0 else 5.5 + row for row in range(100)],
            },
            tmp_path / "orders.csv",
        ),
        write_csv(invented.ads(), tmp_path / "ads.csv"),
    ]


def test_impressions_without_labels_are_no_candidates_where_there_are_no_others(tmp_path: Path) -> None:
    source = configured(propose(logs_of_three_servers(tmp_path), "shop", ""), tmp_path).source
    assert (source.impressions, source.candidates) == (str(tmp_path / "delivered.csv"), "")
    assert source.columns["impressions"]["impression_id"] == "show_id"


def test_candidates_that_say_so_stay_candidates(tmp_path: Path) -> None:
    offered = {name: invented.impressions()[name] for name in ("request_id", "user_id", "ad_id", "request_time")}
    path = write_csv(offered, tmp_path / "candidates.csv")
    assert configured(propose([path], "shop", ""), tmp_path).source.candidates == path


def test_rows_of_another_log_may_name_a_click_or_an_impression_often(tmp_path: Path) -> None:
    columns = configured(propose(logs_of_three_servers(tmp_path), "shop", ""), tmp_path).source.columns
    assert columns["clicks"] == {"click_id": "tap_id", "impression_id": "show_id", "click_time": "tapped_at"}
    assert columns["conversions"]["click_id"] == "tap_id"


def test_refunds_do_not_hide_the_revenue_of_conversions(tmp_path: Path) -> None:
    proposal = propose(logs_of_three_servers(tmp_path), "shop", "")
    assert configured(proposal, tmp_path).source.columns["conversions"]["revenue"] == "amount"


def test_the_columns_whose_zone_was_taken_are_named(tmp_path: Path) -> None:
    naive = changed(invented.events(), event_time=lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}")
    choices = propose([write_csv(naive, tmp_path / "events.csv")], "shop", "").draft.choices
    assert "time_zone: events.event_time say no zone; UTC was taken" in choices
