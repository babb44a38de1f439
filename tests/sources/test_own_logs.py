"""Logs as teams have them: read rightly by configuration alone, or refused in one line that names the way out."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import ContractError, InputError
from rosa_ray.schema import CONTRACTS
from rosa_ray.schema.pseudonyms import Pseudonyms
from rosa_ray.sources import SourceConfig, open_source, text_files

EVENT = {
    "event_id": "e1",
    "user_id": "u1",
    "item_id": "i1",
    "behavior": "view",
    "event_time": "2026-10-10T10:59:16Z",
    "category": "c1",
    "price": "1.5",
}
IMPRESSION = {
    "impression_id": "m1",
    "request_id": "r1",
    "user_id": "u1",
    "ad_id": "a1",
    "request_time": "2026-10-10T10:59:16Z",
    "position": "0",
    "bid": "0.5",
    "cost": "0.25",
    "click": "1",
    "conversion": "0",
    "revenue": "0",
}
AD = {"ad_id": "a1", "campaign_id": "k1", "category": "c1", "bid": "0.388", "price": "8.37"}
ROWS = {"events": EVENT, "impressions": IMPRESSION, "ads": AD}
NOON = datetime(2026, 10, 10, 10, 59, 16, tzinfo=UTC)


def delimited(*rows, sign=",", end="\n"):
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    quoted = [[f'"{value}"' if sign in value or "\n" in value else value for value in line] for line in lines]
    return "".join(sign.join(line) + end for line in quoted)


class Read:
    """One table of a log, read and checked."""

    def __init__(self, folder, table, kind="csv", pseudonyms=None, **settings):
        source = open_source(SourceConfig(kind=kind, **{table: str(folder)}, **settings), pseudonyms)
        self.rows, self.aside, self.noted, self.numbers = [], [], [], []
        for file in source.files():
            for batch in source.read(file):
                kept, violations = CONTRACTS[table].check(batch.table, file.name, batch.rows)
                self.rows += kept.to_pylist()
                self.aside += [(v.column, v.rows, v.example) for v in (*batch.rejected, *violations)]
                self.noted += [(v.column, v.rows, v.example) for v in batch.noted]
                self.numbers += list(batch.rows)

    def column(self, name):
        return [row[name] for row in self.rows]


@pytest.fixture
def log(tmp_path):
    """Write a table and read it."""

    def read(table, *rows, text=None, **settings):
        text = text or delimited(*(ROWS[table] | row for row in rows or ({},)))
        (tmp_path / "a.csv").write_text(text)
        return Read(tmp_path, table, **settings)

    return read


@pytest.fixture
def parquet(tmp_path):
    def read(table, columns, **settings):
        typed = {name: [value] for name, value in ROWS[table].items()} | {"event_time": [NOON], "request_time": [NOON]}
        known = CONTRACTS[table].schema.names
        count = max((len(values) for values in columns.values()), default=1)
        typed = {name: values * count for name, values in typed.items() if name in known}
        for name in ("price", "bid", "cost", "revenue"):
            if name in typed:
                typed[name] = [float(value) for value in typed[name]]
        pq.write_table(pa.table(typed | columns), tmp_path / "a.parquet")
        return Read(tmp_path, table, "parquet", **settings)

    return read


def test_digits_below_the_microsecond_are_cut_off(parquet):
    times = pa.array([1_791_629_956_123_456_789], pa.timestamp("ns", "UTC"))
    shown = parquet("impressions", {"conversion_time": times, "conversion": [True], "click": [True]})
    assert shown.column("conversion_time") == [NOON.replace(microsecond=123_456)]


def test_ids_that_a_null_made_floats_equal_those_that_stayed_integers(parquet):
    assert parquet("impressions", {"user_id": [7_300_000_000_000_001.0, None]}).column("user_id") == [
        "7300000000000001"
    ]
    assert parquet("events", {"user_id": [7_300_000_000_000_001]}).column("user_id") == ["7300000000000001"]


def test_float_ids_that_are_not_exact_are_refused(parquet):
    with pytest.raises(
        ContractError, match=r"a\.parquet: column 'user_id', row 2: 64-bit floats hold no exact ids above"
    ):
        parquet("impressions", {"user_id": [7.0, 2.0**60]})


def test_ids_written_as_floats_throughout_lose_their_fraction(log, monkeypatch):
    assert log("impressions", {"user_id": "1007.0"}, {"user_id": "1008.0"}).column("user_id") == ["1007", "1008"]
    assert log("impressions", {"user_id": "1007.0"}, {"user_id": "x"}).column("user_id") == ["1007.0", "x"]
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 256)
    many = log("impressions", *({"user_id": f"{at}.0"} for at in range(50)), {"user_id": "x"})
    assert many.column("user_id") == [*(str(at) for at in range(50)), "x"]


def test_ids_keep_their_leading_zeros(log):
    assert log("events", {"user_id": "007"}).column("user_id") == ["007"]


def test_ids_in_powers_of_ten_have_lost_digits(log):
    with pytest.raises(
        ContractError, match=r"column 'user_id' holds ids such as '7.3E\+15', whose last digits are lost"
    ):
        log("events", {"user_id": "7.3E+15"})


def test_spaces_around_ids_are_kept_and_counted(log):
    read = log("events", {"user_id": "u1 "}, {"user_id": "u2"}, {"user_id": " u3"})
    assert read.column("user_id") == ["u1 ", "u2", " u3"]
    assert read.noted == [("user_id", 2, "row 1, 'u1 '")]


def test_examples_never_show_a_user_who_has_a_pseudonym(log):
    read = log("events", {"user_id": "ann "}, {"price": "dear"}, {}, pseudonyms=Pseudonyms(b"0123456789abcdef"))
    assert read.noted == [("user_id", 1, "row 1")]
    assert [example for _, _, example in read.aside if "dear" in example]


def test_null_words_of_an_optional_number_are_null(log):
    words = ["NULL", r"\N", "NaN", "N/A", "None", "-", ""]
    read = log("events", *({"price": word, "category": "NULL"} for word in words))
    assert read.column("price") == [None] * len(words)
    assert read.column("category") == [None] * len(words)
    assert not read.aside


def test_null_words_of_text_are_fewer_and_may_be_stated(log):
    assert log("events", {"category": "NA"}).column("category") == ["NA"]
    stated = {"null_words": ("?",)}
    assert log("events", {"category": "?", "price": "?"}, **stated).column("category") == [None]
    assert log("events", {"category": "NULL"}, **stated).column("category") == ["NULL"]
    by_column = log("events", {"category": "?", "item_id": "?"}, null_words={"events.category": ("?",)})
    assert (by_column.column("category"), by_column.column("item_id")) == ([None], ["?"])


def test_a_null_word_of_a_required_column_sets_its_row_aside(log):
    read = log("impressions", {"bid": "NULL"}, {}, {})
    assert read.aside == [("bid", 1, "row 1, null")]


@pytest.mark.parametrize(("word", "click"), [("0.0", False), ("1.0", True), ("Yes", True), ("N", False), ("t", True)])
def test_labels_in_many_words(log, word, click):
    assert log("impressions", {"click": word}).column("click") == [click]


def test_labels_in_other_words_are_mapped(log):
    with pytest.raises(
        ContractError, match=r"source\.values: \{impressions: \{click: \{'2': false\}\}\} gives it a meaning"
    ):
        log("impressions", {"click": "2"})
    values = {"impressions": {"click": {"2": True, "shown": False, "?": None}}}
    read = log("impressions", {"click": "2"}, {"click": "shown"}, {"click": "?"}, values=values)
    assert read.column("click") == [True, False]
    assert read.aside == [("click", 1, "row 3, null")]


def test_values_of_any_column_are_mapped(log):
    values = {"events": {"category": {"1": "shoes"}, "price": {"free": 0}, "behavior": {"pv": "view"}}}
    read = log("events", {"category": "1", "price": "free", "behavior": "pv"}, values=values)
    assert read.rows[0] | {"category": "shoes", "price": 0.0, "behavior": "view"} == read.rows[0]


def test_values_of_a_typed_column_are_mapped(parquet):
    values = {"events": {"category": {"1": "shoes"}}}
    assert parquet("events", {"category": [1.0, 2.0]}, values=values).column("category") == ["shoes", "2"]


def test_a_sign_before_a_price_names_the_setting_that_strips_it(log):
    with pytest.raises(
        ContractError, match=r"column 'price': 1 of 1 .* row 1, '\$8\.37'; source\.strip: \{ads\.price: \"\$\"\}"
    ):
        log("ads", {"price": "$8.37"})
    assert log("ads", {"price": "$8.37"}, strip={"ads.price": "$"}).column("price") == [8.37]


def test_european_numbers(log):
    text = "\ufeff" + delimited(AD | {"bid": "0,388", "price": "1.234,56"}, sign=";", end="\r\n")
    with pytest.raises(ContractError, match=r"'0,388'; source\.decimal: \{ads\.bid: ','\} reads it"):
        log("ads", text=text)
    read = log("ads", text=text, decimal=",", thousands={"ads.price": "."})
    assert (read.column("bid"), read.column("price")) == ([0.388], [1234.56])


def test_a_delimiter_needs_no_setting(log):
    for sign in ";\t|":
        assert log("ads", text=delimited(AD, sign=sign)).column("ad_id") == ["a1"]


def test_another_delimiter_is_named_by_the_message(log):
    text = delimited(AD, sign="~")
    with pytest.raises(
        ContractError, match=r"column 'ad_id' is missing; found columns ad_id~.*source\.delimiter sets another"
    ):
        log("ads", text=text)
    assert log("ads", text=text, delimiter={"ads": "~"}).column("ad_id") == ["a1"]


@pytest.mark.parametrize(
    ("time_format", "text"),
    [("%d/%m/%Y %H:%M:%S", "10/10/2026 10:59:16"), ("%Y-%m-%d %I:%M:%S %p", "2026-10-10 10:59:16 AM")],
)
def test_times_of_another_form(log, time_format, text):
    with pytest.raises(
        ContractError, match=r"column 'event_time': 1 of 1 .* row 1, '.*'; source\.time_format: .* reads it"
    ):
        log("events", {"event_time": text}, time_zone="UTC")
    stated = {"events": time_format}
    assert log("events", {"event_time": text}, time_format=stated, time_zone="UTC").column("event_time") == [NOON]


def test_epoch_seconds_that_a_null_made_floats(log):
    read = log(
        "impressions",
        {"request_time": "1791629956", "conversion": "1", "conversion_time": "1791629956.0"},
        time_unit="s",
    )
    assert read.column("conversion_time") == [NOON]


def test_one_table_in_milliseconds_and_the_rest_in_iso_8601(log):
    for unit in ("ms", {"events": "ms"}, {"events.event_time": "ms"}):
        assert log("events", {"event_time": "1791629956000"}, time_unit=unit).column("event_time") == [NOON]
        assert log("impressions", time_unit=unit).column("request_time") == [NOON]


def test_times_that_say_their_zone_and_times_that_do_not(log):
    with pytest.raises(
        ContractError, match=r"row 1, '2026-10-10 10:59:16'; source\.time_zone: \{events\.event_time: UTC\}"
    ):
        log("events", {"event_time": "2026-10-10 10:59:16"})
    for settings in ({}, {"time_zone": "UTC"}):
        assert log("events", {"event_time": "2026-10-10 10:59:16 UTC"}, **settings).column("event_time") == [NOON]
    read = log("events", {"event_time": "2026-10-10 12:59:16"}, time_zone={"events": "Europe/Paris"})
    assert read.column("event_time") == [NOON]


def test_a_log_without_ids_names_the_row_number(log):
    text = delimited({name: value for name, value in EVENT.items() if name != "event_id"})
    with pytest.raises(
        ContractError, match=r'source\.columns\.events\.event_id names another column, "#row" numbers the rows'
    ):
        log("events", text=text)
    read = log("events", text=text, columns={"events": {"event_id": "#row"}})
    assert read.column("event_id") == ["a-000000000000"]


def test_one_value_for_all_rows(log, tmp_path):
    text = delimited(
        {name: value for name, value in IMPRESSION.items() if name not in ("bid", "cost", "conversion", "ad_id")}
    )
    with pytest.raises(
        ContractError, match=r'source\.columns\.impressions\.ad_id names another column, "=value" gives every row'
    ):
        log("impressions", text=text)
    constants = {
        "bid": "=0.1",
        "cost": "=0",
        "conversion": "=no",
        "ad_id": "=a1",
        "region": "=eu",
        "conversion_time": "=2026-10-10T10:59:16Z",
    }
    (row,) = log("impressions", text=text, columns={"impressions": constants}).rows
    assert (row["bid"], row["cost"], row["conversion"], row["region"]) == (0.1, 0.0, False, "eu")
    assert row["conversion_time"] == NOON


def test_tables_of_one_behaviour_are_told_by_file_or_folder(tmp_path):
    for folder, name in (("pages", "views.csv"), ("shop", "orders.csv")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(delimited(EVENT | {"behavior": "?"}))
    kinds = {"views": "view", "orders": "purchase", "pages": "view", "shop": "purchase"}
    for stand_in in ("#file", "#folder"):
        read = Read(tmp_path, "events", columns={"events": {"behavior": stand_in}}, behaviors=kinds)
        assert read.column("behavior") == ["view", "purchase"]


def test_ads_derived_from_impressions(log):
    columns = {"ads": {"campaign_id": "=all", "category": "=all", "price": "=1"}}
    read = log("ads", text=delimited(IMPRESSION), columns=columns)
    known = {"ad_id": "a1", "campaign_id": "all", "category": "all", "bid": 0.5, "price": 1.0}
    assert read.rows == [known | {"item_id": None, "valid_from": None, "valid_until": None}]


def test_a_file_without_header(log):
    line = ",".join(EVENT.values()) + "\n"
    with pytest.raises(ContractError, match=r"found columns e1, u1, .*source\.header gives names"):
        log("events", text=line)
    assert log("events", text=line, header={"events": tuple(EVENT)}).column("price") == [1.5]


def test_names_are_found_in_another_case_and_with_spaces(log):
    text = delimited({f" {name.title()} ": value for name, value in EVENT.items()})
    assert log("events", text=text).column("user_id") == ["u1"]
    assert log("events", text=text, columns={"events": {"category": "ITEM_ID"}}).column("category") == ["i1"]


def test_a_name_that_is_there_twice_is_refused_only_where_it_is_needed(log):
    text = "user_id,price,price,event_id,item_id,behavior,event_time\nu1,1,2,e,i,view,2026-10-10T10:59:16Z\n"
    assert log("events", text=text).column("price") == [None]
    assert log("events", text=text, columns={"events": {"price": "price (column 3)"}}).column("price") == [2.0]
    with pytest.raises(ContractError, match="column 'user_id' is there 2 times"):
        log("events", text=text.replace("price,price", "user_id,price"))


def test_a_newline_in_quotes_is_part_of_a_category(log):
    assert log("events", {"category": "a\nb"}, {"category": "c"}).column("category") == ["a\nb", "c"]


def test_folders_of_hive_and_spark_give_columns(tmp_path):
    day = tmp_path / "day=2026-10-10" / "kind=a%20b"
    day.mkdir(parents=True)
    (tmp_path / "_SUCCESS").write_text("")
    (day / ".part-0.csv.crc").write_bytes(b"crc")
    (day / "part-0.csv").write_text(
        delimited({name: EVENT[name] for name in EVENT if name not in ("event_time", "category")})
    )
    columns = {"events": {"event_time": "day", "category": "kind"}}
    (row,) = Read(tmp_path, "events", columns=columns, time_zone="UTC").rows
    assert (row["category"], row["event_time"]) == ("a b", datetime(2026, 10, 10, tzinfo=UTC))


def test_columns_null_in_one_file_and_typed_in_the_next(tmp_path):
    row = {name: [value] for name, value in EVENT.items()} | {"event_time": [NOON]}
    pq.write_table(pa.table(row | {"price": pa.nulls(1), "category": pa.nulls(1)}), tmp_path / "a.parquet")
    pq.write_table(pa.table(row | {"price": [7], "category": [3]}), tmp_path / "b.parquet")
    pq.write_table(pa.table(row | {"price": ["7.5"], "user_id": [7.0]}), tmp_path / "c.parquet")
    read = Read(tmp_path, "events", "parquet")
    assert read.column("price") == [None, 7.0, 7.5]
    assert read.column("category") == [None, "3", "c1"]
    assert read.column("user_id") == ["u1", "u1", "7"]


def test_strings_of_every_layout(parquet):
    layouts = {
        "user_id": pa.array(["u1"]).dictionary_encode(),
        "item_id": pa.array(["i1"], pa.large_string()),
        "category": pa.array([b"c1"]),
        "event_time": pa.array(["2026-10-10T10:59:16Z"]).dictionary_encode(),
        "price": pa.array(["1.5"], pa.large_string()),
    }
    (row,) = parquet("events", layouts).rows
    assert row == EVENT | {"event_time": NOON, "price": 1.5}


def test_a_type_that_holds_no_such_values_is_refused(parquet):
    with pytest.raises(ContractError, match=r"a\.parquet: column 'category' is list<.*does not become string"):
        parquet("events", {"category": [["a"]]})
    with pytest.raises(ContractError, match=r"a\.parquet: column 'price' is timestamp.*does not become double"):
        parquet("events", {"price": [NOON]})


def test_a_value_that_does_not_parse_sets_its_row_aside_with_an_example(log):
    read = log(
        "events", {}, {"price": "dear"}, {"event_time": "noon", "price": "dear"}, {}, {"event_time": "noon"}, {}, {}
    )
    assert [(column, rows, example.partition(";")[0]) for column, rows, example in read.aside] == [
        ("event_time", 2, "row 3, 'noon'"),
        ("price", 1, "row 2, 'dear'"),
    ]
    assert len(read.rows) == 4
    assert read.numbers == [1, 4, 6, 7]


def test_a_column_of_which_most_values_do_not_parse_refuses_the_file(log, monkeypatch):
    with pytest.raises(
        ContractError, match=r"a\.csv: column 'price': 2 of 3 values do not parse as numbers, the first is row 2"
    ):
        log("events", {}, {"price": "dear"}, {"price": "cheap"}, {"price": ""})
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 256)
    read = log("events", *[{}] * 50, *[{"price": "dear"}] * 8)
    assert len(read.rows) == 50
    assert sum(rows for _, rows, _ in read.aside) == 8


def test_a_last_line_that_is_cut_is_set_aside(log):
    read = log("events", text=delimited(EVENT) + "e2,u2,i2,vi")
    assert len(read.rows) == 1
    assert read.aside == [("(row)", 1, "row 2, with 4")]


def test_a_header_alone_has_no_rows(log):
    assert log("events", text=",".join(EVENT) + "\n").rows == []


def test_a_negative_epoch_is_long_ago(log):
    read = log("events", {"event_time": "-1"}, {"event_time": "1791629956"}, time_unit="s")
    assert read.column("event_time") == [NOON]
    assert read.aside == [("event_time", 1, "row 1, 1969-12-31 23:59:59.000000Z")]


def test_a_behavior_of_another_name_names_the_setting_that_maps_it(log):
    read = log("events", {"behavior": "VIEW"}, {})
    assert read.aside == [("behavior", 1, "row 1, 'VIEW'; source.behaviors maps a value to one of them")]
    assert log("events", {"behavior": "VIEW"}, behaviors={"VIEW": "view"}).column("behavior") == ["view"]


def test_blank_labels_mean_none_where_no_other_column_says_otherwise(log):
    rows = [
        {"click": "0", "conversion": "", "revenue": ""},
        {"click": "1", "conversion": "0", "revenue": ""},
        {"click": "1", "conversion": "", "revenue": ""},
        {"click": "1", "conversion": "1", "revenue": ""},
        {"click": "1", "conversion": "1", "revenue": "9.5"},
    ]
    read = log("impressions", *({**row, "impression_id": f"m{number}"} for number, row in enumerate(rows)))
    assert [(row["impression_id"], row["conversion"], row["revenue"]) for row in read.rows] == [
        ("m0", False, 0.0),
        ("m1", False, 0.0),
        ("m4", True, 9.5),
    ]
    assert [(column, count) for column, count, _ in read.aside] == [("conversion", 1), ("revenue", 1)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_text_and_parquet_may_stand_side_by_side(tmp_path, kind):
    (tmp_path / "events.csv").write_text(delimited(EVENT))
    pq.write_table(pa.table({name: [value] for name, value in AD.items()}), tmp_path / "ads.parquet")
    config = SourceConfig(kind=kind, events=str(tmp_path / "events.csv"), ads=str(tmp_path / "ads.parquet"))
    source = open_source(config)
    tables = {
        file.contract_name: pa.concat_tables(batch.table for batch in source.read(file)) for file in source.files()
    }
    assert tables["events"]["user_id"].to_pylist() == ["u1"]
    assert tables["ads"]["price"].cast(pa.float64()).to_pylist() == [8.37]


def test_rows_in_order_of_time_that_say_none_lie_a_second_apart(log):
    row = {name: value for name, value in IMPRESSION.items() if name != "request_time"}
    columns = {"impressions": {"request_time": "#row", "conversion_time": "=2000-01-02T00:00:00Z"}}
    read = log("impressions", text=delimited(row, row | {"impression_id": "m2"}), columns=columns)
    assert read.column("request_time") == [datetime(2000, 1, 1, 0, 0, second, tzinfo=UTC) for second in (0, 1)]


def test_two_files_that_say_no_time_have_no_order(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(delimited(IMPRESSION))
    columns = {"impressions": {"request_time": "#row"}}
    source = open_source(SourceConfig(kind="csv", impressions=str(tmp_path), columns=columns))
    with pytest.raises(InputError, match=r"a\.csv and .*b\.csv: their rows say no time.*give one file"):
        source.files()
