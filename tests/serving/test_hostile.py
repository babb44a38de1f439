"""Bodies and headers that mean harm: each is answered 4xx, as a problem document, and the service goes on."""

import asyncio
import time
from typing import Any

import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.writers import Writers, open_to_writers, open_writers, writer_headers
from tests.serving.client import LocalClient
from tests.serving.conftest import World, client_of
from tests.serving.hostile import ANYWHERE, BATCHES, EVENT, RANKS, RECORDS

JSON = {"content-type": "application/json"}


def require_4xx(answer: Any) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert "Traceback" not in answer.text


def test_there_are_more_than_the_176_that_were_tried() -> None:
    assert 2 * len(ANYWHERE) + len(RANKS) + len(RECORDS) + len(BATCHES) > 176


@pytest.mark.parametrize("path", ["/rank", "/events"])
def test_what_is_no_request_is_4xx(client: LocalClient, path: str) -> None:
    for content in ANYWHERE:
        require_4xx(client.post(path, content=content, headers=JSON))
    require_4xx(client.post(path, content=b"x" * 1_000_001, headers=JSON))


def test_a_hostile_request_is_4xx(client: LocalClient) -> None:
    for body in RANKS:
        require_4xx(client.post("/rank", content=body.encode(), headers=JSON))


def test_a_hostile_record_is_4xx_and_named_in_a_batch(client: LocalClient) -> None:
    for number, record in enumerate(RECORDS):
        require_4xx(client.post("/events", json=record))
        answer = client.post("/events", json={"events": [record, {**EVENT, "event_id": f"good-{number}"}]})
        assert answer.status_code == 207, record
        assert [one["index"] for one in answer.json()["rejected"]] == [0]
    for batch in BATCHES:
        require_4xx(client.post("/events", json=batch))


HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-request-id", b"\xff\xfe"),
    (b"x-request-id", b""),
    (b"x-request-id", b"a" * 5000),
    (b"x-request-id", b"a\tb <script>"),
    (b"content-type", b"application/json; charset=\xff"),
    (b"content-type", b"text/html"),
    (b"content-type", b""),
    (b"content-length", b"-1"),
    (b"content-length", b"1e3"),
    (b"authorization", b"Bearer \xff\xfe"),
    (b"authorization", b"Basic " + b"A" * 9000),
    (b"accept", b"\xff/\xff"),
    (b"cookie", b"\x80" * 100),
    (b"host", b"\xff"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_no_header_makes_the_service_fail(client: LocalClient, name: bytes, value: bytes) -> None:
    headers = [(b"content-type", b"application/json")] if name != b"content-type" else []
    answer = client.post("/rank", content=b'{"user_id": "u1"}', headers=[*headers, (name, value)])
    assert answer.status_code < 500
    if answer.status_code == 200:
        assert answer.json()["request_id"].isascii()


def test_the_service_still_answers(client: LocalClient) -> None:
    assert client.post("/rank", json={"user_id": "u1"}).status_code == 200


TOKENS = "token-of-writer-1 token-of-writer-2"  # pragma: allowlist secret


@pytest.fixture
def guarded(world: World, store_path, monkeypatch: pytest.MonkeyPatch) -> LocalClient:
    monkeypatch.setenv("WRITERS", TOKENS)
    return client_of(world.scorer(store_path, write_tokens="env:WRITERS"))


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer no-token-of-mine", f"Bearer {TOKENS}", "Basic x", TOKENS]
)
def test_writing_without_a_token_is_401_before_the_body_is_read(
    guarded: LocalClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    for path in ("/events", "/ads"):
        answer = guarded.post(path, content=b"x" * 2_000_000, headers=headers)
        require_4xx(answer)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert guarded.post("/rank", json={"user_id": "u1"}).status_code == 200


@pytest.mark.parametrize("token", TOKENS.split())
def test_each_token_lets_its_writer_in(guarded: LocalClient, token: str) -> None:
    answer = guarded.post("/events", json=EVENT, headers={"authorization": f"bearer {token}"})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)


def test_tokens_come_from_a_variable_or_a_file_and_never_from_the_config(tmp_path) -> None:
    (tmp_path / "tokens").write_text("a-token-of-sixteen\n\nanother-token-of-it\n")
    assert len(open_writers(f"file:{tmp_path}/tokens").digests or ()) == 2
    assert open_writers("") == Writers(None)
    for wrong in ("a-token-of-sixteen", "env:", "file:", "file:tokens", "{env:WRITERS}"):
        with pytest.raises(ConfigError, match=r"serving\.write_tokens must be env:NAME") as refused:
            ServingConfig(write_tokens=wrong)
        assert wrong not in str(refused.value).replace("env:NAME", "").replace("file:/ABSOLUTE/PATH", "")
    for wrong in (f"file:{tmp_path}/nothing", "env:NO_SUCH_VARIABLE"):
        with pytest.raises(ConfigError, match=r"serving\.write_tokens"):
            open_writers(wrong)
    (tmp_path / "short").write_text("short")
    with pytest.raises(ConfigError, match="a token of fewer than 16 characters"):
        open_writers(f"file:{tmp_path}/short")


def test_own_clients_send_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRITERS", TOKENS)
    assert writer_headers("env:WRITERS") == {"Authorization": "Bearer token-of-writer-1"}
    assert writer_headers("") == {}


def test_a_service_that_all_can_reach_says_that_all_can_write() -> None:
    assert open_to_writers("127.0.0.1", "", "u") == open_to_writers("0.0.0.0", "env:A", "u") == ""
    said = open_to_writers("0.0.0.0", "", "http://a:1")
    assert said.startswith("http://a:1 takes events from everyone who reaches it; set serving.write_tokens")


def test_a_body_that_does_not_end_is_408(world: World, store_path) -> None:
    client = client_of(world.scorer(store_path, client_timeout_ms=50))

    async def endless():
        yield b'{"user_id": '
        await asyncio.sleep(5)

    started_s = time.monotonic()
    answer = client.post("/rank", content=endless(), headers=JSON)
    require_4xx(answer)
    assert answer.status_code == 408
    assert time.monotonic() - started_s < 3


def test_an_answer_that_takes_too_long_is_503(
    scorer: HybridScorer, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: object) -> dict[str, Any]:
        await asyncio.sleep(20)
        return {}

    monkeypatch.setattr(scorer, "config", ServingConfig(request_timeout_ms=100))
    monkeypatch.setattr(scorer, "rank", slow)
    started_s = time.monotonic()
    answer = client_of(scorer).post("/rank", json={"user_id": "u1"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["detail"] == "the service did not answer in time; send the request again"
    assert time.monotonic() - started_s < 5
