"""The OpenAPI document and the service agree: requests made from it meet no failure and no answer that it lacks."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from rosa_ray.serving.http import create_app
from rosa_ray.serving.service import RankingService
from tests.serving.conftest import World
from tests.serving.test_events import event

EXAMPLES = int(os.environ.get("ROSA_OPENAPI_EXAMPLES", "20"))
"""Cases per path and way of making them; 250 make 2,000 in all."""
POSTS, GETS = ("/rank", "/events", "/ads"), ("/healthz", "/readyz", "/model", "/ads/{ad_id}")
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


TOKEN = "a-token-of-a-writer"  # pragma: allowlist secret


@pytest.fixture(scope="module", params=["", "env:WRITERS"], ids=["open", "tokens"])
def document(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a service that lets everyone write, and of one that asks for tokens."""
    store = Path(shutil.copy(world.store, tmp_path_factory.mktemp("openapi") / "store.db"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WRITERS", TOKEN)
        app = create_app(RankingService(world.scorer(store, write_tokens=request.param)))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def operation(document: Any, path: str) -> Any:
    (found,) = [one.ok() for one in document.get_all_operations() if one.ok().path == path]
    return found


def test_every_path_is_asked(document: Any) -> None:
    assert {one.ok().path for one in document.get_all_operations()} == {*POSTS, *GETS}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", POSTS)
def test_no_body_made_from_the_document_fails(document: Any, path: str, mode: GenerationMode) -> None:
    """Of bodies that fit, some are refused for what no schema can say: ads that there are not, times to come."""
    statuses: Counter[int] = Counter()
    asked = operation(document, path)
    body = asked.definition.raw["requestBody"]["content"]["application/json"]["schema"]
    fits = Draft202012Validator({**body, "components": document.raw_schema["components"]})

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=asked.as_strategy(generation_mode=mode), every_ad=st.booleans())
    def ask(case: Any, every_ad: bool) -> None:
        if path == "/events" and every_ad and mode is GenerationMode.POSITIVE:
            case.body = event(event_id=f"e{statuses.total()}")
        if path == "/rank" and every_ad and mode is GenerationMode.POSITIVE:
            case.body.pop("candidates", None)
        if path == "/ads" and every_ad and mode is GenerationMode.POSITIVE and "ad_id" in case.body:
            case.body = {"ad_id": case.body["ad_id"], "valid_from": None}
        if mode is GenerationMode.POSITIVE and "Authorization" in case.headers:
            case.headers["Authorization"] = f"Bearer {TOKEN}"
        answer = case.call()
        statuses[answer.status_code] += 1
        # A batch whose faulty records are named is answered 207, and its other records are taken. And a part that was
        # made wrong for one of several types may be right for another.
        is_named = answer.status_code == 207 and answer.json()["rejected"]
        excused = [negative_data_rejection] if is_named or fits.is_valid(case.body) else []
        case.validate_response(answer, excluded_checks=[positive_data_acceptance, *excused])

    ask()
    assert statuses.total() >= EXAMPLES
    if mode is GenerationMode.POSITIVE:
        assert statuses[200]


@pytest.mark.parametrize("ad_id", ["a1", "no such ad"])
@pytest.mark.parametrize("path", GETS)
def test_what_is_told_is_as_documented(document: Any, path: str, ad_id: str) -> None:
    case = operation(document, path).Case(path_parameters={"ad_id": ad_id} if "{" in path else {})
    case.validate_response(case.call())
