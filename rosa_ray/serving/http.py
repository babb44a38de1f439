"""The HTTP interface: a FastAPI app around one hybrid scorer."""

import re
import uuid
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline

from rosa_ray import __version__
from rosa_ray.records import EXAMPLES
from rosa_ray.serving.api import (
    EventsIn,
    EventsResponse,
    ProblemBody,
    RankRequest,
    RankResponse,
)
from rosa_ray.serving.problems import MEDIA_TYPE, BodyLimit, install_problems
from rosa_ray.serving.service import RankingService

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)

_EVENT_EXAMPLES: Any = {
    **{name: {"summary": f"one {name}", "value": value} for name, value in EXAMPLES.items()},
    "batch": {"summary": "a batch", "value": {"events": list(EXAMPLES.values())}},
}


def create_app(service: RankingService) -> FastAPI:
    """Build the app. Its pages at `/docs` and `/redoc` load nothing from elsewhere.

    Args:
        service: answers the requests; without a model, all but `/healthz` answer 503.
    """
    app = FastAPIOffline(
        title="ROSA-Rec",
        version=__version__,
        summary="Rank ads by expected return on investment; post events and see them in the next ranking.",
    )
    install_problems(app)
    app.add_middleware(BodyLimit, max_bytes=service.config.max_body_bytes)
    _add_ranking(app, service)
    _add_condition(app, service)
    return app


def _add_ranking(app: FastAPI, service: RankingService) -> None:
    @app.post("/rank", response_model=RankResponse, responses=_problems(413, 422, 503), tags=["ranking"])
    async def rank(body: RankRequest, request: Request) -> Response:
        """Rank ads for a user at a moment."""
        return JSONResponse(await service.rank(body, _request_id(request)))

    @app.post("/events", responses=_problems(413, 422, 503), tags=["ranking"])
    async def post_events(body: Annotated[EventsIn, Body(openapi_examples=_EVENT_EXAMPLES)]) -> EventsResponse:
        """Store what users did and which ads they were shown; the next ranking sees it."""
        return await service.write_events(body)


def _add_condition(app: FastAPI, service: RankingService) -> None:
    @app.get("/healthz", tags=["condition"])
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz", responses=_problems(503), tags=["condition"])
    async def readiness() -> dict[str, Any]:
        """Model, store and encoder are there, with their versions."""
        return await service.readiness()

    @app.get("/model", responses=_problems(503), tags=["condition"])
    async def model() -> dict[str, Any]:
        """What is served: versions, fingerprints, settings and test metrics of the model."""
        return service.describe_model()


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": ProblemBody.model_json_schema()}
    meaning = {
        413: "the body is too large",
        422: "the request does not fit; `errors` says where",
        503: "no model, no store, or too many requests; retry later",
    }
    return {status: {"description": meaning[status], "content": {MEDIA_TYPE: schema}} for status in statuses}
