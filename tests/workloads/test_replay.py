"""The HTTP target of `rosa replay`: what failed is counted, and the first failure is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from workloads.replay import HttpSink


class Refusing(BaseHTTPRequestHandler):
    """A service that is healthy and refuses every ranking."""

    def do_GET(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(422, {"detail": "context.time is ahead"})

    def log_message(self, *_: object) -> None: ...

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/problem+json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_first_ranking_that_failed_is_told_with_its_reason(url: str) -> None:
    sink = HttpSink(url)
    assert not any(sink.rank({"context": {"time": time}}) for time in ("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"))
    sink.close()
    assert sink.first_failure == "2030-01-01T00:00:00Z: 422, context.time is ahead"
