"""Settings that hold secrets: named by reference, read where they are used, and hidden wherever settings are shown.

A value may be a reference, `env:NAME` to an environment variable or `file:PATH` to a file. Inside a longer text the
reference stands in braces, as in `redis://ann:{env:REDIS_PASSWORD}@cache:6379/0`. What is no reference and has the
name or the place of a secret is hidden in every config that is printed, written, recorded or shown in an error.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rosa_ray.errors import ConfigError

HIDDEN = "***"
"""Stands for a secret wherever settings are shown."""

_WORDS = {"password", "passwd", "passphrase", "secret", "token", "credential", "credentials", "jaas"}
_PAIRS = {("api", "key"), ("access", "key"), ("private", "key"), ("key", "pem")}
_HARMLESS_ENDS = {"file", "env", "location", "path", "url", "id", "ms", "s", "method", "type", "scope"}
_WHOLE = re.compile(r"(env|file):(.+)", re.DOTALL)
_INSIDE = re.compile(r"\{(env|file):([^{}]+)\}")
# Digits and a slash are a port and a path; a password with a slash is no right URL, and hidden all the same.
_PASSWORD_IN_URL = re.compile(r"(?<=://)(?P<user>[^\s/@:]*):(?!\d{1,5}/)(?P<password>[^\s]+)@")
_PASSWORD_IN_QUERY = re.compile(r"(?<=[?&])(?P<name>[\w.-]+)=(?P<value>[^&\s]+)")
_SHORTEST = 3


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name holds a secret itself, and not the place of one.

    >>> [is_secret_name(name) for name in ("sasl.password", "password_env", "ssl.key.pem", "ssl.key.location", "path")]
    [True, False, True, False, False]
    """
    words = [word.removesuffix("s") if word != "s" else word for word in re.split(r"[._-]", name.lower())]
    named = any(word in _WORDS for word in words) or any(pair in _PAIRS for pair in pairwise(words))
    return named and words[-1] not in _HARMLESS_ENDS


def names_secret(text: str) -> bool:
    """Whether a word of a text is the name of a secret."""
    return any(is_secret_name(word) for word in re.findall(r"[\w.-]+", text))


def redact(value: Any, name: str = "") -> Any:
    """Hide the secrets of settings, or of plain data.

    Args:
        value: of a setting; mappings and lists are looked through.
        name: of the setting.

    >>> redact({"url": "redis://ann:secret@cache:6379/0", "kafka": {"ssl.key.pem": "MII"}, "seed": 7})
    {'url': 'redis://ann:***@cache:6379/0', 'kafka': {'ssl.key.pem': '***'}, 'seed': 7}
    >>> redact({"url": "redis://ann:{env:WORD}@cache", "kafka": {"ssl.key.pem": "env:PEM"}})
    {'url': 'redis://ann:{env:WORD}@cache', 'kafka': {'ssl.key.pem': 'env:PEM'}}
    """
    if isinstance(value, Mapping):
        return {key: redact(part, str(key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([redact(part, name) for part in value]) if type(value) in (list, tuple) else value
    if not isinstance(value, str):
        return value
    if is_secret_name(name):
        return value if not value or is_reference(value) else HIDDEN
    return redact_text(value)


def redact_text(text: str) -> str:
    """Hide passwords in URLs of a text.

    >>> redact_text("cannot reach rediss://:a@b@cache:6379/0?password=pw&timeout=1")
    'cannot reach rediss://:***@cache:6379/0?password=***&timeout=1'
    """
    if "://" not in text:
        return text
    text = _PASSWORD_IN_URL.sub(lambda match: f"{match['user']}:{_hidden(match['password'])}@", text)
    return _PASSWORD_IN_QUERY.sub(
        lambda match: f"{match['name']}={_hidden(match['value']) if is_secret_name(match['name']) else match['value']}",
        text,
    )


def hide(text: str, *data: Any) -> str:
    """Hide in a text what is a secret of plain data, and passwords in URLs.

    >>> hide("--set stream.kafka={ssl.key.pem: MII}", {"ssl.key.pem": "MII"})
    '--set stream.kafka={ssl.key.pem: ***}'
    """
    for secret in sorted({one for part in data for one in _secrets_of(part, "")}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return redact_text(text)


def is_reference(value: str) -> bool:
    """Whether a value only names where a secret is.

    >>> is_reference("env:STORE_URL"), is_reference("redis://cache"), is_reference("{file:/run/secrets/pw}")
    (True, False, True)
    """
    return bool(_WHOLE.fullmatch(value) or _INSIDE.fullmatch(value))


def resolve(value: str, where: str) -> str:
    """Read what a value refers to; a value without references is itself.

    Args:
        where: key of the setting, for messages.

    Raises:
        ConfigError: the variable is not set, the file cannot be read, or the secret was hidden when this config was
            written.
    """
    if HIDDEN in value:
        raise ConfigError(f"{where} holds {HIDDEN}, which stands for a secret; give env:NAME, file:PATH or the value")
    if whole := _WHOLE.fullmatch(value):
        return _read(whole[1], whole[2], where)
    encode = "://" in value
    return _INSIDE.sub(lambda match: _part(_read(match[1], match[2], where), encode), value)


def resolve_each(values: Mapping[str, str], where: str) -> dict[str, str]:
    """Read what the values of a mapping refer to.

    Raises:
        ConfigError: as `resolve`.
    """
    return {name: resolve(value, f"{where}.{name}") for name, value in values.items()}


def absolute_reference(value: str) -> str:
    """The same reference for processes with another working directory.

    >>> absolute_reference("env:PW"), absolute_reference("file:/run/pw")
    ('env:PW', 'file:/run/pw')
    """
    if whole := _WHOLE.fullmatch(value):
        return _absolute(whole)
    return _INSIDE.sub(lambda match: f"{{{_absolute(match)}}}", value)


def _absolute(match: re.Match[str]) -> str:
    return f"file:{Path(match[2]).absolute()}" if match[1] == "file" else f"env:{match[2]}"


def _read(kind: str, name: str, where: str) -> str:
    if kind == "env":
        if name not in os.environ:
            raise ConfigError(f"{where} is 'env:{name}', and there is no such environment variable")
        return os.environ[name]
    try:
        return Path(name).read_text().rstrip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{where} is 'file:{name}', which cannot be read: {reason}") from None


def _part(secret: str, encode: bool) -> str:
    return quote(secret, safe="") if encode else secret


def _hidden(secret: str) -> str:
    return secret if is_reference(secret) else HIDDEN


def _secrets_of(value: Any, name: str) -> Iterator[str]:
    """Literal secrets of plain data."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _secrets_of(part, str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for part in value:
            yield from _secrets_of(part, name)
    elif is_secret_name(name) and len(str(value)) >= _SHORTEST and not is_reference(str(value)):
        yield str(value)
    elif isinstance(value, str):
        yield from (match["password"] for match in _PASSWORD_IN_URL.finditer(value) if len(match["password"]) > 2)
