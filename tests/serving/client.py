"""An HTTP client that calls an ASGI app in process."""

import asyncio
from json import dumps
from typing import Any

import httpx
from fastapi import FastAPI

_JSON = {"content-type": "application/json"}


class LocalClient:
    """Sends each request to the app on a fresh event loop; errors of the app are answers, as on the wire."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        """Send a body as it stands in `content`, or JSON in ASCII, which can also spell broken Unicode."""
        if "content" not in options:
            options |= {"content": dumps(json), "headers": {**_JSON, **options.get("headers", {})}}
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, options))

    async def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **options)
