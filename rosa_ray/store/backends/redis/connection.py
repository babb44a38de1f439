"""The connection to Redis: scripts, one answer each, and errors in one line that never show credentials."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from rosa_ray.errors import ConfigError, StoreError, StoreMissingError
from rosa_ray.settings.secrets import resolve
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.windows import overflowing

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise ConfigError("store.kind is 'redis', which needs the extra: pip install 'rosa-ray[redis]'") from error

SCHEMA_VERSION = 3
"""Raise it when keys or byte layouts change."""

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HELD = ("common", "held")
_FOLD = ("common", "counters", "fold")
_SCRIPTS = {
    "create": _HELD,
    "begin": _HELD,
    "swap": _HELD,
    "drop": _HELD,
    "apply": _FOLD,
    "replay": _FOLD,
    "trim": _FOLD,
    **dict.fromkeys(
        (
            *("describe", "behaviors", "read_user", "read_counters", "forget"),
            *("note", "count_untold", "read_columns", "held_columns", "write_columns", "replay_columns"),
        ),
        ("common",),
    ),
}
"""Scripts, and the sources that come before each."""

Argument = str | bytes | int


class Connection:
    """A pool of connections to one server; safe in threads and after a fork.

    Attributes:
        client: for commands outside scripts; use it within `guard`.
        where: the server and database, without credentials.
    """

    def __init__(self, config: StoreConfig) -> None:
        url = resolve(config.url, "store.url")
        self.namespace, self.where = config.namespace, location_of(url)
        self._timeout_ms = config.timeout_ms
        if not _NAMESPACE.fullmatch(config.namespace):
            raise ConfigError(
                f"store.namespace is '{config.namespace}'; give up to 64 letters, digits, dots, dashes or underscores"
            )
        options = {**_password_of(config), **_tls_of(config)}
        try:
            self.client: Any = redis.Redis.from_url(
                url,
                **options,
                protocol=2,
                socket_timeout=config.timeout_ms / 1000,
                socket_connect_timeout=config.timeout_ms / 1000,
                retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
            )
        except ValueError:
            raise ConfigError(f"store.url is {self.where}; give one like redis://host:6379/0") from None
        self._scripts = {name: self.client.register_script(_source(name)) for name in _SCRIPTS}

    def key(self, *parts: object) -> str:
        """A key of this store.

        >>> Connection(StoreConfig(kind="redis")).key(3, "info")
        'rosa:3:info'
        """
        return ":".join(map(str, (self.namespace, *parts)))

    def run(self, script: str, *arguments: Argument) -> list[Any]:
        """Run a script; returns what follows its `ok`.

        Raises:
            StoreError: the script refused, or the server failed.
        """
        with self.guard():
            answer = self._scripts[script](keys=[self.namespace], args=[SCHEMA_VERSION, *arguments])
        if answer[0] in (b"missing", b"schema"):
            self.refuse(answer)
        if answer[0] == b"overflow":
            raise overflowing(self.where, answer[1].decode())
        return list(answer)

    def refuse(self, answer: Sequence[Any]) -> NoReturn:
        """Raise the error of a store that is missing or of another schema version."""
        if answer[0] == b"missing":
            raise StoreMissingError(
                f"store {self.where}: holds nothing under namespace '{self.namespace}'; fill it with `rosa materialize`"
            )
        raise StoreError(
            f"store {self.where}: has schema version {answer[1].decode()}, this code needs {SCHEMA_VERSION}; "
            "give another store.namespace and run `rosa materialize`"
        )

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn errors of the client into errors of the store."""
        try:
            yield
        except redis.RedisError as error:
            raise StoreError(f"store {self.where}: {self._explain(error)}") from None

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self.client.connection_pool.disconnect()

    def _explain(self, error: redis.RedisError) -> str:
        text = " ".join(str(error).split())
        denied = (redis.AuthenticationError, redis.exceptions.AuthorizationError, redis.exceptions.NoPermissionError)
        if isinstance(error, denied) or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
            return "refuses the user or password of store.url; give the right ones"
        if isinstance(error, redis.BusyLoadingError):
            return "is still loading its data; try again"
        if isinstance(error, redis.TimeoutError):
            return f"did not answer within {self._timeout_ms} ms; try again, or raise store.timeout_ms"
        if isinstance(error, redis.ConnectionError) and "SSL" in text:
            return f"cannot be reached by TLS ({_ssl_reason(text)}); correct store.url, store.tls_ca or store.tls_cert"
        if isinstance(error, redis.ConnectionError):
            return "cannot be reached; start the server or correct store.url"
        if isinstance(error, redis.OutOfMemoryError) or "OOM" in text:
            return "is out of memory; raise its maxmemory or lower store.max_timeline_events"
        if isinstance(error, redis.ReadOnlyError) or "READONLY" in text:
            return "is a read-only replica; give the primary in store.url"
        if "WRONGTYPE" in text:
            return f"holds data of another program under namespace '{self.namespace}'; give another store.namespace"
        return f"failed: {text}"


def location_of(url: str) -> str:
    """A server's address without user, password and options.

    >>> location_of("redis://ann:secret@host:6379/0?timeout=1")
    'redis://host:6379/0'
    """
    parts = urlsplit(url)
    return f"{parts.scheme or '?'}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _password_of(config: StoreConfig) -> dict[str, str]:
    if not config.password_env:
        return {}
    if config.password_env not in os.environ:
        raise ConfigError(f"store.password_env is '{config.password_env}', which is not in the environment")
    return {"password": os.environ[config.password_env]}


def _tls_of(config: StoreConfig) -> dict[str, Any]:
    files_of = {"tls_ca": "ssl_ca_certs", "tls_cert": "ssl_certfile", "tls_key": "ssl_keyfile"}
    given = {name: getattr(config, name) for name in files_of if getattr(config, name)}
    for name, path in given.items():
        if not config.url.startswith("rediss://"):
            raise ConfigError(f"store.{name} is given and store.url is not rediss://; give both or neither")
        if not Path(path).is_file():
            raise ConfigError(f"store.{name} is '{path}', which is no file")
    if len({"tls_cert", "tls_key"} & {*given}) == 1:
        raise ConfigError("store.tls_cert and store.tls_key belong together; give both or neither")
    return {files_of[name]: path for name, path in given.items()}


def _ssl_reason(text: str) -> str:
    """What the TLS library says, without the numbers and the place in its source."""
    found = re.search(r"\[SSL[^]]*\] ([^(]*)", text)
    return found[1].strip() if found else "the connection was closed"


@cache
def _source(script: str) -> str:
    folder = files(__package__) / "scripts"
    return "\n".join((folder / f"{name}.lua").read_text() for name in (*_SCRIPTS[script], script))
