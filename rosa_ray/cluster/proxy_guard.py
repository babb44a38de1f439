"""Stands before HAProxy: closes the doors that Ray Serve's config leaves open, then becomes HAProxy.

Ray starts it in place of HAProxy (`RAY_SERVE_HAPROXY_BINARY_PATH`), with the config that it has just written. The guard
rewrites that file and replaces its own process by HAProxy's. It needs the standard library alone and is run by path, so
that a reload of HAProxy waits for nothing else.
"""

import json
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from pathlib import Path

LIMITS_FILE = "limits.json"
"""Lies two folders above the config, where a local service writes it."""
MARK = "# Guarded: statistics and the admin socket are closed, requests are buffered, slow clients are timed out.\n"
PROBLEMS = {
    400: "the request is not HTTP, or its headers are too many or too long",
    408: "the request did not arrive in time",
    413: "the body is too large",
    503: "no replica can answer; retry later",
}
"""What HAProxy itself answers; each is a problem document, as the service's own."""
REQUEST_ID = "^[A-Za-z0-9_.:-]{1,128}$"
"""A request id that is kept. Serve fails on one that is not UTF-8; without one the service makes its own."""
SERVES_HEADERS = (
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "x-session-id",
    "serve_multiplexed_model_id",
    "serve-multiplexed-model-id",
)
"""Headers by which any client could change how Serve treats its request: they end at the proxy."""


@dataclass(frozen=True)
class Limits:
    """What a client may ask of the proxy.

    Attributes:
        client_timeout_ms: in which a whole request must arrive, and longest silence of a client that is answered.
        max_body_bytes: bodies up to this are buffered whole before a replica hears of them; larger ones are refused.
        server_timeout_ms: silence of a replica after which it is answered for; Serve's own timeout comes before.
        retry_after_s: what Retry-After says with 503.
        replica_requests: requests that a replica is handed at once; more wait in the proxy.
        queued_requests: requests that wait for each replica; more are answered 503 at once.
        queue_timeout_ms: a request that waits longer is answered 503.
    """

    client_timeout_ms: int = 10_000
    max_body_bytes: int = 1_000_000
    server_timeout_ms: int = 10_000
    retry_after_s: int = 1
    replica_requests: int = 16
    queued_requests: int = 100
    queue_timeout_ms: int = 1_000

    @classmethod
    def read(cls, folder: Path, environment: Mapping[str, str]) -> "Limits":
        """The defaults, under what the folder's file says, under `ROSA_PROXY_CLIENT_TIMEOUT_MS` and the like."""
        told: dict[str, object] = {}
        try:
            told = json.loads((folder / LIMITS_FILE).read_text())
        except FileNotFoundError:
            pass
        names = {field.name: f"ROSA_PROXY_{field.name.upper()}" for field in fields(cls)}
        told |= {name: environment[variable] for name, variable in names.items() if variable in environment}
        return replace(cls(), **{name: int(str(value)) for name, value in told.items() if name in names})


class UnknownConfig(Exception):
    """Ray wrote a config that the guard does not know, so that it cannot tell whether the doors are closed."""


def guarded(config: str, folder: Path, limits: Limits) -> str:
    """Return Ray's config with its doors closed.

    Statistics and metrics are served on Unix sockets in the folder instead of ports on all addresses. The admin socket
    is the owner's alone. A request is buffered whole before a replica's slot is taken. Where no route is known yet, the
    answer is 503: an application that is about to come is not one that does not exist. So is it where Serve found no
    replica in time, which it calls 408. A replica is handed what it can work on at once, and the others wait here: a
    refusal of the proxy costs next to nothing, one of a replica a request.

    Args:
        config: as Ray's template gives it; one that is guarded already stays as it is.
        folder: of the config.

    Raises:
        UnknownConfig: a line that has to be changed is not there.
    """
    if config.startswith(MARK):
        return config
    buffer_bytes = limits.max_body_bytes + 65_536
    changes: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
        (r"(stats socket \S+) mode \d+ ", r"\1 mode 600 "),
        (r"(?<=\nfrontend prometheus\n)    bind \S+", f"    bind unix@{folder}/prometheus.sock mode 600"),
        (r"(?<=\nlisten stats\n)  bind \S+", f"  bind unix@{folder}/stats.sock mode 600"),
        (r"(?<=\n)    tune\.bufsize \d+", f"    tune.bufsize {buffer_bytes}"),
        (r"\n    timeout client \d+s", f"\n    timeout client {limits.client_timeout_ms}ms"),
        (r"\n    errorfile 50[234] \S+(?=\n)", ""),
        (r"(?<=\ndefaults\n    mode http\n)", _defaults(folder, limits, "\n    timeout server " in config)),
        (r"(?<=\nfrontend http_frontend\n)(    bind \S+\n)", lambda bind: bind[1] + _checks(limits) + _LATE_REPLICA),
    ]
    for pattern, text in changes:
        config, count = re.subn(pattern, text, config)
        if not count:
            raise UnknownConfig(pattern)
    waiting = rf"\1 maxconn {limits.replica_requests} maxqueue {limits.queued_requests}"
    config = re.sub(r"(\n    server \S+ \S+:\d+ check)(?= |\n)", waiting, config)
    if not re.search(r"\n    use_backend ", config):
        config = re.sub(r"(?<=\nbackend default_backend\n)    http-request return .*", _NO_ROUTE, config)
    return MARK + config


_NO_ROUTE = "    http-request deny deny_status 503"
_LATE_REPLICA = "    http-response return status 503 default-errorfiles if { status 408 }\n"
"""The client's own lateness is answered here. A 408 of Serve means that no replica took the request in time."""


def _defaults(folder: Path, limits: Limits, has_server_timeout: bool) -> str:
    answers = {**{status: status for status in PROBLEMS}, 502: 503, 504: 503}
    lines = [
        "option http-buffer-request",
        f"timeout http-request {limits.client_timeout_ms}ms",
        f"timeout queue {limits.queue_timeout_ms}ms",
        *([] if has_server_timeout else [f"timeout server {limits.server_timeout_ms}ms"]),
        *(f"errorfile {status} {folder}/{file}.http" for status, file in sorted(answers.items())),
    ]
    return "".join(f"    {line}\n" for line in lines)


def _checks(limits: Limits) -> str:
    lines = [
        f"deny deny_status 413 if {{ req.body_size gt {limits.max_body_bytes} }}",
        f"del-header x-request-id if !{{ req.fhdr(x-request-id) -m reg {REQUEST_ID} }}",
        *(f"del-header {name}" for name in SERVES_HEADERS),
    ]
    return "".join(f"    http-request {line}\n" for line in lines)


def problem_answer(status: int, limits: Limits) -> str:
    """Return a problem document as the bytes that HAProxy sends.

    >>> print(problem_answer(408, Limits()).splitlines()[0])
    HTTP/1.1 408 Request Timeout
    """
    title = HTTPStatus(status).phrase
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": PROBLEMS[status]})
    head = [
        f"HTTP/1.1 {status} {title}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-cache",
        "Connection: close",
        *([f"Retry-After: {limits.retry_after_s}"] if status == 503 else []),
    ]
    return "\r\n".join([*head, "", body])


def guard_file(path: Path, environment: Mapping[str, str]) -> None:
    """Rewrite a config in place, with the answers that it names beside it.

    Raises:
        UnknownConfig: a line that has to be changed is not there.
        OSError: the folder cannot be written.
    """
    folder = path.parent
    limits = Limits.read(folder.parent, environment)
    folder.chmod(stat.S_IRWXU)
    for status in PROBLEMS:
        (folder / f"{status}.http").write_text(problem_answer(status, limits), newline="")
    config = guarded(path.read_text(), folder, limits)
    beside = path.with_name(path.name + ".guarded")
    beside.write_text(config)
    beside.replace(path)


def main(binary: str, arguments: list[str]) -> None:
    """Guard the config that HAProxy's arguments name after `-f`, and become HAProxy."""
    if "-f" in arguments:
        path = Path(arguments[arguments.index("-f") + 1])
        try:
            guard_file(path, os.environ)
        except UnknownConfig as error:
            sys.exit(
                f"{path}: this Ray writes a config of HAProxy that the guard does not know: no line {error}. "
                "Install the Ray version of requirements.lock"
            )
        except (OSError, ValueError) as error:
            sys.exit(f"{path}: the guard cannot write beside it: {error}")
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
