import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import ContractError, InputError
from rosa_ray.sources import SourceFile, table_files
from rosa_ray.sources.table_files import csv_names, row_ids, stream_csv, stream_parquet, times_from_integers


def read_rows(path, **options):
    batches = list(stream_csv(str(path), **options))
    rows = [row for batch in batches for row in batch.table.to_pylist()]
    return rows, sum(violation.rows for batch in batches for violation in batch.rejected)


def write(path, data):
    path.write_bytes(data)
    return path


def test_csv_fields_are_strings_and_empty_is_null(tmp_path):
    path = write(tmp_path / "a.csv", b"id,region\n007,NA\n008,\n")
    assert read_rows(path) == ([{"id": "007", "region": "NA"}, {"id": "008", "region": None}], 0)


def test_csv_header_may_open_with_a_byte_order_mark_and_end_with_crlf(tmp_path):
    path = write(tmp_path / "a.csv", b"\xef\xbb\xbfid;v\r\n1;2\r\n")
    assert csv_names(str(path), ";") == ["id", "v"]
    assert read_rows(path, delimiter=";")[0] == [{"id": "1", "v": "2"}]


def test_csv_with_header_only_has_no_rows(tmp_path):
    assert read_rows(write(tmp_path / "a.csv", b"id,v\n")) == ([], 0)


def test_csv_streams_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "CSV_BLOCK_BYTES", 1 << 10)
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"".join(b"%d,x\n" % i for i in range(1000))))
    tables = [batch.table for batch in stream_csv(str(path), ["n", "x"], ["n"])]
    assert len(tables) > 3
    assert pa.concat_tables(tables)["n"].to_pylist() == [str(i) for i in range(1000)]


def test_csv_rows_with_other_field_counts_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "CSV_BLOCK_BYTES", 64)
    good = b"".join(b"%d,x\n" % i for i in range(50))
    path = write(tmp_path / "a.csv", b"n,x\n" + good + b"1,2,3\n" + good + b"99\n")
    rows, rejected = read_rows(path)
    assert (len(rows), rejected) == (100, 2)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.csv.gz", gzip.compress(b"".join(b"%d,%d\n" % (i, i * i) for i in range(9999)))[:-100]),
        ("plain.csv.gz", b"1,2\n3,4\n"),
        ("empty.csv", b""),
        ("binary.csv", b"\x00\xff\xfe,\x81\n\xff,\xff\n"),
        ("wide.csv", b"1,2,3\n4,5,6\n"),
    ],
)
def test_csv_truncated_or_foreign(tmp_path, name, data):
    path = write(tmp_path / name, data)
    with pytest.raises(InputError, match=name) as caught:
        read_rows(path, names=["a", "b"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first_line", [b"", b"\n1,2\n", b"a,a\n1,2\n"])
def test_csv_header_must_name_distinct_columns(tmp_path, first_line):
    path = write(tmp_path / "a.csv", first_line)
    with pytest.raises(InputError, match=r"a\.csv.*distinct column names"):
        csv_names(str(path))


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"n": list(range(5000)), "x": ["y"] * 5000})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    return path


def test_parquet_reads_the_present_columns_in_batches(parquet, monkeypatch):
    monkeypatch.setattr(table_files, "PARQUET_BATCH_ROWS", 1000)
    tables = [batch.table for batch in stream_parquet(str(parquet), ["n", "absent"])]
    assert [table.num_rows for table in tables] == [1000] * 5
    assert pa.concat_tables(tables).to_pydict() == {"n": list(range(5000))}


def test_parquet_truncated(parquet):
    write(parquet, parquet.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"a\.parquet: is truncated, damaged or not a Parquet file"):
        list(stream_parquet(str(parquet)))


def test_parquet_flipped_bit_fails_its_page_checksum(parquet):
    data = bytearray(parquet.read_bytes())
    data[3000] ^= 1
    write(parquet, bytes(data))
    with pytest.raises(InputError, match=r"a\.parquet.*(?i:crc|checksum)"):
        list(stream_parquet(str(parquet)))


def test_row_ids_order_as_rows_and_survive_compression():
    plain, packed = SourceFile("/x/a.csv", "events", "a.csv"), SourceFile("/x/a.csv.gz", "events", "a.csv.gz")
    ids = row_ids(plain, 98, 4).to_pylist()
    assert ids == sorted(ids)
    assert ids == row_ids(packed, 98, 4).to_pylist()


@pytest.mark.parametrize(("unit", "value"), [("s", 1_500_000_000), ("ms", 1_500_000_000_000), ("ns", 15 * 10**17 + 7)])
def test_integer_times_have_the_stated_unit(unit, value):
    times = times_from_integers(pa.chunked_array([[str(value)]]), unit, "event_time", "a.csv")
    assert times.cast(pa.int64()).to_pylist() == [1_500_000_000_000_000]


@pytest.mark.parametrize("value", ["noon", str(10**15)])
def test_times_that_are_no_integers_or_of_another_unit(value):
    with pytest.raises(ContractError, match=r"a\.csv: column 'event_time' .* unit 's'"):
        times_from_integers(pa.chunked_array([[value]]), "s", "event_time", "a.csv")
