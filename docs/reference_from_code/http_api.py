"""Every path and field of the HTTP interface, from the OpenAPI document that the service itself gives."""

import json
from types import SimpleNamespace
from typing import Any, cast

from docs.reference_from_code.json_schema import Schema, fields_table, type_of
from docs.reference_from_code.markdown import table
from rosa_ray.serving.api import ProblemBody
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.http import create_app
from rosa_ray.serving.service import RankingService

_INTRODUCTION = """# HTTP interface

`rosa serve CONFIG` answers these paths. A running service shows the same at `/docs` and `/openapi.json`.
Those pages load nothing from elsewhere.

Bodies are JSON. Types are strict, and an unknown field is refused. No error repeats what the caller sent.
[Live records](records.md) are read more kindly: each stands or falls alone, and unknown fields are ignored and named.
A header `X-Request-Id` of up to 128 letters, digits or `_ . : -` comes back as `request_id`.

Writing asks for a token where `serving.write_tokens` names some: `Authorization: Bearer TOKEN`.

**`/rank` asks nobody for a password: keep the service behind your own gateway.**
"""

_FROM_RAY_SERVE = """## What is answered before this code

The proxy waits for a whole request before a replica hears of it. What it refuses is a problem document too, but for
requests that are no HTTP or whose headers never end.

| status | from | when |
| --- | --- | --- |
| 400 | the proxy | the request is no HTTP |
| 408 | the proxy | the request did not arrive within `serving.client_timeout_ms` |
| 413 | the proxy | the body is larger than `serving.max_body_bytes` |
| 503 with `Retry-After` | the proxy | no replica is there, one died with the request, or none took it in time |
| 503 with `Retry-After` | Ray Serve, in a line of text | more requests wait than `serving.max_queued_requests` |
| 408 | Ray Serve without our proxy, in a line of text | no replica was free for `serving.request_timeout_ms` |

Headers by which a client could steer Ray Serve end at the proxy, such as `x-request-timeout-seconds`.
"""


def page() -> str:
    """The page as Markdown."""
    document = openapi()
    paths = [
        _operation(path, method, what) for path, ways in document["paths"].items() for method, what in ways.items()
    ]
    return "\n".join([_INTRODUCTION, *paths, _FROM_RAY_SERVE, _objects(document)])


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the service, made without a model."""
    service = cast(RankingService, SimpleNamespace(config=ServingConfig()))
    return create_app(service).openapi()


def _operation(path: str, method: str, what: Schema) -> str:
    lines = [f"## {method.upper()} {path}", "", what["description"], ""]
    if "requestBody" in what:
        body = what["requestBody"]["content"]["application/json"]
        lines += [f"Body: {_body_type(body['schema'])}.", ""]
    answers = [(status, answer["description"], _answer_type(answer)) for status, answer in what["responses"].items()]
    lines += [table(["status", "when", "body"], [_answer(*answer) for answer in answers]), ""]
    return "\n".join(lines)


def _answer(status: str, when: str, body: str) -> tuple[str, str, str]:
    return status, "it worked" if when == "Successful Response" else when, body


def _body_type(schema: Schema) -> str:
    return type_of(schema) if "$ref" in schema else "one [live record](records.md), or an [EventBatch](#eventbatch)"


def _answer_type(answer: Schema) -> str:
    content = answer.get("content", {})
    if "application/problem+json" in content:
        return "[ProblemBody](#problembody)"
    schemas = [what["schema"] for what in content.values()]
    return type_of(schemas[0]) if schemas and "$ref" in schemas[0] else "object"


def _objects(document: Schema) -> str:
    schemas = document["components"]["schemas"]
    schemas |= {"ProblemBody": ProblemBody.model_json_schema()}
    lines = ["## Objects", ""]
    for name, schema in sorted((name, schema) for name, schema in schemas.items() if name not in _ELSEWHERE):
        lines += [f"### {name}", "", schema.get("description", ""), "", fields_table(schema), ""]
        for example in schema.get("examples", ()):
            lines += ["```json", json.dumps(example, indent=2, ensure_ascii=False), "```", ""]
    return "\n".join(lines)


_ELSEWHERE = {"EventIn", "ImpressionIn", "ClickIn", "ConversionIn", "HTTPValidationError", "ValidationError"}
"""Records have a page of their own; FastAPI's own error bodies are never sent."""
