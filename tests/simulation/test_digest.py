"""The default log is the same byte for byte from one version to the next."""

import hashlib

import pyarrow as pa
import pytest

DIGESTS = {
    "events": 0x20C9243790FB6F8,
    "impressions": 0x91756AE67989BAB,
    "ads": 0xA40ACD59A763D51,
    "candidates": 0x870D28825C75657,
    "truth": 0x99810A4F63A32B0,
}
"""Of the small log, written before the walk was split into clockwork and order."""


def digest(table: pa.Table) -> int:
    """First 60 bits of SHA-256 over names and plain values of all columns."""
    found = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        found.update(repr((name, column.to_pylist())).encode())
    return int(found.hexdigest()[:15], 16)


@pytest.mark.parametrize("name", DIGESTS)
def test_the_default_log_is_unchanged(small_log, name):
    assert digest(getattr(small_log, name)) == DIGESTS[name]
