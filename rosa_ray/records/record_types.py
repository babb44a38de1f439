"""The four kinds of live records, as one line of a log, one Kafka message, or one element of `POST /events`.

Times, bounds and rules are those of the contracts in `rosa_ray.schema`.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from rosa_ray.records.fields import Bid, Id, Money, StrictModel, Time


class EventIn(StrictModel):
    """Something a user did; the events contract."""

    type: Literal["event"] = "event"
    event_id: Id = Field(description="unique; a repeated id changes nothing")
    user_id: Id
    item_id: Id
    behavior: Literal["view", "click", "cart", "purchase"]
    event_time: Time
    category: Id | None = None
    price: Money | None = Field(None, description="price of the item, currency units")


class ImpressionIn(StrictModel):
    """An ad that was shown; the impressions contract without its labels."""

    type: Literal["impression"]
    impression_id: Id = Field(description="unique; a repeated id changes nothing")
    user_id: Id
    ad_id: Id
    request_time: Time
    bid: Bid
    cost: Money = Field(description="paid for this impression, currency units")
    request_id: Id | None = None
    device: Id | None = None
    region: Id | None = None
    position: Annotated[int, Field(ge=0)] | None = Field(None, description="slot, 0 is the top")
    propensity: Annotated[float, Field(gt=0, le=1)] | None = None


class ClickIn(StrictModel):
    """A click on an ad that was shown; counts at the click time."""

    type: Literal["click"]
    impression_id: Id = Field(description="of the impression; a second click on it changes nothing")
    user_id: Id
    ad_id: Id
    request_time: Time = Field(description="of the impression")
    click_time: Time | None = Field(None, description="the request time when absent")

    @model_validator(mode="after")
    def _check_order(self) -> "ClickIn":
        if self.click_time is not None and self.click_time < self.request_time:
            raise PydanticCustomError("time_order", "click_time lies before request_time")
        return self


class ConversionIn(StrictModel):
    """A conversion, after a click or without one; counts at the conversion time."""

    type: Literal["conversion"]
    impression_id: Id = Field(description="of the impression; a second conversion of it changes nothing")
    user_id: Id
    ad_id: Id
    request_time: Time = Field(description="of the impression")
    conversion_time: Time
    revenue: Money | None = Field(None, description="of the conversion, currency units")

    @model_validator(mode="after")
    def _check_order(self) -> "ConversionIn":
        if self.conversion_time < self.request_time:
            raise PydanticCustomError("time_order", "conversion_time lies before request_time")
        return self


LiveRecord = EventIn | ImpressionIn | ClickIn | ConversionIn


def record_type(value: Any) -> str:
    """Name the type of a record; what does not say is an event.

    >>> record_type({"event_id": "e1"})
    'event'
    """
    name = value.get("type", "event") if isinstance(value, dict) else getattr(value, "type", "event")
    return name if isinstance(name, str) else "?"


RecordIn = Annotated[
    Annotated[EventIn, Tag("event")]
    | Annotated[ImpressionIn, Tag("impression")]
    | Annotated[ClickIn, Tag("click")]
    | Annotated[ConversionIn, Tag("conversion")],
    Discriminator(
        record_type,
        custom_error_type="record_type",
        custom_error_message="needs a type: event, impression, click or conversion",
    ),
]
"""A live record of any type; `type` may be left out of an event."""

_IMPRESSION = {
    "type": "impression",
    "impression_id": "m-000045",
    "user_id": "u17",
    "ad_id": "ad2",
    "request_time": "2026-01-31T09:30:00Z",
    "bid": 0.012,
    "cost": 0.0083,
}
_SHOWN = {name: _IMPRESSION[name] for name in ("impression_id", "user_id", "ad_id", "request_time")}

EXAMPLES: dict[str, dict[str, Any]] = {
    "event": {
        "event_id": "e-000123",
        "user_id": "u17",
        "item_id": "i42",
        "behavior": "cart",
        "event_time": "2026-01-31T09:30:00Z",
        "category": "shoes",
        "price": 59.9,
    },
    "impression": _IMPRESSION,
    "click": {"type": "click", **_SHOWN, "click_time": "2026-01-31T09:30:07Z"},
    "conversion": {"type": "conversion", **_SHOWN, "conversion_time": "2026-01-31T21:04:00Z", "revenue": 59.9},
}
"""One record of each type, as JSON values."""
