"""Errors as RFC 9457 problem documents, and the limit on body size.

No body repeats what the client sent, and none holds a stack trace.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rosa_ray.errors import RosaError

MEDIA_TYPE = "application/problem+json"

logger = logging.getLogger(__name__)


class Problem(RosaError):
    """An answer other than 2xx.

    Args:
        status: HTTP status.
        detail: one line for the caller, without anything the caller sent.
        retry_after_s: for 429 and 503.
    """

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, errors: list[dict[str, str]] | None = None
) -> Response:
    """Return a problem document."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Make every error of an app a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_failure)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error.status, error.detail, error.headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(fault) for fault in error.errors()]
    return problem_response(422, "the request does not fit the interface; see errors", errors=faults[:20])


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {404: "there is no such path; see /docs", 405: "this path has other methods; see /docs"}
    detail = details.get(error.status_code, "the request cannot be read")
    return problem_response(error.status_code, detail, error.headers)


async def _on_failure(request: Request, error: Exception) -> Response:
    logger.error("request failed: %s", type(error).__name__)
    return problem_response(500, "the service failed on this request; its log says why")


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    """Where and why, in the names of the interface: field names that the caller made up are left out."""
    kind, path = fault["type"], [str(part) for part in fault["loc"] if part not in _TAGS]
    if kind == "json_invalid":
        return {"pointer": "", "reason": "the body is not JSON"}
    if kind == "extra_forbidden":
        return {"pointer": _pointer(path[1:-1]), "reason": "has a field that the interface does not know"}
    return {"pointer": _pointer(path[1:]), "reason": fault["msg"]}


_TAGS = ("one", "batch", "id", "object", "event", "impression", "click", "conversion")


def _pointer(path: list[str]) -> str:
    return "".join(f"/{part}" for part in path)


class BodyLimit:
    """ASGI middleware that refuses bodies over a size, declared or streamed, with 413."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        body = None if _exceeds(declared, self._max_bytes) else await self._read(receive)
        if body is None:
            detail = f"the body is larger than {self._max_bytes} bytes"
            return await problem_response(413, detail)(scope, receive, send)
        return await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
            if size > self._max_bytes:
                return None
        return b"".join(chunks)


def _exceeds(declared: bytes, max_bytes: int) -> bool:
    return declared.isdigit() and (len(declared) > 18 or int(declared) > max_bytes)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed
