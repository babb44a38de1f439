"""The default log is the same byte for byte from one version to the next."""

import hashlib

import pyarrow as pa
import pytest

DIGESTS = {
    "events": "20c9243790fb6f861850971531f1158db6cd952aeea38a8229f223e68444ee85",
    "impressions": "91756ae67989bab7851d696d508debac5e9b251a4a2cc36b99e3bb4914698e15",
    "ads": "a40acd59a763d51d827adc918ca2e471697c09b3c09a109899f93e0da066a6c2",
    "candidates": "870d28825c75657fc433af9e7e5b224714d93cd40b914affbd8786ac1e93a083",
    "truth": "99810a4f63a32b0601ea3db403bbbe0d69ac57c456fff3faf4d90b2ca65fb0eb",
}
"""SHA-256 over the columns of the small log, written before the walk was split into clockwork and order."""


def digest(table: pa.Table) -> str:
    """SHA-256 over names and plain values of all columns."""
    found = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        found.update(repr((name, column.to_pylist())).encode())
    return found.hexdigest()


@pytest.mark.parametrize("name", DIGESTS)
def test_the_default_log_is_unchanged(small_log, name):
    assert digest(getattr(small_log, name)) == DIGESTS[name]
