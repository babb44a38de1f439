"""Bodies of the HTTP interface: what is accepted, what is answered, with examples for OpenAPI.

Numbers that are not finite are refused. Unknown fields are refused too, but those of live records are ignored and
counted.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, GetJsonSchemaHandler, Tag, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from rosa_ray.errors import RosaError
from rosa_ray.records import AdIn, Bid, EventIn, Id, RecordIn, Said, StrictModel, Time, to_us

__all__ = [
    "AdBatch",
    "AdResponse",
    "AdsIn",
    "Candidate",
    "Context",
    "EventBatch",
    "EventIn",
    "EventsIn",
    "EventsResponse",
    "Explanation",
    "Problem",
    "ProblemBody",
    "RankRequest",
    "RankResponse",
    "RankedAd",
    "RejectedEvent",
    "to_us",
]


class Candidate(StrictModel):
    """An ad with a bid of its own."""

    ad_id: Id
    bid: Bid | None = Field(None, description="the catalogue's bid when absent")


class Context(StrictModel):
    """Where and when the ad would be shown."""

    device: Id | None = None
    region: Id | None = None
    time: Time | None = Field(None, description="request time, from 1990 to 2099; now when absent")
    columns: dict[str, Said] = Field(
        default_factory=dict, description="values of the columns `request.NAME` in features.columns, by NAME"
    )


def _candidate_kind(value: Any) -> str:
    return "id" if isinstance(value, str) else "object"


CandidateIn = Annotated[Annotated[Id, Tag("id")] | Annotated[Candidate, Tag("object")], Discriminator(_candidate_kind)]


class RankRequest(StrictModel):
    """Rank ads for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u17",
                    "candidates": ["a1", {"ad_id": "a2", "bid": 0.4}],
                    "context": {"device": "mobile", "region": "north"},
                    "top_k": 10,
                    "explain": True,
                },
                {"user_id": "u17"},
            ]
        }
    )

    user_id: Id | None = Field(description="null is nobody in particular: ranked by ads and context alone")
    candidates: list[CandidateIn] | None = Field(
        None,
        min_length=1,
        json_schema_extra={"uniqueItems": True},
        description="ad ids, or ids with bids; all ads that have begun and not ended when absent",
    )
    context: Context = Field(default_factory=lambda: Context(time=None))
    top_k: int | None = Field(None, ge=1, le=100_000, description="ads to return")
    explain: bool = Field(False, description="say how λ was chosen and how fresh the history is")


class RankedAd(BaseModel):
    """One ad with its predictions for one impression."""

    ad_id: str
    score: float
    p_ctr: float = Field(description="probability of a click")
    p_ctr_spread: float | None = Field(
        None, description="standard deviation of p_ctr among the members of an ensemble; left out of a single model"
    )
    p_cvr: float = Field(description="probability of a conversion given a click")
    value: float = Field(description="expected revenue of one conversion, currency units")
    expected_cost: float | None = Field(
        description="of one impression, currency units; null where the log had no costs"
    )
    expected_roi: float | None = Field(
        description="(p_ctr·p_cvr·value − expected_cost) / expected_cost; null where the log had no costs"
    )


class Explanation(BaseModel):
    """How λ was chosen, and how fresh the history is."""

    rule: str
    reason: str
    history_events: int = Field(description="events before the request, as many as the encoder can use")
    events_since: int = Field(description="events after the last one with stored states")
    actions_since: int = Field(description="those of events_since that are more than a view")
    events_last_hour: int = Field(description="events within an hour before the request")
    stale: bool = Field(description="a late event landed among the encoded ones")
    staleness_s: float | None = Field(description="seconds since the last event with stored states")
    idle_s: float | None = Field(description="seconds since the last event")
    load: float = Field(description="how busy the replica was, from 0 to 1")
    gate: float | None = Field(description="λ that the learned gate gave; null where it was not asked")
    threshold: float | None = Field(description="the encoder is called while that λ is below this")
    lookup_ms: float
    encoder_ms: float | None
    scoring_ms: float


class FirstPassSaid(BaseModel):
    """Of how many ads the ranked ones were chosen."""

    eligible: int = Field(description="ads that could be shown")
    ranked: int = Field(description="of them, those that the model scored")
    counted: bool = Field(
        description="whether counters chose among them; false until they were read for the first time"
    )


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
                    "ended_candidates": [],
                    "paused_candidates": [],
                    "off_target_candidates": [],
                    "new_ads": {"a2": ["item", "category"]},
                    "ads": [
                        {
                            "ad_id": "a2",
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
        description="store: cached or cold-start features; encoder: offline score instead; states: no stored history; "
        "ads: the store told no changes of ads for seconds"
    )
    unknown_candidates: list[str] = Field(
        description="candidates that the catalogue lacks, or whose bid or price it does not know; not ranked"
    )
    ended_candidates: list[str] = Field(
        description="candidates whose valid_until had passed at the request; not ranked"
    )
    paused_candidates: list[str] = Field(description="candidates that were paused at the request; not ranked")
    off_target_candidates: list[str] = Field(
        description="candidates for other devices or regions than those of the request; not ranked"
    )
    new_ads: dict[str, list[str]] = Field(
        description="ads of the answer that the model did not learn from, each with what it knows of it: "
        "item, category, campaign"
    )
    first_pass: FirstPassSaid | None = Field(
        None, description="there were more ads than are ranked in one request; null where all were ranked"
    )
    policy: dict[str, dict[str, str | int | float]] | None = Field(
        None,
        description="why steps of serving.policy did what they did, by step; a step that changed nothing is left out, "
        "and so is the field where there are no steps",
    )
    propensity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="chance that the first ad took its place, 0 where none is shown; for the impression record. Left "
        "out where serving.policy has no steps",
    )
    ads: list[RankedAd] = Field(description="none where serving.policy shows nothing; see `policy` for the reason")
    explanation: Explanation | None = None


class PostedAd(AdIn):
    """A record of an ad, which need not say that it is one."""

    type: Literal["ad"] = "ad"


class AdBatch(StrictModel):
    """Several records of ads; each stands or falls alone."""

    ads: list[PostedAd] = Field(min_length=1)


class AdResponse(BaseModel):
    """An ad as it is now."""

    ad_id: str
    shown: bool = Field(description="it has begun, and is neither paused nor ended; its devices and regions aside")
    trained: bool = Field(description="the bundle brought it; false: an ad that the model did not learn from")
    terms: dict[str, Any] = Field(description="its terms, budget among them, and columns that were told of it")


class EventBatch(StrictModel):
    """Several records of any type; each stands or falls alone."""

    events: list[RecordIn] = Field(min_length=1)


def _events_kind(value: Any) -> str:
    return "batch" if isinstance(value, dict) and "events" in value else "one"


_EventsIn = Annotated[
    Annotated[RecordIn, Tag("one")] | Annotated[EventBatch, Tag("batch")], Discriminator(_events_kind)
]


_AdsIn = Annotated[
    Annotated[PostedAd, Tag("one")] | Annotated[AdBatch, Tag("batch")],
    Discriminator(lambda value: "batch" if isinstance(value, dict) and "ads" in value else "one"),
]


class _ReadOneByOne:
    """Any JSON here; its records are read one by one, so that one that is malformed does not refuse the others.

    Args:
        documented: what is read.
    """

    def __init__(self, documented: Any) -> None:
        self._documented = documented

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(TypeAdapter(self._documented).core_schema)


EventsIn = Annotated[Any, _ReadOneByOne(_EventsIn)]
"""The body of `POST /events`: one record, or an `EventBatch`."""

AdsIn = Annotated[Any, _ReadOneByOne(_AdsIn)]
"""The body of `POST /ads`: one record of an ad, or an `AdBatch`; records need no `type`."""


class RejectedEvent(BaseModel):
    """A record that was not stored."""

    index: int = Field(description="position in the batch")
    code: str = Field(description="malformed, future, late or implausible")
    reason: str


class EventsResponse(BaseModel):
    """What became of the records; accepted, duplicates and rejected add up to the batch."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    ignored_fields: dict[str, int] | None = Field(
        None, description="fields that records had and none has, with the number of records; absent when there are none"
    )


class ProblemBody(BaseModel):
    """An error, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = Field(None, description="pointer (RFC 6901) and reason of each fault")


class Problem(RosaError):
    """An answer other than 2xx.

    Args:
        status: HTTP status.
        detail: one line for the caller, without anything the caller sent.
        retry_after_s: for 429 and 503.
    """

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
