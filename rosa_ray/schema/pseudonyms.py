"""Pseudonyms of users: where their secret lies, and the change of ids at the edge, the same offline and online.

The secret itself is never in a config, a bundle or a store; only the name of the file or variable that holds it is.
"""

import os
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ConfigError
from rosa_ray.schema.keys import pseudonym
from rosa_ray.settings import section

_MIN_BYTES, _MAX_BYTES = 16, 64


@section("privacy")
class PrivacyConfig:
    """Whether user ids become pseudonyms, and by which secret. Without a secret they stay as they are."""

    user_key_secret_file: str = ""
    """File that holds the secret, at least 16 bytes. White space at its end does not count."""
    user_key_secret_env: str = ""
    """Name of an environment variable that holds the secret. Every process that reads logs or serves needs it."""

    def __post_init__(self) -> None:
        if self.user_key_secret_file and self.user_key_secret_env:
            raise ConfigError("privacy gives both user_key_secret_file and user_key_secret_env; give one of them")


@dataclass(frozen=True)
class Pseudonyms:
    """Turns user ids into pseudonyms.

    >>> Pseudonyms(b"0123456789abcdef").of("user-1")
    'p-4943eb2afc13a4628203386fccd4b981'
    """

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """Sixteen hex digits that name the secret without telling it: a keyed hash of a constant.

        >>> Pseudonyms(b"0123456789abcdef").key_id == Pseudonyms(b"another secret 1").key_id
        False
        """
        return blake2b(b"user key", key=self.secret, digest_size=8).hexdigest()

    def of(self, user_id: str) -> str:
        """The pseudonym of one user."""
        return pseudonym(user_id, self.secret)

    def column(self, user_ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """The pseudonyms of a column of ids, nulls kept, each distinct id once."""
        encoded = pc.dictionary_encode(user_ids.combine_chunks().cast(pa.string()))
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        names = pa.array([self.of(user_id) for user_id in encoded.dictionary.to_pylist()], pa.string())
        return pa.chunked_array([names.take(encoded.indices)])


def open_pseudonyms(config: PrivacyConfig) -> Pseudonyms | None:
    """Read the secret; None when no pseudonyms are wanted.

    Raises:
        ConfigError: the file or variable is missing or too short.
    """
    if config.user_key_secret_file:
        where = f"privacy.user_key_secret_file '{config.user_key_secret_file}'"
        secret = _read_file(config.user_key_secret_file, where)
    elif config.user_key_secret_env:
        where = f"privacy.user_key_secret_env '{config.user_key_secret_env}'"
        secret = os.environ.get(config.user_key_secret_env, "").encode()
    else:
        return None
    if len(secret) < _MIN_BYTES:
        raise ConfigError(f"{where} holds {len(secret)} bytes; give a secret of at least {_MIN_BYTES}")
    return Pseudonyms(secret if len(secret) <= _MAX_BYTES else blake2b(secret).digest())


def require_user_key(pseudonyms: Pseudonyms | None, key_id: str, where: str) -> None:
    """Refuse to look users up by other ids than those that something was made from.

    Args:
        key_id: `Pseudonyms.key_id` of the secret it was made with; empty when user ids were left as they are.
        where: names it in the message.

    Raises:
        ConfigError: there is another secret here, or one on one side only.
    """
    held = "" if pseudonyms is None else pseudonyms.key_id
    if held == key_id:
        return
    made = f"under pseudonyms of user key {key_id}" if key_id else "under plain user ids"
    given = f"of this process is another one, {held}" if held else "is not given here"
    if key_id:
        raise ConfigError(f"{where} knows users {made}, and the key {given}; set privacy.user_key_secret_file or _env")
    raise ConfigError(f"{where} knows users {made}, and privacy gives a user key; leave it out, or preprocess with it")


def _read_file(path: str, where: str) -> bytes:
    try:
        return Path(path).read_bytes().rstrip()
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror or error}") from error
