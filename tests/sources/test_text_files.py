"""Delimited text: what is read as it is, what a setting reads, and what is refused in one line."""

import bz2
import gzip
import lzma

import pyarrow as pa
import pytest

from rosa_ray.errors import InputError
from rosa_ray.sources import text_files
from rosa_ray.sources.text_files import TextFile, TextForm

LINES = b"".join(b"%d,%d\n" % (i, i * i) for i in range(9999))


def read_rows(path, columns=None, **form):
    batches = list(TextFile(str(path), TextForm(**form)).stream(columns))
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
    assert TextFile(str(path)).names == ("id", "v")
    assert read_rows(path)[0] == [{"id": "1", "v": "2"}]


def test_csv_with_header_only_has_no_rows(tmp_path):
    assert read_rows(write(tmp_path / "a.csv", b"id,v\n")) == ([], 0)


def test_csv_streams_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 1 << 10)
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"".join(b"%d,x\n" % i for i in range(1000))))
    tables = [batch.table for batch in TextFile(str(path), TextForm(header=("n", "x"))).stream(["n"])]
    assert len(tables) > 3
    assert pa.concat_tables(tables)["n"].to_pylist() == [str(i) for i in range(1000)]


def test_csv_rows_with_other_field_counts_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 64)
    good = b"".join(b"%d,x\n" % i for i in range(50))
    path = write(tmp_path / "a.csv", b"n,x\n" + good + b"1,2,3\n" + good + b"99\n")
    rows, rejected = read_rows(path)
    assert (len(rows), rejected) == (100, 2)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.csv.gz", gzip.compress(LINES)[:-100]),
        ("cut.csv.bz2", bz2.compress(LINES)[:-100]),
        ("cut.csv.xz", lzma.compress(LINES)[:-100]),
        ("cut.csv.zst", pa.compress(LINES, codec="zstd", asbytes=True)[:-100]),
        ("empty.csv", b""),
        ("binary.csv", b"\x00\xff\xfe,\x81\n\xff,\xff\n"),
        ("wide.csv", b"1,2,3\n4,5,6\n"),
    ],
)
def test_csv_truncated_or_foreign(tmp_path, name, data):
    path = write(tmp_path / name, data)
    with pytest.raises(InputError, match=name) as caught:
        read_rows(path, header=("a", "b"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_is_guessed_from_the_first_line(tmp_path, sign):
    path = write(
        tmp_path / "a.txt", sign.join(["id", "note, or; text", "v"]).encode() + f"\n1{sign}x{sign}2\n".encode()
    )
    opened = TextFile(str(path), wanted=("id", "v"))
    assert opened.delimiter == sign
    assert opened.names[0] == "id"


def test_the_wanted_names_decide_between_delimiters(tmp_path):
    path = write(tmp_path / "a.txt", b"id;a,b,c;v\n1;x;2\n")
    assert TextFile(str(path), wanted=("id", "v")).names == ("id", "a,b,c", "v")


def test_a_file_without_header_is_split_into_as_many_fields_as_there_are_names(tmp_path):
    path = write(tmp_path / "a.txt", b"1|2,5;3|x\n")
    assert read_rows(path, header=("a", "b", "c"))[0] == [{"a": "1", "b": "2,5;3", "c": "x"}]


def test_a_first_line_of_excel_says_the_delimiter(tmp_path):
    path = write(tmp_path / "a.csv", b"sep=|\r\na,x|b\r\n1|2\r\n")
    assert read_rows(path)[0] == [{"a,x": "1", "b": "2"}]


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda data: pa.compress(data, codec="zstd", asbytes=True),
        lambda data: pa.compress(data, codec="lz4", asbytes=True),
        lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
    ],
    ids=["plain", "gzip", "bz2", "xz", "zstd", "lz4", "gzip members"],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_compression_is_known_by_its_first_bytes_whatever_the_name(tmp_path, pack, name):
    path = write(tmp_path / name, pack(b"id,v\n1,x\n2,y\n"))
    assert read_rows(path)[0] == [{"id": "1", "v": "x"}, {"id": "2", "v": "y"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    path = write(tmp_path / "a.csv", '"id"\t"v"\r\n"1"\t"Müller"\r\n'.encode(encoding))
    assert read_rows(path)[0] == [{"id": "1", "v": "Müller"}]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "shift_jis"])
def test_other_encodings_are_stated(tmp_path, encoding):
    text = "テスト" if encoding == "shift_jis" else "Müller"
    path = write(tmp_path / "a.csv", f"id,v\n1,{text}\n".encode(encoding))
    with pytest.raises(InputError, match=r"a\.csv.*set source\.encoding, such as") as caught:
        read_rows(path)
    assert "\n" not in str(caught.value)
    assert read_rows(path, encoding=encoding)[0] == [{"id": "1", "v": text}]


def test_text_of_another_encoding_far_below_names_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "_HEAD_BYTES", 16)
    path = write(tmp_path / "a.csv", b"id,v\n" + b"1,x\n" * 50 + b"2,\xfc\n")
    with pytest.raises(InputError, match=r"a\.csv: is not text in the expected encoding: .*Row #52.*source\.encoding"):
        read_rows(path)


def test_newlines_and_delimiters_in_quotes_belong_to_the_value(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 64)
    path = write(tmp_path / "a.csv", b"id,v\r\n" + b'1,"a,\n""b"""\r\n' * 40 + b"2,c\r\n")
    rows, odd = read_rows(path)
    assert odd == 0
    assert rows == [{"id": "1", "v": 'a,\n"b"'}] * 40 + [{"id": "2", "v": "c"}]


def test_a_quoted_newline_in_the_header(tmp_path):
    path = write(tmp_path / "a.csv", b'id,"the\nvalue"\n1,x\n')
    assert read_rows(path)[0] == [{"id": "1", "the\nvalue": "x"}]


def test_rows_are_numbered_past_odd_ones(tmp_path):
    path = write(tmp_path / "a.csv", b"n,x\n1,x\n2\n3,x\n4,x,y\n5,x\n\n6,x")
    batches = list(TextFile(str(path)).stream())
    assert [int(row) for batch in batches for row in batch.rows] == [1, 3, 5, 6]
    (violation,) = [violation for batch in batches for violation in batch.rejected]
    assert (violation.rows, violation.example) == (2, "row 2, with 1")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty, 0 bytes"),
        (b"\n1,2\n", "should hold distinct column names"),
        (b"PAR1xxxxPAR1", "is a Parquet file; set source.kind: parquet"),
        (b"PK\x03\x04xxxx", "is a zip archive or an Excel workbook"),
        (b"\x1f\x8b\x08", "truncated"),
        (b"id,v\n1,2,3\n4,5,6\n", "2 rows have another number of fields than 2, the first is row 1, with 3; a value"),
    ],
)
def test_a_foreign_file_says_what_it_is(tmp_path, data, message):
    path = write(tmp_path / "a.csv", data)
    with pytest.raises(InputError, match=rf"a\.csv: .*{message}"):
        read_rows(path)


def test_a_name_that_is_there_twice_hides_no_column(tmp_path):
    path = write(tmp_path / "a.csv", b"a,b,a\n1,2,3\n")
    assert TextFile(str(path)).names == ("a (column 1)", "b", "a (column 3)")


@pytest.mark.parametrize("data", [LINES, b"1,2\n" + b"1,2,3\n" * 4000], ids=["left early", "refused"])
def test_a_stream_that_ends_early_is_closed(tmp_path, monkeypatch, data):
    opened = []
    unpacked = text_files._unpacked

    def remember(handle, path):
        opened.append(unpacked(handle, path))
        return opened[-1]

    monkeypatch.setattr(text_files, "_unpacked", remember)
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 1 << 10)
    batches = TextFile(str(write(tmp_path / "a.csv", b"n,x\n" + data))).stream()
    try:
        next(batches)
        assert not opened[-1].closed
        next(batches)
    except InputError:
        pass
    batches.close()
    assert opened[-1].closed
