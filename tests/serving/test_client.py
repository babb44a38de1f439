"""The client and the latency measurement, against a local server that answers by script."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rosa_ray.errors import ServingError
from rosa_ray.serving.client import RankingClient, measure_latency


class Scripted(ThreadingHTTPServer):
    """Answers every ranking, but not while it is `down`."""

    down = False
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def do_GET(self) -> None:
        self.answer({"model_version": "m"})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer({"degraded": [], "sent": sent})

    def answer(self, body: dict) -> None:
        status, kind = 200, "application/json"
        if self.server.down:
            status, kind = 503, "application/problem+json"
            faults = [{"pointer": "/a", "reason": "is wrong"}]
            body = {"status": 503, "detail": "no model is loaded", "errors": faults}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: Scripted) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_bodies_have_only_what_was_given(server: Scripted) -> None:
    with RankingClient(url(server)) as client:
        assert client.rank("u1")["sent"] == {"user_id": "u1"}
        assert client.rank("u1", ["a"], top_k=3)["sent"] == {"user_id": "u1", "candidates": ["a"], "top_k": 3}
        assert client.post_events([{"event_id": "e"}])["sent"] == {"events": [{"event_id": "e"}]}


def test_a_refusal_is_one_line_with_its_reasons(server: Scripted) -> None:
    server.down = True
    with RankingClient(url(server)) as client:
        with pytest.raises(ServingError, match="answered 503: no model is loaded; /a is wrong"):
            client.rank("u1")
        with pytest.raises(ServingError, match=r"was not ready after 0\.3 s: .*no model is loaded"):
            client.wait_until_ready(0.3)


def test_nobody_there_is_one_line() -> None:
    with (
        RankingClient("http://127.0.0.1:9") as client,
        pytest.raises(ServingError, match="did not answer: ConnectError"),
    ):
        client.model()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_latency_counts_what_was_sent(server: Scripted, concurrency: int) -> None:
    report = measure_latency(url(server), [{"user_id": "u1", "candidates": ["a", "b"]}], 20, concurrency)
    assert (report.requests, report.failed, report.candidates, report.degraded) == (20, 0, 2, 0)
    assert 0 < report.p50_ms <= report.p99_ms


def test_latency_of_a_service_that_answers_nothing_is_an_error(server: Scripted) -> None:
    server.down = True
    with pytest.raises(ServingError, match="none of 4 requests was answered"):
        measure_latency(url(server), [{"user_id": "u1"}], 4)
