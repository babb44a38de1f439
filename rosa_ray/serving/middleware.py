"""What stands before the paths of the service: who may write, how large and how late a body may be, and a deadline."""

import asyncio
from collections.abc import Callable, Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rosa_ray.serving.writers import Writers

Refuse = Callable[[int, str, dict[str, str]], ASGIApp]
"""Makes an answer of a status, a detail and headers."""


class WriterGate:
    """Refuses writes without a token with 401, before their bodies are read.

    Args:
        writers: who may write.
        paths: that change the store.
        refuse: makes the answer.
    """

    def __init__(self, app: ASGIApp, writers: Writers, paths: Collection[str], refuse: Refuse) -> None:
        self._app, self._writers, self._paths, self._refuse = app, writers, frozenset(paths), refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._paths
        if not guarded or self._writers.admit(dict(scope["headers"]).get(b"authorization", b"")):
            return await self._app(scope, receive, send)
        detail = "writing asks for a token: Authorization: Bearer TOKEN, one of serving.write_tokens"
        return await self._refuse(401, detail, {"WWW-Authenticate": "Bearer"})(scope, receive, send)


class BodyLimit:
    """Refuses bodies over a size, declared or streamed, with 413, and those that take too long with 408.

    Behind the proxy of `rosa serve` both were refused there, before a replica heard of them.

    Args:
        max_bytes: of a body.
        timeout_s: until it has arrived.
        refuse: makes the answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float, refuse: Refuse) -> None:
        self._app, self._max_bytes, self._timeout_s, self._refuse = app, max_bytes, timeout_s, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            async with asyncio.timeout(self._timeout_s):
                body = None if _exceeds(declared, self._max_bytes) else await self._read(receive)
        except TimeoutError:
            close = {"Connection": "close"}
            return await self._refuse(408, "the request did not arrive in time", close)(scope, receive, send)
        if body is None:
            detail = f"the body is larger than {self._max_bytes} bytes"
            return await self._refuse(413, detail, {})(scope, receive, send)
        return await self._app(scope, _receive_from(body, receive), send)

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


class Deadline:
    """Answers 503 for a request that is not answered in time, so that its caller hears it from the service.

    Args:
        timeout_s: from when the body was read.
        retry_after_s: what Retry-After says.
        refuse: makes the answer.
    """

    def __init__(self, app: ASGIApp, timeout_s: float, retry_after_s: int, refuse: Refuse) -> None:
        self._app, self._timeout_s, self._retry_after_s, self._refuse = app, timeout_s, retry_after_s, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._timeout_s) as timer:
                await self._app(scope, receive, send_on)
        except TimeoutError:
            if started or not timer.expired():
                raise
            detail = "the service did not answer in time; send the request again"
            headers = {"Retry-After": str(self._retry_after_s)}
            await self._refuse(503, detail, headers)(scope, receive, send)


def _exceeds(declared: bytes, max_bytes: int) -> bool:
    return declared.isdigit() and (len(declared) > 18 or int(declared) > max_bytes)


def _receive_from(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what the client sends after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_next() -> Message:
        return pending.pop() if pending else await receive()

    return receive_next
