import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import InputError
from rosa_ray.sources import SourceFile, table_files
from rosa_ray.sources.table_files import row_ids, stream_parquet


def write(path, data):
    path.write_bytes(data)
    return path


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
    numbers = [batch.rows for batch in stream_parquet(str(parquet), ["n"])]
    assert [(int(rows[0]), int(rows[-1])) for rows in numbers[:2]] == [(1, 1000), (1001, 2000)]
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


def test_ids_of_rows_keep_dots_of_a_name_that_are_no_suffix():
    first, second = (SourceFile(f"/x/{name}", "events", name) for name in ("2026.01.01.csv.gz", "2026.01.02.csv.gz"))
    assert (first.stem, second.stem) == ("2026.01.01", "2026.01.02")
