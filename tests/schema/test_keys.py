"""The stable hash."""

import subprocess
import sys

import pyarrow as pa

from rosa_ray.schema import MISSING_KEY, hash_id, hash_ids


def test_known_values_never_change() -> None:
    assert [hash_id(text) for text in ("", "a", "user-1")] == [
        -1205034819632174695,
        -3292477735350538661,
        hash_id("user-1"),
    ]


def test_columns_and_single_ids_agree_whatever_the_layout() -> None:
    ids = ["b", "a", None, "b", "ü", ""]
    expected = [hash_id(text) for text in ids]
    chunked = pa.chunked_array([ids[:2], ids[2:]])
    for column in (pa.array(ids), chunked, pa.array(ids).dictionary_encode(), chunked.dictionary_encode()):
        assert hash_ids(column).tolist() == expected
    assert expected[2] == MISSING_KEY
    assert hash_ids(pa.array([], pa.string())).tolist() == []


def test_another_process_gives_the_same_key() -> None:
    code = "from rosa_ray.schema import hash_id; print(hash_id('user-1'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == hash_id("user-1")
