"""Bodies and headers that mean harm: each is answered 4xx, as a problem document, and the service goes on."""

import asyncio
import json
import time
from typing import Any

import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.writers import Writers, open_to_writers, open_writers
from tests.serving.client import LocalClient
from tests.serving.conftest import World, client_of

JSON = {"content-type": "application/json"}
USER = '{"user_id": "u1", "candidates": ["a1"]'
EVENT = {"event_id": "h1", "user_id": "u1", "item_id": "i1", "behavior": "view", "event_time": "2023-11-20T00:00:00Z"}

ANYWHERE: list[bytes] = [
    *(b"", b" ", b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"null", b"true", b"0", b"-1", b"1e999", b'""', b"[]"),
    *(b"{", b"}", b"[", b"{{}}", b"[[]]", b'{"a"}', b'{"a":}', b"{,}", b"{'user_id': 'u1'}", b'{"user_id": "u1",}'),
    *(b"[" * 200_000, b'{"a":' * 100_000, b"9" * 100_000, b'"' + b"x" * 500_000, b'{"user_id": NaN}', b"NaN"),
    *(b"\x1f\x8b\x08\x00" + b"\x00" * 64, b"PK\x03\x04", b"<?xml version='1.0'?><a/>", b"user_id=u1", b"\r\n\r\n"),
    *(b'{"user_id": "\\ud800"}', b'{"user_id": "\xc3\x28"}', '{"user": 1}'.encode("utf-16"), b"{}//", b"/*x*/{}"),
]
RANKS: list[str] = [
    *(f"{USER}, {more}}}" for more in (
        '"top_k": -1', '"top_k": 0', '"top_k": 1e308', '"top_k": 99999999999999999999', '"top_k": true', '"top_k": "1"',
        '"top_k": [1]', '"explain": 1', '"explain": null', '"explain": "true"', '"context": []', '"context": "x"',
        '"context": {"time": 0}', '"context": {"time": ""}', '"context": {"time": "0000-00-00T00:00:00Z"}',
        '"context": {"time": "2023-02-30T00:00:00Z"}', '"context": {"time": "1989-12-31T23:59:59Z"}',
        '"context": {"time": "2100-01-01T00:00:00Z"}', '"context": {"time": "9999-12-31T23:59:59Z"}',
        '"context": {"time": "2023-11-20T00:00:00+99:99"}', '"context": {"time": "2023-11-20T24:00:01Z"}',
        '"context": {"time": "٢٠٢٣-11-20T00:00:00Z"}', '"context": {"device": 1}', '"context": {"device": ""}',
        '"context": {"region": {}}', '"context": {"columns": []}', '"context": {"columns": {"x": {"y": 1}}}',
        '"context": {"columns": {"__proto__": 1}}', '"context": {"__class__": "x"}', '"__class__": "x"', '"user": "u2"',
        '"": 1', '"\\u0000": 1', '"constructor": {"prototype": {}}', '"$where": "1"', '"lambda": 0',
    )),
    *(f'{{"user_id": "u1", "candidates": {some}}}' for some in (
        "[]", "{}", "0", '"a1"', "[[]]", "[{}]", "[1]", "[null]", '[""]', '["a1", "a1"]', '[{"ad_id": "a1"}, "a1"]',
        '[{"ad_id": "a1", "bid": 0}]', '[{"ad_id": "a1", "bid": -1e-9}]', '[{"ad_id": "a1", "bid": 4e-7}]',
        '[{"ad_id": "a1", "bid": 1e7}]', '[{"ad_id": "a1", "bid": 1e999}]', '[{"ad_id": "a1", "bid": NaN}]',
        '[{"ad_id": "a1", "bid": "1"}]', '[{"ad_id": "a1", "bid": []}]', '[{"ad_id": ["a1"]}]', '[{"ad": "a1"}]',
        json.dumps(["a1\u0000"]), json.dumps(["x" * 257]), json.dumps([f"a{number}" for number in range(5001)]),
        json.dumps(["' OR 1=1 --"]), json.dumps(["../../etc/passwd"]), json.dumps(["${jndi:ldap://x}"]),
    )),
    *(f'{{"user_id": {user}, "candidates": ["a1"]}}' for user in (
        "0", "1.5", "true", "[]", "{}", '""', json.dumps("x" * 257), '"\\udfff"', "-0", '["u1"]', '{"$ne": null}',
    )),
]
RECORDS: list[dict[str, Any]] = [
    *({**EVENT, **change} for change in (
        {"event_id": ""}, {"event_id": None}, {"event_id": "x" * 257}, {"event_id": []}, {"event_id": True},
        {"user_id": None}, {"user_id": {}}, {"user_id": 1e300}, {"user_id": "\ud800"}, {"item_id": 0.5},
        {"behavior": "explode"}, {"behavior": None}, {"behavior": 7}, {"event_time": None}, {"event_time": ""},
        {"event_time": "now"}, {"event_time": 10**30}, {"event_time": -(2**63)}, {"event_time": "1970-01-01T00:00:00Z"},
        {"event_time": "2023-11-20T00:00:00"}, {"event_time": []}, {"event_time": "x" * 65}, {"price": -0.01},
        {"price": 1e10}, {"price": "1e999"}, {"price": "0x10"}, {"price": "1" * 5000}, {"price": {}},
        {"category": []}, {"type": "visit"}, {"type": None}, {"type": ["event"]}, {"type": "impression"},
    )),
    *({"type": "impression", "impression_id": "m", "user_id": "u1", "ad_id": "a1", "request_time": "2023-11-20T00:00:00Z",
       **change} for change in (
        {"bid": 0}, {"bid": 4e-7}, {"bid": 1e9}, {"cost": -1}, {"cost": 1e10}, {"cost": "NaN!"}, {"position": -1},
        {"position": 2**31}, {"position": 0.5}, {"propensity": 0}, {"propensity": 1.1}, {"ad_id": None}, {"ad_id": ""},
        {"columns": []}, {"columns": {"x": [1]}}, {"device": {}}, {"request_time": "2023-11-20"},
    )),
    *({"type": kind} for kind in ("event", "impression", "click", "conversion", "profile", "item", "ad")),
]  # fmt: skip
BATCHES: list[Any] = [
    *({"events": some} for some in (None, [], {}, "x", 0, [[]], [None], [[EVENT]], [EVENT] * 1001)),
    [EVENT],
    {"events": [], **EVENT},
]  # fmt: skip


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
def test_writing_without_a_token_is_401_before_the_body_is_read(guarded: LocalClient, authorization: str | None) -> None:
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
    for wrong in ("a-token-of-sixteen", "env:", "file:", f"file:{tmp_path}/nothing", "env:NO_SUCH_VARIABLE"):
        with pytest.raises(ConfigError, match=r"serving\.write_tokens"):
            open_writers(wrong)
    (tmp_path / "short").write_text("short")
    with pytest.raises(ConfigError, match="a token of fewer than 16 characters"):
        open_writers(f"file:{tmp_path}/short")


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
