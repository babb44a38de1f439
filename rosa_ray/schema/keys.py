"""Ids become int64 keys by one stable hash, equal in every process, on every machine, offline and online."""

import re
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

MISSING_KEY = 0
"""The key of a null id. No real id hashes to it: a hash of 0 is moved to 1."""

FOLDS = 4
"""Folds of users, for what is counted of other users' events."""

_FOLD_KIND = 0x6F
_PSEUDONYM = re.compile(r"p-[0-9a-f]{32}")


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


def fold_of(key: np.ndarray) -> np.ndarray:
    """Fold of each user, int64 in [0, `FOLDS`), by its key alone; what others' events tell is counted without it.

    >>> np.bincount(fold_of(np.arange(1000))).tolist()
    [257, 233, 266, 244]
    """
    return (derive_key(key, _FOLD_KIND).astype(np.uint64) % np.uint64(FOLDS)).astype(np.int64)


def derive_key(key: np.ndarray, kind: int | np.ndarray) -> np.ndarray:
    """Mix keys with small numbers, so that one id gives one key per kind of thing that carries it.

    A finaliser of splitmix64 (Steele, Lea, Flood 2014) over `key` moved by `kind` golden ratios: for one kind a
    permutation, so that different keys stay different.

    Args:
        key: int64 (n,), from `hash_ids`.
        kind: one number, or (n,).

    Returns:
        int64 (n,).

    >>> bool(derive_key(np.array([5]), 1)[0] == derive_key(np.array([5]), 2)[0])
    False
    """
    moved = np.atleast_1d(np.asarray(kind)).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = np.asarray(key, np.int64).astype(np.uint64) + moved
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).astype(np.int64)


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


def pseudonym(user_id: str, secret: bytes) -> str:
    """Return a user's pseudonym: `p-` and 32 hex digits of BLAKE2b (RFC 7693) of the id, keyed by a secret.

    Without the secret it neither tells the id nor can be found by trying ids. A pseudonym stays as it is, so that what
    was stored can be sent again.

    Args:
        secret: 1 to 64 bytes.

    >>> pseudonym("user-1", b"k" * 16) == pseudonym(pseudonym("user-1", b"k" * 16), b"k" * 16)
    True
    """
    if _PSEUDONYM.fullmatch(user_id):
        return user_id
    return f"p-{blake2b(user_id.encode(), key=secret, digest_size=16).hexdigest()}"
