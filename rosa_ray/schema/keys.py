"""Ids become int64 keys by one stable hash, equal in every process, on every machine, offline and online."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

MISSING_KEY = 0
"""The key of a null id. No real id hashes to it: a hash of 0 is moved to 1."""


def hash_id(value: str | None) -> int:
    """Return the signed 64-bit xxHash of one id, `MISSING_KEY` for None.

    >>> hash_id("user-1") == int(hash_ids(pa.array(["user-1", None]))[0])
    True
    """
    if value is None:
        return MISSING_KEY
    unsigned = xxhash.xxh64_intdigest(value.encode())
    signed = unsigned - (1 << 64) if unsigned >= (1 << 63) else unsigned
    return signed or 1


def hash_ids(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return the int64 key of every id, hashing each distinct id once.

    Args:
        ids: string column of n ids, nulls allowed.

    Returns:
        int64 array of shape (n,), `MISSING_KEY` where the id is null.
    """
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if not pa.types.is_dictionary(ids.type):
        ids = pc.dictionary_encode(ids)
    distinct = np.fromiter((hash_id(value) for value in ids.dictionary.to_pylist()), np.int64, len(ids.dictionary))
    codes = ids.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.append(distinct, MISSING_KEY)[codes]
