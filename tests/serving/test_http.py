"""Everything that is refused, and how: problem documents that repeat nothing of the request."""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rosa_ray.features import counting_fingerprint
from rosa_ray.serving.http import create_app
from rosa_ray.serving.service import RankingService
from tests.serving.client import LocalClient
from tests.serving.conftest import World

SECRET = "s3cr3t"  # pragma: allowlist secret
EVENT = {"event_id": "x1", "user_id": "u1", "item_id": "i1", "behavior": "view", "event_time": "2023-11-20T00:00:00Z"}


def require_problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    return body


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": 7},
        {"user_id": 5},
        {"user_id": "u1", "context": {"columns": {"placement": "top"}}},
        {"user_id": ""},
        {"user_id": SECRET * 100},
        {"user_id": "u1", "candidates": []},
        {"user_id": "u1", "candidates": SECRET},
        {"user_id": "u1", "candidates": [7]},
        {"user_id": "u1", "candidates": [None]},
        {"user_id": "u1", "candidates": ["a1", "a1"]},
        {"user_id": "u1", "candidates": [SECRET]},
        {"user_id": "u1", "candidates": [{"bid": 1.0}]},
        {"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": "0.1"}]},
        {"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": 0}]},
        {"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": -1}]},
        {"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": True}]},
        {"user_id": "u1", "candidates": [{"ad_id": "a1", SECRET: 1}]},
        {"user_id": "u1", SECRET: SECRET},
        {"user_id": "u1", "top_k": 0},
        {"user_id": "u1", "top_k": 1.5},
        {"user_id": "u1", "top_k": "3"},
        {"user_id": "u1", "explain": "yes"},
        {"user_id": "u1", "context": SECRET},
        {"user_id": "u1", "context": {"time": 5}},
        {"user_id": "u1", "context": {"time": "2023-11-20"}},
        {"user_id": "u1", "context": {"time": "2023-11-20T10:00:00"}},
        {"user_id": "u1", "context": {"time": "2023-13-20T10:00:00Z"}},
        {"user_id": "u1", "context": {"time": "2999-01-01T10:00:00Z"}},
        {"user_id": "\ud800"},
        [SECRET],
        SECRET,
        None,
    ],
)
def test_a_wrong_rank_body_is_422(client: LocalClient, body: object) -> None:
    require_problem(client.post("/rank", json=body), 422)


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": None},
        {"behavior": SECRET},
        {"behavior": 1},
        {"event_time": "yesterday"},
        {"event_time": "1980-01-01T00:00:00Z"},
        {"price": -1},
        {"price": 1e300},
        {"item_id": ""},
    ],
)
def test_a_wrong_event_is_422_and_207_beside_others(client: LocalClient, change: dict) -> None:
    wrong = {**EVENT, **change}
    require_problem(client.post("/events", json=wrong), 422)
    answer = client.post("/events", json={"events": [EVENT, wrong]})
    assert (answer.status_code, answer.json()["accepted"]) == (207, 1)
    assert SECRET not in answer.text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_422(client: LocalClient, number: str) -> None:
    rank = json.dumps({"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": 0.5}]}).replace("0.5", number)
    event = json.dumps(EVENT)[:-1] + f', "price": {number}}}'
    headers = {"content-type": "application/json"}
    require_problem(client.post("/rank", content=rank, headers=headers), 422)
    require_problem(client.post("/events", content=event, headers=headers), 422)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"user_id": "u1"', b"[" * 100_000, b"9" * 5000])
def test_a_body_that_is_not_json_is_4xx(client: LocalClient, content: bytes) -> None:
    answer = client.post("/rank", content=content, headers={"content-type": "application/json"})
    require_problem(answer, 400 if answer.status_code == 400 else 422)


def test_an_error_points_to_its_field(client: LocalClient) -> None:
    body = client.post("/rank", json={"user_id": "u1", "candidates": ["a1", {"ad_id": "a2", "bid": "x"}]}).json()
    assert [fault["pointer"] for fault in body["errors"]] == ["/candidates/1/bid"]


def test_a_large_body_is_413_declared_or_not(client: LocalClient) -> None:
    large = json.dumps({"user_id": "u1", "candidates": [SECRET * 30] * 10_000}).encode()
    headers = {"content-type": "application/json"}
    require_problem(client.post("/rank", content=large, headers=headers), 413)
    require_problem(client.post("/rank", content=b"{}", headers={**headers, "content-length": "9" * 5000}), 413)


def test_too_many_candidates_or_events_are_422(world: World, store_path: str) -> None:
    scorer = world.scorer(store_path, max_candidates=3, max_batch_events=2)
    client = LocalClient(create_app(RankingService(scorer)))
    require_problem(client.post("/rank", json={"user_id": "u1", "candidates": ["a1", "a2", "a3", "a4"]}), 422)
    passed = client.post("/rank", json={"user_id": "u1"}).json()
    assert (passed["first_pass"]["eligible"], passed["first_pass"]["ranked"], len(passed["ads"])) == (30, 3, 3)
    require_problem(client.post("/events", json={"events": [EVENT] * 3}), 422)


def test_unknown_paths_and_methods_are_problems(client: LocalClient) -> None:
    require_problem(client.get(f"/{SECRET}"), 404)
    answer = client.get("/rank")
    require_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_a_bug_is_500_without_a_word_about_it(scorer, client: LocalClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(scorer, "rank", broken)
    require_problem(client.post("/rank", json={"user_id": "u1"}), 500)


def test_ready_and_model_tell_versions(world: World, client: LocalClient) -> None:
    ready, model = client.get("/readyz").json(), client.get("/model").json()
    assert ready["model_version"] == ready["encoder"]["model_version"] == model["model_version"] == world.model.version
    assert ready["store"]["version"]["counting_fingerprint"] == counting_fingerprint(world.model.features.config)
    assert ready["store"]["model_version"] == model["model_version"]
    assert model["metrics"] == {"auc": 0.7}


def test_openapi_has_examples_that_are_accepted(client: LocalClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for example in schemas["RankRequest"]["examples"]:
        answer = client.post("/rank", json={**example, "candidates": ["a1"]})
        assert answer.status_code == 200, answer.text
    examples = document["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == {"event", "impression", "click", "conversion", "profile", "item", "ad", "batch"}
    for example in examples.values():
        assert client.post("/events", json=example["value"]).status_code == 200
    assert client.get("/docs").status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["user_id", "candidates", "context", "top_k", "explain", "events", "event_id", "item_id", "behavior", "event_time"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(["/rank", "/events"]), body=st.dictionaries(fields, json_values, max_size=5) | json_values)
def test_no_body_makes_the_service_fail(client: LocalClient, path: str, body: object) -> None:
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_pages_load_nothing_from_elsewhere(client: LocalClient, page: str) -> None:
    text = client.get(page).text
    loaded = re.findall(r"""(?:src|href|url)(?:=|: )["']([^"']+)["']""", text)
    assert len(loaded) >= 2
    for path in loaded:
        assert path.startswith("/"), path
        assert client.get(path).status_code == 200
