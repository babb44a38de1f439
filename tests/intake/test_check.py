"""A check says what is read, what is lost, what is odd and what a log can teach."""

import json
from functools import partial
from pathlib import Path

import pytest

from rosa_ray.config import load_config
from rosa_ray.data.preprocess import period_of, split_bounds
from rosa_ray.errors import InputError
from rosa_ray.features.own import own_columns
from rosa_ray.intake import figures
from rosa_ray.intake.check import LogCheck, check_log
from rosa_ray.sources import open_source
from tests.intake import invented
from tests.intake.invented import changed, renamed, write_csv, write_log

DAY = 86_400


def check(config: Path, rows: int = 0) -> LogCheck:
    loaded = load_config(config)
    settings = loaded.preprocess
    keep = settings.time_outliers == "keep"
    own = own_columns(loaded.features.columns)
    return check_log(
        open_source(loaded.source, None, own),
        partial(split_bounds, settings),
        rows,
        period_of(settings),
        keep_outliers=keep,
        own=own,
        features=loaded.features,
    )


def said(found: LogCheck, level: str) -> list[str]:
    return [str(remark) for remark in found.remarks if remark.level == level]


def first_changed(columns: invented.Columns, **changes: object) -> invented.Columns:
    return columns | {name: [value, *columns[name][1:]] for name, value in changes.items()}


def test_a_good_log_ends_with_0(tmp_path: Path) -> None:
    found = check(write_log(tmp_path))
    assert found.exit_code == 0
    assert [remark for remark in found.remarks if remark.level not in ("note", "off")] == []
    assert {name: scan.kept.rows for name, scan in found.tables.items()} == {
        "events": invented.EVENTS,
        "impressions": invented.SHOWN,
        "ads": invented.ADS,
    }
    clicks = sum(invented.impressions()["click"])
    assert found.rates["clicks"] == clicks
    assert found.rates["ctr"] == clicks / invented.SHOWN
    assert found.rates["cost"] == pytest.approx(sum(invented.impressions()["cost"]))


def test_rates_are_of_what_the_rows_stand_for(tmp_path: Path) -> None:
    clicks = sum(invented.impressions()["click"])
    others = invented.SHOWN - clicks
    thinned = figures.rates(check(write_log(tmp_path)).tables["impressions"], negative_keep_rate=0.1)
    assert (thinned["impressions"], thinned["clicks"]) == (invented.SHOWN, clicks)
    assert thinned["stands_for"] == pytest.approx(clicks + 10 * others)
    assert thinned["ctr"] == pytest.approx(clicks / (clicks + 10 * others))


def test_days_add_up_to_the_rows(tmp_path: Path) -> None:
    found = check(write_log(tmp_path))
    assert sum(day["rows"] for day in found.daily["events"]) == invented.EVENTS
    shown = found.daily["impressions"]
    assert sum(day["clicks"] for day in shown) == found.rates["clicks"]
    assert sum(day["conversions"] for day in shown) == found.rates["conversions"]
    assert shown[0]["day"] == "2026-09-21"


def test_periods_are_those_that_preprocessing_cuts(tmp_path: Path) -> None:
    found = check(write_log(tmp_path))
    times = invented.impressions()["request_time"]
    bounds = split_bounds(load_config(tmp_path / "shop.yaml").preprocess, min(times) * 10**6, max(times) * 10**6)
    assert found.periods["test"]["from_us"] == bounds.test_us
    assert found.periods["test"]["impressions"] == sum(at * 10**6 >= bounds.test_us for at in times)
    assert sum(found.periods[name]["impressions"] for name in ("train", "valid", "test")) == invented.SHOWN


def test_the_age_of_labels_is_measured(tmp_path: Path) -> None:
    age = check(write_log(tmp_path)).label_age
    assert age is not None
    assert age["delay_hours"]["p50"] == age["delay_hours"]["max"] == 1.0
    assert age["days_to_know_99_percent"] == 1


def test_clicks_of_the_last_hour_are_too_young(tmp_path: Path) -> None:
    shown = invented.impressions()
    shown["request_time"][-1] = shown["request_time"][-2] + 60
    shown["click"][-2:], shown["conversion"][-2:] = [True, True], [False, False]
    shown["conversion_time"][-2:], shown["revenue"][-2:] = [None, None], [0.0, 0.0]
    age = check(write_log(tmp_path, impressions=shown)).label_age
    assert age is not None
    assert age["young_clicks"] >= 2


def test_rows_set_aside_are_counted_with_an_example(tmp_path: Path) -> None:
    found = check(write_log(tmp_path, events=first_changed(invented.events(), price=-3.0, user_id=None)))
    assert found.exit_code == 4
    lost = said(found, "lost")
    assert len(lost) == 1
    assert "1 of 400 rows" in lost[0]
    assert "row 1" in lost[0]


def test_a_file_that_cannot_be_read_ends_with_3_and_the_others_are_still_looked_at(tmp_path: Path) -> None:
    config = write_log(tmp_path, ads=renamed(invented.ads(), {"ad_id": "advert"}))
    found = check(config)
    assert found.exit_code == 3
    assert "column 'ad_id' is missing" in said(found, "unreadable")[0]
    assert found.tables["events"].kept.rows == invented.EVENTS


def test_a_location_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    config = write_log(tmp_path)
    (tmp_path / "ads.csv").unlink()
    with pytest.raises(InputError, match="does not exist"):
        check(config)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda text: f"{text} ", "without spaces around them"),
        (lambda text: f"web:{text}", "without 'web:' in front"),
        (lambda text: str(text).upper(), "ignoring case"),
        (lambda text: str(text).replace("u", "member "), "by their digits alone"),
    ],
    ids=["space", "prefix", "case", "digits"],
)
def test_users_that_do_not_meet_are_said_with_a_hint(tmp_path: Path, change: object, hint: str) -> None:
    found = check(write_log(tmp_path, impressions=changed(invented.impressions(), user_id=change)))
    assert found.exit_code == 4
    assert [
        line for line in said(found, "odd") if "0 of 30 users with impressions have events" in line and hint in line
    ]


def test_users_that_have_nothing_in_common_are_said_with_an_id_of_each(tmp_path: Path) -> None:
    words = changed(invented.impressions(), user_id=lambda text: "x" * int(str(text)[1:] or 0) + "y")
    found = check(write_log(tmp_path, impressions=words))
    assert [line for line in said(found, "odd") if "nothing in common: impressions.user_id has ids like" in line]


def test_impressions_of_unknown_ads_would_be_lost(tmp_path: Path) -> None:
    short = {name: values[:-1] for name, values in invented.ads().items()}
    lost = said(check(write_log(tmp_path, ads=short)), "lost")
    missing = sum(ad == f"ad{invented.ADS - 1}" for ad in invented.impressions()["ad_id"])
    assert [line for line in lost if f"{missing} of {invented.SHOWN} rows name unknown ads" in line]


@pytest.mark.parametrize(("moved", "when"), [(2_082_758_400, "2036-01-01"), (1_000_000_000, "2001-09-09")])
def test_one_row_of_another_age_would_be_lost_and_moves_no_period(tmp_path: Path, moved: int, when: str) -> None:
    plain = check(write_log(tmp_path / "plain"))
    shown = invented.impressions()
    at = 150
    shown["request_time"][at], shown["conversion"][at] = moved, False
    shown["conversion_time"][at], shown["revenue"][at] = None, 0.0
    found = check(write_log(tmp_path / "odd", impressions=shown))
    assert [line for line in said(found, "lost") if "rows lie far outside" in line and f"such as {when}" in line]
    assert found.periods["test"] == plain.periods["test"]
    assert len(found.daily["impressions"]) == len(plain.daily["impressions"])


def test_an_id_with_other_content_is_a_conflict(tmp_path: Path) -> None:
    shown = invented.impressions()
    clicked = shown["click"].index(True)
    twice = {name: [*values, values[clicked]] for name, values in shown.items()}
    twice["click"][-1], twice["conversion"][-1] = False, False
    twice["conversion_time"][-1], twice["revenue"][-1] = None, 0.0
    found = check(write_log(tmp_path, impressions=twice))
    assert (found.repeats["impressions"].other, found.repeats["impressions"].other_labels) == (1, 1)
    assert [line for line in said(found, "odd") if "1 of them with other labels" in line]


def test_equal_rows_count_once(tmp_path: Path) -> None:
    twice = {name: [*values, values[0]] for name, values in invented.events().items()}
    found = check(write_log(tmp_path, events=twice))
    assert (found.repeats["events"].same, found.repeats["events"].other) == (1, 0)


def test_impressions_before_all_events_have_no_timeline(tmp_path: Path) -> None:
    later = changed(invented.events(), event_time=lambda at: at + 20 * DAY)
    assert [line for line in said(check(write_log(tmp_path, events=later)), "odd") if "before the first event" in line]


def test_what_the_log_cannot_teach_is_said(tmp_path: Path) -> None:
    shown = invented.impressions()
    nothing = {"conversion": [False] * invented.SHOWN, "conversion_time": [None] * invented.SHOWN}
    nothing |= {"revenue": [0.0] * invented.SHOWN, "cost": [0.0] * invented.SHOWN}
    found = check(write_log(tmp_path, impressions=shown | nothing))
    off = {head.name for head in found.heads if not head.on}
    assert off == {"CVR", "value", "cost", "off-policy estimates", "value of other policies"}
    assert found.exit_code == 0


def test_no_click_is_odd(tmp_path: Path) -> None:
    no = [False] * invented.SHOWN
    shown = invented.impressions() | {"click": no, "conversion": no, "revenue": [0.0] * invented.SHOWN}
    shown["conversion_time"] = [None] * invented.SHOWN
    assert [line for line in said(check(write_log(tmp_path, impressions=shown)), "odd") if "has a click" in line]


def test_timelines_alone_are_no_error(tmp_path: Path) -> None:
    write_csv(invented.events(), tmp_path / "events.csv")
    config = tmp_path / "shop.yaml"
    config.write_text(f"source:\n  kind: csv\n  time_unit: s\n  events: {tmp_path}/events.csv\n")
    found = check(config)
    assert found.exit_code == 0
    assert [head.why for head in found.heads if head.name == "rankers"] == ["there are no impressions"]


def test_a_large_log_is_read_in_part_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    for at in range(4):
        part = changed(invented.events(), event_id=lambda text, at=at: f"{text}-{at}")
        write_csv(part, folder / f"part-{at}.csv")
    config = tmp_path / "shop.yaml"
    config.write_text(f"source:\n  kind: csv\n  time_unit: s\n  events: {folder}\n")
    found = check(config, rows=2 * invented.EVENTS)
    assert found.tables["events"].rows_read == 2 * invented.EVENTS
    assert [path.rpartition("/")[2] for path, _ in found.tables["events"].at] == ["part-0.csv", "part-2.csv"]
    assert not found.tables["events"].whole
    assert [line for line in said(found, "note") if "only a part was read" in line]
    assert check(config).tables["events"].whole


def test_the_result_is_plain_json(tmp_path: Path) -> None:
    found = json.loads(json.dumps(check(write_log(tmp_path)).to_dict(), allow_nan=False))
    assert found["tables"]["events"]["rows_kept"] == invented.EVENTS
    assert found["tables"]["events"]["from"].startswith("2026-09-2")


def test_conversions_without_a_click_are_said(tmp_path: Path) -> None:
    shown = invented.impressions()
    at = shown["conversion"].index(True)
    shown["click"][at] = False
    assert [line for line in said(check(write_log(tmp_path, impressions=shown)), "odd") if "without a click" in line]


def test_versions_of_a_row_are_no_conflict(tmp_path: Path) -> None:
    ads = invented.ads()
    twice = {name: [*values, *values] for name, values in ads.items()}
    twice["price"] = [*ads["price"], *(2 * price for price in ads["price"])]
    dated = twice | {"valid_from": [1_790_000_000] * invented.ADS + [1_790_086_400] * invented.ADS}
    assert [
        line for line in said(check(write_log(tmp_path / "undated", ads=twice)), "odd") if "daily snapshots" in line
    ]
    found = check(write_log(tmp_path / "dated", ads=dated))
    assert found.exit_code == 0
    assert [line for line in said(found, "note") if "12 ads in 24 rows of different times" in line]


def with_users(folder: Path, columns: str, **users: list) -> LogCheck:
    """Check a log with a table of users, and columns declared in YAML."""
    config = write_log(folder, users={"user_id": [f"u{at}" for at in range(invented.USERS)], **users})
    with config.open("a") as file:
        file.write(f"features:\n  columns:\n{columns}")
    return check(config)


def test_declared_columns_are_told_with_examples(tmp_path: Path) -> None:
    ages = [("18-24", "25-34", "")[at % 3] for at in range(invented.USERS)]
    found = with_users(
        tmp_path,
        "    user.age: {type: category}\n    user.tags: {type: categories}\n    user.taste: {type: vector, size: 3}\n"
        "    user.spent: {}\n    user.city: {}\n",
        age=ages,
        tags=[("a|b", "b|a", "a|b")[at % 3] for at in range(invented.USERS)],
        taste=["0.5 1 2"] * invented.USERS,
        spent=[""] * invented.USERS,
        city=["Rome"] * invented.USERS,
    ).columns
    told = {one.name: (one.table, round(one.known_share, 2), one.distinct, one.examples) for one in found}
    assert told == {
        "user.age": ("users", 0.67, 2, ("18-24", "25-34")),
        "user.tags": ("users", 1.0, 2, ("a, b", "b, a")),
        "user.taste": ("users", 1.0, 1, ("0.5, 1, …",)),
        "user.spent": ("users", 0.0, 0, ()),
        "user.city": ("users", 1.0, 1, ("Rome",)),
    }


def test_declared_columns_that_say_nothing_are_remarked(tmp_path: Path) -> None:
    found = with_users(
        tmp_path, "    user.spent: {}\n    user.city: {}\n", spent=[""] * invented.USERS, city=["Rome"] * invented.USERS
    )
    assert [text for text in said(found, "odd") if "user." in text] == [
        "odd: users: user.spent has no value in any row; name its column in source.columns"
    ]
    assert any("user.city is the same in every row that has it: Rome" in text for text in said(found, "note"))
    assert found.to_dict()["columns"][1]["examples"] == ("Rome",)


def test_ids_of_users_that_are_written_otherwise_are_odd(tmp_path: Path) -> None:
    strangers = {"user_id": [f"U-{at}" for at in range(invented.USERS)], "age": ["a", "b"] * (invented.USERS // 2)}
    found = with_users(tmp_path, "    user.age: {}\n", **strangers)
    assert any("users of impressions are in the table of users" in text for text in said(found, "odd"))


def test_versions_of_users_are_no_conflict(tmp_path: Path) -> None:
    dated = {
        "user_id": ["u1", "u1", "u2"],
        "valid_from": [invented.START, invented.START + DAY, invented.START],
        "age": ["a", "b", "a"],
    }
    found = with_users(tmp_path, "    user.age: {}\n", **dated)
    assert any("2 users in 3 rows of different times" in text for text in said(found, "note"))


def test_a_table_that_nobody_declares_a_column_of_is_said_to_be_unused(tmp_path: Path) -> None:
    loaded = load_config(write_log(tmp_path, users={"user_id": ["u1"], "age": ["a"]}))
    found = check_log(open_source(loaded.source), partial(split_bounds, loaded.preprocess), unused=["users"])
    assert "users" not in found.tables
    assert (
        "note: users: the table is given, and not read: nobody declares a column of it; "
        "features.columns: {user.NAME: {type: category}} declares one"
    ) in said(found, "note")
