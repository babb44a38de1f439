"""Records that tell of users, items and ads: the versions they become, and what is ignored or refused."""

import json

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.features import AdTable, FeatureConfig
from rosa_ray.features.changes import said_columns
from rosa_ray.features.own import ColumnConfig, keyed_columns, of_prefix
from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.records import EXAMPLES, Parsed, RecordParser
from rosa_ray.schema import hash_id
from rosa_ray.schema.own_columns import AD, ITEM, USER
from rosa_ray.sources.times import TimeForm
from tests.synthetic import ads_table

NOW_US = 1_800_000_000_000_000
COLUMNS = {
    "user.age": ColumnConfig(type="number", fill=40.0),
    "user.plan": ColumnConfig(),
    "user.likes": ColumnConfig(type="categories", most=2),
    "item.brand": ColumnConfig(),
    "item.image": ColumnConfig(type="vector", size=2),
    "ad.margin": ColumnConfig(type="number"),
    "request.place": ColumnConfig(),
}
FEATURES = FeatureConfig(columns=COLUMNS)
PARSER = RecordParser(AdTable.from_table(ads_table()), now_us=lambda: NOW_US, features=FEATURES)
SINCE, SINCE_US = "2026-01-31T09:30:00Z", 1_769_851_800_000_000


def profile(**fields: object) -> dict[str, object]:
    return {"type": "profile", "user_id": "u1", "valid_from": SINCE, "columns": {"age": 30}, **fields}


def parse(*records: dict[str, object], parser: RecordParser = PARSER) -> Parsed:
    return parser.parse_lines([json.dumps(record).encode() for record in records])


def test_what_is_told_is_keyed_as_a_table_is() -> None:
    parsed = parse(
        profile(columns={"age": "30.5", "plan": True, "likes": ["a", "b", "c"]}),
        profile(user_id=7, valid_from=None, columns={"age": None, "likes": []}),
        profile(columns={"plan": ""}),
    )
    assert (parsed.refusals, parsed.changed, len(parsed.rows)) == ((), 3, 0)
    (change,) = parsed.changes
    assert (change.prefix, change.key.tolist()) == (USER, [hash_id("u1"), hash_id("7"), hash_id("u1")])
    assert change.rows["time_us"].tolist() == [SINCE_US, ALWAYS_US, SINCE_US]
    declared = of_prefix(USER, COLUMNS)
    assert said_columns(change.rows, declared).tolist() == [[True] * 3, [True, False, True], [False, True, False]]
    table = pa.table({"user.age": [30.5, None], "user.plan": ["true", None], "user.likes": [["a", "b", "c"], None]})
    keyed = keyed_columns(table, declared)
    for place, name in enumerate(declared):
        assert change.rows[f"c{place}"][0].tobytes() == keyed[name][0].tobytes()
    assert change.rows["c0"][1] == keyed["user.age"][1] == 40.0


def test_records_of_all_kinds_come_together() -> None:
    event, click = EXAMPLES["event"], EXAMPLES["click"]
    parsed = parse(
        {"type": "ad", "ad_id": "a1", "valid_from": SINCE, "columns": {"margin": 0.5}},
        event,
        {"type": "item", "item_id": "i1", "valid_from": SINCE, "columns": {"brand": "x"}},
        profile(),
        click,
    )
    assert parsed.rows.tolist() == [1, 4]
    assert [(change.prefix, len(change)) for change in parsed.changes] == [(USER, 1), (ITEM, 1), (AD, 1)]
    assert parsed.changed == 3
    assert not parsed.asks_nothing
    assert PARSER.parse_values([profile()]).changes[0].rows.tobytes() == parsed.changes[0].rows.tobytes()


def test_what_is_not_declared_or_not_read_live_is_ignored_and_counted() -> None:
    parsed = parse(
        profile(columns={"colour": "red", "age": 1}, utm="x"),
        profile(columns={"colour": "red", "place": "top"}),
        {"type": "item", "item_id": "i1", "valid_from": None, "columns": {"image": [1, 2]}},
    )
    assert parsed.ignored_fields == {"utm": 1, "columns.colour": 2, "columns.place": 1, "columns.image": 1}
    assert (parsed.refusals, parsed.changed, [len(change) for change in parsed.changes]) == ((), 3, [1])
    bare = RecordParser(PARSER.ads, now_us=lambda: NOW_US)
    parsed = parse(profile(), parser=bare)
    assert (parsed.asks_nothing, parsed.changed, parsed.ignored_fields) == (True, 1, {"columns.age": 1})


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"columns": {"age": "old"}}, "columns.age is no number; the column is declared as one"),
        ({"columns": {"age": 1, "likes": "a"}}, "columns.likes is no list of texts; the column is declared as"),
        ({"columns": {"plan": {"a": 1}}}, "columns.plan is no text; the column is declared as a category"),
        ({"columns": [1]}, "columns: Input should be"),
        ({"valid_from": "yesterday"}, "valid_from: is no time that exists"),
        ({"valid_from": "2026-01-31T09:30:00"}, "valid_from: says no zone; send an offset"),
        ({"valid_from": 5}, "valid_from: is a number of no known unit"),
        ({"valid_from": "1970-01-01T00:00:00Z"}, "valid_from: lies outside 1990 to 2100"),
        ({"user_id": None}, "user_id: needs an id"),
    ],
)
def test_what_is_wrong_is_named_with_its_column(fields: dict[str, object], detail: str) -> None:
    parsed = parse(profile(user_id="ok"), profile(**fields))
    (refusal,) = parsed.refusals
    assert (refusal.index, refusal.reason) == (1, "malformed")
    assert refusal.detail.startswith(detail)
    assert (parsed.changed, len(parsed.changes[0])) == (1, 1)


def test_since_when_must_be_said_though_it_may_be_null() -> None:
    without = {name: value for name, value in profile().items() if name != "valid_from"}
    parsed = parse(without, profile(valid_from="null"))
    assert [refusal.detail for refusal in parsed.refusals] == ["valid_from: Field required"]
    assert parsed.changes[0].rows["time_us"].tolist() == [ALWAYS_US]


def test_what_holds_from_the_future_on_is_refused() -> None:
    ahead = np.datetime64(NOW_US + 301_000_000, "us").astype(str) + "Z"
    (refusal,) = parse(profile(valid_from=ahead)).refusals
    assert (refusal.reason, refusal.detail) == ("future", "is more than 300 s ahead of the clock")


def test_users_are_told_of_under_their_pseudonyms() -> None:
    parser = RecordParser(PARSER.ads, pseudonym=str.upper, now_us=lambda: NOW_US, features=FEATURES)
    item = {"type": "item", "item_id": "i1", "valid_from": None, "columns": {"brand": "x"}}
    user, thing = parse(profile(), item, parser=parser).changes
    assert (user.key.tolist(), thing.key.tolist()) == ([hash_id("U1")], [hash_id("i1")])


def test_times_are_read_as_those_of_other_records_are() -> None:
    parser = RecordParser(
        PARSER.ads, now_us=lambda: NOW_US, features=FEATURES, time_form=TimeForm(unit="ms", zone="+01:00")
    )
    parsed = parse(profile(valid_from=SINCE_US // 1000), profile(valid_from="2026-01-31 10:30"), parser=parser)
    assert parsed.changes[0].rows["time_us"].tolist() == [SINCE_US] * 2
