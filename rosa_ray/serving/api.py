"""Bodies of the HTTP interface: what is accepted, what is answered, with examples for OpenAPI.

Types are strict, unknown fields and numbers that are not finite are refused.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _require_rfc_3339(value: Any) -> Any:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise PydanticCustomError(
            "rfc_3339", "needs an RFC 3339 time with a zone and at most microseconds, such as 2026-01-31T09:30:00Z"
        )
    return value


def to_us(time: datetime) -> int:
    """Microseconds since 1970, UTC.

    >>> to_us(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (time - _EPOCH) // timedelta(microseconds=1)


Id = Annotated[str, Field(min_length=1, max_length=256)]
Money = Annotated[float, Field(ge=0, le=1e9)]
Bid = Annotated[float, Field(ge=1e-6, le=1e6, description="bid for one impression, currency units")]
Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_require_rfc_3339)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Candidate(_Strict):
    """An ad with a bid of its own."""

    ad_id: Id
    bid: Bid | None = Field(None, description="the catalogue's bid when absent")


class Context(_Strict):
    """Where and when the ad would be shown."""

    device: Id | None = None
    region: Id | None = None
    time: Time | None = Field(None, description="request time; now when absent")


def _candidate_kind(value: Any) -> str:
    return "id" if isinstance(value, str) else "object"


CandidateIn = Annotated[Annotated[Id, Tag("id")] | Annotated[Candidate, Tag("object")], Discriminator(_candidate_kind)]


class RankRequest(_Strict):
    """Rank ads for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u17",
                    "candidates": ["ad1", {"ad_id": "ad2", "bid": 0.012}],
                    "context": {"device": "mobile", "region": "north"},
                    "top_k": 10,
                    "explain": True,
                },
                {"user_id": "u17"},
            ]
        }
    )

    user_id: Id
    candidates: list[CandidateIn] | None = Field(
        None, min_length=1, description="ad ids, or ids with bids; all active ads when absent"
    )
    context: Context = Field(default_factory=lambda: Context(time=None))
    top_k: int | None = Field(None, ge=1, le=100_000, description="ads to return")
    explain: bool = Field(False, description="say how λ was chosen and how fresh the history is")


class RankedAd(BaseModel):
    """One ad with its predictions for one impression."""

    ad_id: str
    score: float
    p_ctr: float = Field(description="probability of a click")
    p_cvr: float = Field(description="probability of a conversion given a click")
    value: float = Field(description="expected revenue of one conversion, currency units")
    expected_cost: float = Field(description="of one impression, currency units")
    expected_roi: float = Field(description="(p_ctr·p_cvr·value − expected_cost) / expected_cost")


class Explanation(BaseModel):
    """How λ was chosen, and how fresh the history is."""

    rule: str
    reason: str
    history_events: int = Field(description="events before the request, as many as the encoder can use")
    events_since: int = Field(description="events after the last one with stored states")
    stale: bool = Field(description="a late event landed among the encoded ones")
    staleness_s: float | None = Field(description="seconds since the last event with stored states")
    lookup_ms: float
    encoder_ms: float | None
    scoring_ms: float


class RankResponse(BaseModel):
    """Ads by falling score; equal scores by ad key."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "request_id": "7f0c",
                    "user_known": True,
                    "model_version": "5e0f9d3c11aa20b4",
                    "score_kind": "roi",
                    "lambda": 0.0,
                    "degraded": [],
                    "unknown_candidates": [],
                    "ads": [
                        {
                            "ad_id": "ad2",
                            "score": 1.31,
                            "p_ctr": 0.041,
                            "p_cvr": 0.09,
                            "value": 5.2,
                            "expected_cost": 0.0083,
                            "expected_roi": 1.31,
                        }
                    ],
                }
            ]
        },
    )

    request_id: str
    user_known: bool = Field(description="false for a user never seen: ranked by ads and context alone")
    model_version: str
    score_kind: str
    offline_weight: float = Field(alias="lambda", description="λ: 1 uses stored states, 0 encodes the newest events")
    degraded: list[str] = Field(
        description="store: cached or cold-start features; encoder: offline score instead; states: no stored history"
    )
    unknown_candidates: list[str] = Field(description="candidates that the catalogue lacks; not ranked")
    ads: list[RankedAd]
    explanation: Explanation | None = None


class EventIn(_Strict):
    """Something a user did; the events contract."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event_id": "e-000123",
                    "user_id": "u17",
                    "item_id": "i42",
                    "behavior": "cart",
                    "event_time": "2026-01-31T09:30:00Z",
                    "category": "shoes",
                    "price": 59.9,
                }
            ]
        }
    )

    event_id: Id = Field(description="unique; a repeated id changes nothing")
    user_id: Id
    item_id: Id
    behavior: Literal["view", "click", "cart", "purchase"]
    event_time: Time
    category: Id | None = None
    price: Money | None = Field(None, description="price of the item, currency units")

    @model_validator(mode="after")
    def _check_time(self) -> "EventIn":
        if not 1990 <= self.event_time.astimezone(UTC).year < 2100:
            raise PydanticCustomError("time_range", "event_time lies before 1990 or after 2100")
        return self


class EventBatch(_Strict):
    """Several events; refused whole when one is malformed."""

    events: list[EventIn] = Field(min_length=1)


def _events_kind(value: Any) -> str:
    return "batch" if isinstance(value, dict) and "events" in value else "one"


EventsIn = Annotated[Annotated[EventIn, Tag("one")] | Annotated[EventBatch, Tag("batch")], Discriminator(_events_kind)]


class RejectedEvent(BaseModel):
    """An event that was not stored."""

    index: int = Field(description="position in the batch")
    reason: str


class EventsResponse(BaseModel):
    """What became of the events; the three add up to the batch."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]


class ProblemBody(BaseModel):
    """An error, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = Field(None, description="pointer (RFC 6901) and reason of each fault")
