"""Who may write: the tokens that `POST /events` and `POST /ads` ask for, held as hashes alone."""

import hmac
from dataclasses import dataclass
from hashlib import blake2b

from rosa_ray.errors import ConfigError
from rosa_ray.settings.secrets import resolve

SETTING = "serving.write_tokens"
MIN_CHARACTERS = 16
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Writers:
    """Tokens of writers.

    Attributes:
        digests: of the tokens; None lets everyone write.
    """

    digests: tuple[bytes, ...] | None = None

    def admit(self, authorization: bytes) -> bool:
        """Whether a header `Authorization` names one of the tokens. Every token is compared, in constant time.

        >>> Writers((_digest(b"a token of a writer"),)).admit(b"Bearer a token of a writer")
        True
        """
        if self.digests is None:
            return True
        scheme, _, token = authorization.partition(b" ")
        given = _digest(token.strip())
        known = [hmac.compare_digest(given, digest) for digest in self.digests]
        return scheme.lower() == b"bearer" and any(known)


def open_writers(reference: str) -> Writers:
    """Read the tokens that a setting refers to; an empty setting lets everyone write.

    Args:
        reference: `env:NAME` or `file:/PATH`; the tokens there are separated by white space, so that one can be changed
            without a gap.

    Raises:
        ConfigError: nothing can be read there, or a token is too short.
    """
    tokens = _tokens(reference)
    return Writers(tuple(_digest(token.encode()) for token in tokens)) if tokens else Writers()


def writer_headers(reference: str) -> dict[str, str]:
    """Headers of a writer: the first of the tokens that a setting refers to; none where everyone may write.

    Raises:
        ConfigError: as of `open_writers`.
    """
    tokens = _tokens(reference)
    return {"Authorization": f"Bearer {tokens[0]}"} if tokens else {}


def open_to_writers(host: str, write_tokens: str, url: str) -> str:
    """What is to be said when whoever reaches a service may write to it; empty where nothing is."""
    if write_tokens or host in LOOPBACK:
        return ""
    return f"{url} takes events from everyone who reaches it; set serving.write_tokens, or keep it behind a gateway"


def _tokens(reference: str) -> list[str]:
    if not reference:
        return []
    tokens = resolve(reference, SETTING).split()
    if not tokens:
        raise ConfigError(f"{SETTING} '{reference}' holds no token")
    if min(map(len, tokens)) < MIN_CHARACTERS:
        raise ConfigError(f"{SETTING} '{reference}' holds a token of fewer than {MIN_CHARACTERS} characters")
    if not "".join(tokens).isascii():
        raise ConfigError(f"{SETTING} '{reference}' holds a token with characters that are not ASCII")
    return tokens


def _digest(token: bytes) -> bytes:
    return blake2b(token).digest()
