"""Public logs known by name: hand-made files, and the real samples where they lie."""

import gzip
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from rosa_ray.errors import ConfigError, ContractError, InputError
from rosa_ray.schema import CONTRACTS, EVENTS
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from rosa_ray.sources import SourceConfig, brings, open_source

REES46_HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"


def read_checked(kind, path):
    source = open_source(SourceConfig(kind=kind, path=str(path)))
    tables, violations = [], []
    for file in source.files():
        for batch in source.read(file):
            table, broken = EVENTS.check(batch.table, file.path)
            tables.append(table)
            violations += [*batch.rejected, *broken]
    return pa.concat_tables(tables), violations


def test_taobao_maps_behaviours_times_and_ids(tmp_path):
    path = tmp_path / "UserBehavior.csv"
    path.write_text(
        "1,10,100,pv,1511539200\n1,10,100,fav,1511539200\n2,11,101,cart,1512316799\n2,11,101,buy,1512000000\n"
    )
    events, violations = read_checked("taobao", path)
    assert events["behavior"].to_pylist() == ["view", "cart", "cart", "purchase"]
    assert events["event_time"][0].as_py() == datetime(2017, 11, 24, 16, tzinfo=UTC)
    assert events["event_id"].to_pylist() == [f"UserBehavior-{row:012d}" for row in range(4)]
    assert (events["user_id"][2].as_py(), events["item_id"][2].as_py(), events["category"][2].as_py()) == (
        "2",
        "11",
        "101",
    )
    assert events["price"].null_count == 4
    assert violations == []


def test_taobao_rows_outside_the_window_are_counted_and_keep_their_row_numbers(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text(
        "1,10,100,pv,1511539199\n1,10,100,pv,1512000000\n1,10,100,pv,1512316800\n1,10,100,sneeze,1512000001\n"
    )
    events, violations = read_checked("taobao", path)
    assert events["event_id"].to_pylist() == ["u-000000000001"]
    assert [(violation.column, violation.rows) for violation in violations] == [("event_time", 2), ("behavior", 1)]
    assert "2017-11-25 to 2017-12-03" in violations[0].reason


def test_taobao_refuses_times_that_are_no_integers(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text("1,10,100,pv,yesterday\n")
    with pytest.raises(ContractError, match=r"u\.csv: column 'event_time'"):
        read_checked("taobao", path)


def test_rees46_maps_its_columns(tmp_path):
    path = tmp_path / "2019-Oct.csv.gz"
    lines = (
        "2019-10-01 00:00:00 UTC,view,44,21,,shiseido,35.79,54,s\n"
        "2019-10-01 00:00:01 UTC,remove_from_cart,44,21,,shiseido,35.79,54,s\n"
        "2019-10-01 00:00:02 UTC,purchase,44,,,shiseido,nan,54,s\n"
        "2019-10-01 00:00:03 UTC,cart,44,,,shiseido,,54,s\n"
    )
    path.write_bytes(gzip.compress((REES46_HEADER + lines).encode()))
    events, violations = read_checked("rees46", path)
    assert events.to_pylist()[0] == {
        "event_id": "2019-Oct-000000000000",
        "user_id": "54",
        "item_id": "44",
        "behavior": "view",
        "event_time": datetime(2019, 10, 1, tzinfo=UTC),
        "category": "21",
        "price": 35.79,
    }
    assert events["behavior"].to_pylist() == ["view", "purchase", "cart"]
    assert events["price"].to_pylist() == [35.79, None, None]
    assert [(v.column, v.rows, v.reason, v.example.split(";")[0]) for v in violations] == [
        ("behavior", 1, "are none of view, click, cart, purchase", "row 2, 'remove_from_cart'"),
    ]


def test_rees46_missing_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("event_time,event_type\n2019-10-01 00:00:00 UTC,view\n")
    with pytest.raises(ContractError, match=r"a\.csv: column 'user_id' is missing; found columns event_time"):
        read_checked("rees46", path)


@pytest.mark.parametrize(("field", "bad"), [("2019-10-01 00:00:00 UTC", "2019-10-01 00:00:00"), ("35.79", "cheap")])
def test_rees46_wrong_type_names_the_column(tmp_path, field, bad):
    path = tmp_path / "a.csv"
    path.write_text(REES46_HEADER + "2019-10-01 00:00:00 UTC,view,44,21,,,35.79,54,s\n".replace(field, bad))
    with pytest.raises(ContractError, match=r"a\.csv: column '(event_time|price)'"):
        read_checked("rees46", path)


def read_tables(kind, path, **settings):
    """Rows of each table, and how many were set aside."""
    source = open_source(SourceConfig(kind=kind, path=str(path), **settings))
    tables, rejected = {}, {}
    for file in source.files():
        contract = CONTRACTS[file.contract_name]
        for batch in source.read(file):
            table, broken = contract.check(batch.table, file.path, batch.rows)
            tables.setdefault(contract.name, []).append(table)
            aside = sum(violation.rows for violation in (*batch.rejected, *broken))
            rejected[contract.name] = rejected.get(contract.name, 0) + aside
    return {name: pa.concat_tables(parts) for name, parts in tables.items()}, rejected


def test_settings_come_before_what_is_known(tmp_path):
    (tmp_path / "a.csv").write_text(REES46_HEADER + "2019-10-01 02:00:00,look,44,21,x,,35.79,54,s\n")
    events = read_tables(
        "rees46",
        tmp_path,
        time_zone="Europe/Paris",
        behaviors={"look": "view"},
        columns={"events": {"category": "category_code"}},
    )[0]["events"].to_pylist()
    assert (events[0]["behavior"], events[0]["category"], events[0]["item_id"]) == ("view", "x", "44")
    assert events[0]["event_time"] == datetime(2019, 10, 1, tzinfo=UTC)


def test_retailrocket(tmp_path):
    (tmp_path / "events.csv").write_text(
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n1433224214164,992329,addtocart,248676,\n"
        "1433221999827,111016,transaction,318965,4000\n"
    )
    (tmp_path / "item_properties_part1.csv").write_text("timestamp,itemid,property,value\n1,2,categoryid,3\n")
    events = read_tables("retailrocket", tmp_path)[0]["events"].to_pylist()
    assert [event["behavior"] for event in events] == ["view", "cart", "purchase"]
    assert events[0]["event_time"] == datetime(2015, 6, 2, 5, 2, 12, 117_000, tzinfo=UTC)
    assert (events[0]["event_id"], events[0]["user_id"], events[0]["item_id"]) == (
        "events-000000000000",
        "257597",
        "355908",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,1029,5.0,1260759179\n"),
        ("ratings.dat", "1::31::2::1260759144\n1::1029::5::1260759179\n"),
        ("u.data", "1\t31\t2\t1260759144\n1\t1029\t5\t1260759179\n"),
    ],
)
def test_movielens(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n31,Dangerous Minds (1995),Drama\n")
    events = read_tables("movielens", tmp_path)[0]["events"].to_pylist()
    assert [(event["user_id"], event["item_id"]) for event in events] == [("1", "31"), ("1", "1029")]
    assert [event["behavior"] for event in events] == ["click" if "." in text.split("\n")[1] else "view", "purchase"]
    assert events[0]["event_time"] == datetime(2009, 12, 14, 2, 52, 24, tzinfo=UTC)


OPEN_BANDIT = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,"
    "user-item_affinity_0\n"
    "0,2019-11-24 00:00:34.762830+00:00,1,3,0,0.0125,aa,bb,cc,dd,0.0\n"
    "1,2019-11-24 00:00:53.965051+00:00,0,1,1,0.5,aa,bb,,dd,0.0\n"
)
ITEMS = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,0,-0.4,i,j,k\n1,1,-0.5,l,m,n\n"


def test_open_bandit(tmp_path):
    (tmp_path / "all.csv").write_text(OPEN_BANDIT)
    (tmp_path / "item_context.csv.gz").write_bytes(gzip.compress(ITEMS.encode()))
    tables, rejected = read_tables("open_bandit", tmp_path)
    assert rejected == {"impressions": 0, "candidates": 0, "ads": 0}
    shown = tables["impressions"].to_pylist()
    assert [row["position"] for row in shown] == [2, 0]
    assert [row["click"] for row in shown] == [False, True]
    assert [row["propensity"] for row in shown] == [0.0125, 0.5]
    assert [row["user_id"] for row in shown] == ["aa-bb-cc-dd", "aa-bb-none-dd"]
    assert shown[0]["request_time"] == datetime(2019, 11, 24, 0, 0, 34, 762_830, tzinfo=UTC)
    assert [row["ad_id"] for row in tables["ads"].to_pylist()] == ["0", "1"]
    asked = tables["candidates"].to_pylist()
    assert [(row["request_id"], row["ad_id"]) for row in asked] == [
        (row["request_id"], item) for row in shown for item in ("0", "1")
    ]
    assert len({row["impression_id"] for row in asked}) == 4
    ids = {(row["request_id"], row["ad_id"]): row["impression_id"] for row in asked}
    assert [ids[row["request_id"], row["ad_id"]] for row in shown] == [row["impression_id"] for row in shown]
    assert brings(SourceConfig(kind="open_bandit", path=str(tmp_path)), "impressions")


def test_open_bandit_without_item_context(tmp_path):
    (tmp_path / "all.csv").write_text(OPEN_BANDIT)
    with pytest.raises(InputError, match=r"a log and its item_context\.csv should be there"):
        read_tables("open_bandit", tmp_path)


def test_kuairand(tmp_path):
    (tmp_path / "log_standard.csv").write_text(
        "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,long_view,play_time_ms,duration_ms,tab\n"
        "7,11,20220410,1700,1649581149287,1,0,0,1,46186,45916,1\n"
        "7,12,20220410,1700,1649581149288,0,0,0,0,0,0,1\n"
        "8,11,20220410,1700,1649581149289,1,0,1,0,46186,45916,1\n"
        "8,13,20220410,1700,1649581149290,0,0,1,0,46186,7000,1\n"
    )
    (tmp_path / "video_features_basic.csv").write_text("video_id,tag\n11,3\n")
    tables, rejected = read_tables("kuairand", tmp_path)
    assert rejected == {"events": 0, "impressions": 0, "ads": 0}
    assert [row["behavior"] for row in tables["events"].to_pylist()] == ["cart", "view", "purchase", "purchase"]
    shown = tables["impressions"].to_pylist()
    assert [(row["click"], row["conversion"], row["revenue"]) for row in shown] == [
        (True, False, 0.0),
        (False, False, 0.0),
        (True, True, 1.0),
        (False, True, 1.0),
    ]
    assert shown[0]["request_time"] == datetime(2022, 4, 10, 8, 59, 9, 287_000, tzinfo=UTC)
    assert [(row["ad_id"], row["category"]) for row in tables["ads"].to_pylist()] == [
        ("11", "from 32 s"),
        ("12", "unknown"),
        ("13", "under 8 s"),
    ]


def ipinyou_line(click, creative, bid="294", paid="148", more=()):
    fields = [
        click,
        "3",
        "19",
        "bid0",
        "20131023193112417",
        "1",
        "user0",
        "windows_ie",
        "14.214.89.*",
        "216",
        "222",
        "3",
    ]
    fields += [
        "domain",
        "url",
        "null",
        "slot",
        "300",
        "250",
        "Na",
        "Na",
        "50",
        creative,
        bid,
        paid,
        "null",
        "2259",
        "null",
    ]
    return "\t".join([*fields, *more]) + "\n"


@pytest.mark.parametrize("more", [(), ("0", "0")])
def test_ipinyou(tmp_path, more):
    lines = [ipinyou_line("0", "7323", more=more), ipinyou_line("1", "7323", "277", "20", more)]
    (tmp_path / "train.log.txt").write_text("".join(lines))
    tables, rejected = read_tables("ipinyou", tmp_path)
    assert rejected == {"impressions": 0, "ads": 0}
    shown = tables["impressions"].to_pylist()
    assert [row["click"] for row in shown] == [False, True]
    assert [row["cost"] for row in shown] == [pytest.approx(0.00148), pytest.approx(0.0002)]
    assert shown[0]["request_time"] == datetime(2013, 10, 23, 11, 31, 12, 417_000, tzinfo=UTC)
    assert (shown[0]["user_id"], shown[0]["device"], shown[0]["region"]) == ("user0", "windows_ie", "222")
    (ad,) = tables["ads"].to_pylist()
    assert (ad["ad_id"], ad["campaign_id"], ad["category"]) == ("7323", "2259", "300x250")
    assert ad["bid"] == pytest.approx(0.00294)
    assert ad["valid_from"] == shown[0]["request_time"]


def test_ipinyou_with_a_header(tmp_path):
    from rosa_ray.sources.ipinyou import FILE_COLUMNS

    (tmp_path / "train.log.txt").write_text("\t".join(FILE_COLUMNS) + "\n" + ipinyou_line("1", "7323", bid="dear"))
    with pytest.raises(ContractError, match=r"train\.log\.txt: column 'bid': 1 of 1 values .* row 1, 'dear'"):
        read_tables("ipinyou", tmp_path)


ATTRIBUTION_HEADER = (
    "timestamp\tuid\tcampaign\tconversion\tconversion_timestamp\tconversion_id\tattribution\tclick\tclick_pos\tclick_nb"
    "\tcost\tcpo\ttime_since_last_click\t" + "\t".join(f"cat{at}" for at in range(1, 10)) + "\n"
)


def attribution_line(labels, at="0", user="7"):
    """A row with conversion, its time, attribution, click, click_pos, click_nb and cpo as said."""
    conversion, converted_at, attribution, click, pos, of, cpo = labels.split()
    row = [at, user, "900", conversion, converted_at, "5", attribution, click, pos, of, "0.00001", cpo, "-1"]
    return "\t".join([*row, *(f"c{at}" for at in range(1, 10))]) + "\n"


def test_criteo_attribution_gives_a_conversion_to_the_last_click_before_it(tmp_path):
    lines = [
        attribution_line("1 600 1 1 0 2 0.25", at="0"),
        attribution_line("1 600 1 0 -1 2 0.25", at="60"),
        attribution_line("1 600 1 1 1 2 0.25", at="120"),
        attribution_line("1 900 0 1 0 1 0.25", at="180", user="8"),
        attribution_line("0 -1 0 1 -1 -1 0.25", at="240", user="9"),
    ]
    path = tmp_path / "criteo_attribution_dataset.tsv.gz"
    path.write_bytes(gzip.compress((ATTRIBUTION_HEADER + "".join(lines)).encode()))
    tables, rejected = read_tables("criteo_attribution", path)
    assert rejected == {"impressions": 0, "ads": 0}
    shown = tables["impressions"].to_pylist()
    assert [(row["click"], row["conversion"], row["revenue"]) for row in shown] == [
        (True, False, 0.0),
        (False, False, 0.0),
        (True, True, 0.25),
        (True, True, 0.0),
        (True, False, 0.0),
    ]
    assert [row["request_time"] for row in shown] == [datetime(2000, 1, 1, 0, at, tzinfo=UTC) for at in range(5)]
    assert [row["conversion_time"] for row in shown] == [
        None,
        None,
        datetime(2000, 1, 1, 0, 10, tzinfo=UTC),
        datetime(2000, 1, 1, 0, 15, tzinfo=UTC),
        None,
    ]
    assert [row["user_id"] for row in shown] == ["7", "7", "7", "8", "9"]
    assert {row["cost"] for row in shown} == {0.00001}
    (ad,) = tables["ads"].to_pylist()
    assert (ad["ad_id"], ad["campaign_id"]) == ("900", "900")


def test_criteo_attribution_sets_aside_times_that_are_no_numbers(tmp_path):
    lines = [attribution_line("0 -1 0 1 -1 -1 0", at=at) for at in ("0", "soon", "2", "3")]
    (tmp_path / "log.tsv").write_text(ATTRIBUTION_HEADER + "".join(lines))
    tables, rejected = read_tables("criteo_attribution", tmp_path)
    assert (tables["impressions"].num_rows, rejected["impressions"]) == (3, 1)


AVAZU_HEADER = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,device_ip,"
    "device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21\n"
)


def avazu_line(row_id, click, hour, ad, campaign):
    site = "1005,0,1fbe01fe,f3845767,28905ebd,ecad2386,7801e8d9,07d7df22,a99f214a,ddd2926e,44956a24,1,2"
    return f"{row_id},{click},{hour},{site},{ad},320,50,{campaign},0,35,-1,79\n"


def test_avazu(tmp_path):
    lines = [
        avazu_line("10000174058809263569", 1, "14102100", 15706, 1722),
        avazu_line("10000182526920855428", 0, "14102123", 15704, 1722),
        avazu_line("10000554139829213984", 0, "14102200", 15706, 9999),
    ]
    (tmp_path / "train.gz").write_bytes(gzip.compress((AVAZU_HEADER + "".join(lines)).encode()))
    (tmp_path / "test.csv").write_text("id,hour\n1,14103100\n")
    tables, rejected = read_tables("avazu", tmp_path)
    assert rejected == {"impressions": 0, "ads": 0}
    shown = tables["impressions"].to_pylist()
    assert shown[0]["impression_id"] == "10000174058809263569"
    assert [row["click"] for row in shown] == [True, False, False]
    assert [row["request_time"] for row in shown] == [
        datetime(2014, 10, 21, 0, tzinfo=UTC),
        datetime(2014, 10, 21, 23, tzinfo=UTC),
        datetime(2014, 10, 22, 0, tzinfo=UTC),
    ]
    assert [row["user_id"] for row in shown] == [None] * 3
    assert [(row["ad_id"], row["campaign_id"]) for row in tables["ads"].to_pylist()] == [
        ("15706", "1722"),
        ("15704", "1722"),
    ]


def test_avazu_without_a_file_that_says_clicks(tmp_path):
    (tmp_path / "test.csv").write_text("id,hour\n1,14103100\n")
    with pytest.raises(InputError, match=r"no file with clicks is there, such as train\.gz"):
        read_tables("avazu", tmp_path)


def fields(**values):
    """A list of fields as Ali-CCP writes it: `field_205="9"` is field 205 with id 9 and value 1."""
    return "\x01".join(f"{name.removeprefix('field_')}\x02{value}\x031.0" for name, value in values.items())


def write_ali_ccp(folder, of="train"):
    """Three impressions of two users; user b has no gender, and the user of the third row is not there."""
    item = fields(field_210="1", field_205="9", field_206="60", field_207="700", field_216="5", field_301="3")
    other = fields(field_205="99", field_206="60", field_207="701", field_301="2")
    (folder / f"sample_skeleton_{of}.csv").write_text(
        f"1,1,1,ax,6,{item}\n2,0,0,bx,4,{other}\n3,0,1,bx,6,{item}\n4,0,0,nobody,6,{item}\n"
    )
    many = fields(field_1205="12", field_101="a", field_121="38", field_124="2", field_12="1")
    (folder / f"common_features_{of}.csv").write_text(
        f"ax,5,{many}\x01109_14\x027\x032.1\x01109_14\x028\x031.1\nbx,2,{fields(field_121='39', field_101='b')}\n"
    )


def test_ali_ccp_joins_the_fields_of_its_users(tmp_path):
    write_ali_ccp(tmp_path)
    own = (OwnColumn("request.field_121", "category"), OwnColumn("request.field_124", "category"))
    source = open_source(SourceConfig(kind="ali_ccp", path=str(tmp_path)), own=own)
    (shown,) = (batch for batch in source.read(source.files()[0]) if batch.table.num_rows)
    assert shown.table["user_id"].to_pylist() == ["a", "b", "b", None]
    assert shown.table["request.field_121"].to_pylist() == ["38", "39", "39", None]
    assert shown.table["request.field_124"].to_pylist() == ["2", None, None, None]


def test_ali_ccp(tmp_path):
    write_ali_ccp(tmp_path)
    tables, rejected = read_tables("ali_ccp", tmp_path / "sample_skeleton_train.csv")
    assert rejected == {"impressions": 1, "ads": 0}
    shown = tables["impressions"].to_pylist()
    assert [(row["impression_id"], row["user_id"], row["ad_id"]) for row in shown] == [
        ("1", "a", "9"),
        ("2", "b", "99"),
        ("3", "b", "9"),
    ]
    assert [(row["click"], row["conversion"]) for row in shown] == [(True, True), (False, False), (False, True)]
    assert [row["request_time"].second for row in shown] == [0, 1, 2]
    assert [
        (row["ad_id"], row["item_id"], row["campaign_id"], row["category"]) for row in tables["ads"].to_pylist()
    ] == [
        ("9", "9", "700", "60"),
        ("99", "99", "701", "60"),
    ]


def test_ali_ccp_is_one_file_of_impressions_beside_its_common_features(tmp_path):
    write_ali_ccp(tmp_path)
    write_ali_ccp(tmp_path, "test")
    with pytest.raises(
        InputError, match=r"found sample_skeleton_test\.csv, sample_skeleton_train\.csv; its rows say no"
    ):
        read_tables("ali_ccp", tmp_path)
    (tmp_path / "common_features_test.csv").unlink()
    with pytest.raises(InputError, match=r"common_features_test\.csv"):
        read_tables("ali_ccp", tmp_path / "sample_skeleton_test.csv")


DISPLAY_LINE = "\t".join(["1", *map(str, range(13)), *(f"{at:08x}" for at in range(26))]) + "\n"


def test_criteo_display(tmp_path):
    (tmp_path / "train.txt").write_text(DISPLAY_LINE + DISPLAY_LINE.replace("1\t0", "0\t", 1))
    own = (OwnColumn("request.I1", "number"), OwnColumn("request.C26", "category"))
    source = open_source(SourceConfig(kind="criteo_display", path=str(tmp_path)), own=own)
    (shown,) = (batch for batch in source.read(source.files()[0]) if batch.table.num_rows)
    assert shown.table["click"].to_pylist() == [True, False]
    assert shown.table["request.I1"].to_pylist() == [0.0, None]
    assert shown.table["request.C26"].to_pylist() == ["00000019"] * 2
    assert [time.second for time in shown.table["request_time"].to_pylist()] == [0, 1]


@pytest.mark.parametrize("kind", ["taobao", "rees46", "log"])
def test_named_sources_need_a_path(kind):
    with pytest.raises(ConfigError, match=r"source\.path is empty"):
        open_source(SourceConfig(kind=kind))


def test_real_taobao(shared_data):
    events, violations = read_checked("taobao", shared_data / "taobao" / "UserBehavior.csv.gz")
    rejected = sum(violation.rows for violation in violations)
    assert events.num_rows + rejected == 68_139
    assert 0 < rejected < 40
    assert pc.count_distinct(events["event_id"]).as_py() == events.num_rows
    assert 1_300 < pc.sum(pc.equal(events["behavior"], "purchase")).as_py() < 1_500


def test_real_rees46(shared_data):
    events, violations = read_checked("rees46", shared_data / "rees46")
    assert events.num_rows == 17_434
    assert [(violation.column, violation.rows) for violation in violations] == [("(row)", 1)]
    assert pc.min(events["price"]).as_py() >= 0


def test_each_sample_is_foreign_to_the_other_source(shared_data):
    with pytest.raises(InputError, match="another number of fields than 5"):
        read_checked("taobao", shared_data / "rees46")
    with pytest.raises(ContractError, match="'user_id' is missing"):
        read_checked("rees46", shared_data / "taobao")


@pytest.mark.parametrize(("policy", "clicks"), [("random", 38), ("bts", 42)])
def test_real_open_bandit(shared_data, policy, clicks):
    tables, rejected = read_tables("open_bandit", f"{shared_data}/open_bandit/{policy}_*")
    assert {name: table.num_rows for name, table in tables.items()} == {
        "impressions": 10_000,
        "candidates": 800_000,
        "ads": 80,
    }
    assert not any(rejected.values())
    assert pc.sum(tables["impressions"]["click"]).as_py() == clicks
    if policy == "random":
        assert pc.unique(tables["impressions"]["propensity"]).to_pylist() == [1 / 80]


def test_real_kuairand(shared_data):
    tables, rejected = read_tables("kuairand", shared_data / "kuairand")
    assert {name: table.num_rows for name, table in tables.items()} == {
        "events": 41_828,
        "impressions": 41_828,
        "ads": 9_359,
    }
    assert not any(rejected.values())
    shown = tables["impressions"]
    assert pc.sum(pc.and_(shown["conversion"], pc.invert(shown["click"]))).as_py() == 38
    assert pc.count_distinct(tables["events"]["user_id"]).as_py() == 664


def test_real_ipinyou(shared_data):
    tables, rejected = read_tables("ipinyou", f"{shared_data}/ipinyou/drsa_*")
    assert tables["impressions"].num_rows + rejected["impressions"] == 12_526
    assert rejected["impressions"] == 0
    assert 0.0003 < pc.mean(tables["impressions"]["cost"]).as_py() < 0.002


def test_real_criteo_display(shared_data):
    tables, rejected = read_tables("criteo_display", shared_data / "criteo" / "display_sample.csv.gz")
    assert {name: table.num_rows for name, table in tables.items()} == {"impressions": 1_999, "ads": 1}
    assert not any(rejected.values())
    assert pc.mean(tables["impressions"]["click"].cast(pa.int8())).as_py() == pytest.approx(0.23, abs=0.03)


def test_real_sample_of_criteo_attribution_by_mapping_alone(shared_data):
    own = tuple(OwnColumn(f"request.cat{at}", "category") for at in (1, 4, 6, 8, 9))
    path = str(shared_data / "criteo" / "attribution_click_sample.parquet")
    shown = {"impression_id": "#row", "request_time": "#row", "ad_id": "cat1"}
    config = SourceConfig(
        kind="parquet", impressions=path, ads=path, columns={"impressions": shown, "ads": {"ad_id": "cat1"}}
    )
    source = open_source(config, own=own)
    file = next(file for file in source.files() if file.contract_name == "impressions")
    tables = [contract_with("impressions", own).check(batch.table, path) for batch in source.read(file)]
    assert not any(broken for _, broken in tables)
    rows = pa.concat_tables([table for table, _ in tables])
    assert rows.num_rows == 115_382
    assert pc.mean(rows["click"].cast(pa.int8())).as_py() == pytest.approx(0.36, abs=0.01)
    assert rows["request.cat9"].null_count == 0
