"""The HTTP interface: a FastAPI app around one ranking service.

Errors are answered as RFC 9457 problem documents. None repeats what the client sent, and none holds a stack trace.
"""

import logging
import re
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from rosa_ray import __version__
from rosa_ray.records import AD_CHANGES, EXAMPLES
from rosa_ray.records.parse import MALFORMED
from rosa_ray.serving.api import (
    AdResponse,
    AdsIn,
    EventsIn,
    EventsResponse,
    Problem,
    ProblemBody,
    RankRequest,
    RankResponse,
)
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.middleware import BodyLimit, Deadline, WriterGate
from rosa_ray.serving.service import RankingService
from rosa_ray.serving.writers import open_writers

MEDIA_TYPE = "application/problem+json"

logger = logging.getLogger(__name__)

WRITING_PATHS = ("/events", "/ads")
"""Paths whose requests change the store: they ask for a token where `serving.write_tokens` says so."""

_WRITER = HTTPBearer(auto_error=False, description="a token of `serving.write_tokens`, where it is set")
_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)

_TAGS = ("id", "object")
"""Steps of a pydantic path that are names of union members, not of fields."""

_EVENT_EXAMPLES: Any = {
    **{name: {"summary": f"one {name}", "value": value} for name, value in EXAMPLES.items()},
    "batch": {"summary": "a batch", "value": {"events": list(EXAMPLES.values())}},
}


_AD_EXAMPLES: Any = {
    "new": {"summary": "a new ad", "value": {name: value for name, value in EXAMPLES["ad"].items() if name != "type"}},
    "changes": {"summary": "a pause and a price", "value": {"ads": AD_CHANGES}},
}

_ALL_READ = "every record could be read; `rejected` names those that could not be stored, with the reason"
_PARTLY_READ = "some records are malformed and named in `rejected`; the others are as with 200"
_NONE_READ = "every record is malformed, see `rejected`; or the body is no record and no batch"


def create_app(service: RankingService) -> FastAPI:
    """Build the app. Its pages at `/docs` and `/redoc` load nothing from elsewhere.

    Args:
        service: answers the requests.
    """
    app = FastAPIOffline(
        title="ROSA-Rec",
        version=__version__,
        summary="Rank ads by expected return on investment; post events and see them in the next ranking.",
    )
    install_problems(app)
    _add_limits(app, service.config)
    _add_ranking(app, service)
    _add_ads(app, service)
    _add_condition(app, service)
    return app


def _add_limits(app: FastAPI, config: ServingConfig) -> None:
    """The one added last stands first: writers, then bodies, then the time that an answer may take."""
    # Ray Serve gives up at the whole time, with a line of its own.
    answer_s = 0.9 * config.request_timeout_ms / 1000
    body_s, retry_after_s = config.client_timeout_ms / 1000, config.retry_after_s
    app.add_middleware(Deadline, timeout_s=answer_s, retry_after_s=retry_after_s, refuse=problem_response)
    app.add_middleware(BodyLimit, max_bytes=config.max_body_bytes, timeout_s=body_s, refuse=problem_response)
    writers = open_writers(config.write_tokens)
    app.add_middleware(WriterGate, writers=writers, paths=WRITING_PATHS, refuse=problem_response)


def _add_ranking(app: FastAPI, service: RankingService) -> None:
    @app.post("/rank", response_model=RankResponse, responses=_problems(400, 413, 422), tags=["ranking"])
    async def rank(body: RankRequest, request: Request) -> Response:
        """Rank ads for a user at a moment."""
        return JSONResponse(await service.rank(body, _request_id(request)))

    @app.post(
        "/events",
        response_model=EventsResponse,
        responses=_EVENT_ANSWERS,
        tags=["ranking"],
        dependencies=writer_needed(service.config),
    )
    async def post_events(body: Annotated[EventsIn, Body(openapi_examples=_EVENT_EXAMPLES)]) -> Response:
        """Store what users did and which ads they were shown; the next ranking sees it.

        Each record stands or falls alone. The answer names those that were not stored, with the reason.
        """
        return _events_answer(await service.write_events(body))


def _add_ads(app: FastAPI, service: RankingService) -> None:
    @app.post(
        "/ads",
        response_model=EventsResponse,
        responses=_EVENT_ANSWERS,
        tags=["ads"],
        dependencies=writer_needed(service.config),
    )
    async def post_ads(body: Annotated[AdsIn, Body(openapi_examples=_AD_EXAMPLES)]) -> Response:
        """Add, change, pause or end ads; every replica ranks by it within a second.

        Each record stands or falls alone. Said again it changes nothing.
        """
        return _events_answer(await service.write_ads(body))

    @app.get("/ads/{ad_id:path}", response_model=AdResponse, responses=_problems(404, 422), tags=["ads"])
    async def ad(ad_id: str) -> dict[str, Any]:
        """What is known of an ad now, and whether it can be shown."""
        return service.describe_ad(ad_id)


def writer_needed(config: ServingConfig) -> list[Any]:
    """What a path that changes the store asks for, as its document says; `WriterGate` is who asks."""
    return [Security(_WRITER)] if config.write_tokens else []


def _add_condition(app: FastAPI, service: RankingService) -> None:
    @app.get("/healthz", responses=_problems(), tags=["condition"])
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz", responses=_problems(), tags=["condition"])
    async def readiness() -> dict[str, Any]:
        """Model, store and encoder are there, with their versions."""
        return await service.readiness()

    @app.get("/model", responses=_problems(), tags=["condition"])
    async def model() -> dict[str, Any]:
        """What is served: versions, fingerprints, settings and test metrics of the model."""
        return service.describe_model()


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


_MEANINGS = {
    400: "the request is no HTTP, or its body is no text",
    401: "writing asks for a token of `serving.write_tokens`",
    404: "there is no such ad",
    408: "the request did not arrive in time, or Ray Serve waited too long for an answer",
    413: "the body is too large",
    422: "the request does not fit; `errors` says where",
    500: "the service failed; its log says why",
    503: "no model, no store, or too many requests; retry later",
}
_ALWAYS = (408, 500, 503)
_OF_SERVE = (408, 500, 503)
"""Answers that Ray Serve may give by itself, in a line of text."""


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers of some statuses, and of those that every path may give."""
    return {status: _problem(status) for status in sorted({*statuses, *_ALWAYS})}


def _problem(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema()}}
    if status in _OF_SERVE:
        content["text/plain"] = {"schema": {"type": "string"}}
    headers = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}} if status == 503 else {}
    return {"description": _MEANINGS[status], "content": content, "headers": headers}


_EVENT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": _ALL_READ},
    207: {"description": _PARTLY_READ, "model": EventsResponse},
    **_problems(400, 401, 413, 422),
}
_EVENT_ANSWERS[422] = {**_EVENT_ANSWERS[422], "description": _NONE_READ}


def _events_answer(answer: EventsResponse) -> Response:
    """200 when all records could be read, 207 when some could, and else a problem document with the same fields."""
    body = answer.model_dump(exclude_none=True)
    malformed = sum(one.code == MALFORMED for one in answer.rejected)
    if not malformed:
        return JSONResponse(body)
    if malformed < answer.accepted + answer.duplicates + len(answer.rejected):
        return JSONResponse(body, HTTPStatus.MULTI_STATUS)
    return problem_response(422, "no record could be read; see rejected", more=body)


def problem_response(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """Return a problem document, with further members of its own."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return JSONResponse({**body, **(more or {})}, status, dict(headers or {}), MEDIA_TYPE)


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


def _pointer(path: list[str]) -> str:
    return "".join(f"/{part}" for part in path)
