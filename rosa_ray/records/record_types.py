"""The kinds of live records, as one line of a log, one Kafka message, or one element of `POST /events`.

Bounds and rules are those of the contracts in `rosa_ray.schema`, and values may be written as in a log: ids as
integers, numbers as decimal text, what is not known as null, empty or a null word.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from rosa_ray.records.fields import (
    AdBid,
    AdPrice,
    Moment,
    OptionalBid,
    OptionalCount,
    OptionalId,
    OptionalIds,
    OptionalMoment,
    OptionalMoney,
    OptionalShare,
    OwnValues,
    RecordId,
    RecordModel,
    UserId,
)
from rosa_ray.records.own_values import Said

_COLUMNS = (
    "values of declared columns by name: those of the request by NAME, others by full name; what a counter of your own "
    "counts by has to be said by impression, click and conversion alike, or it does not count there"
)
_COUNTED = "as the impression said it; needed where a counter of your own counts by it"


class EventIn(RecordModel):
    """Something a user did; the events contract."""

    type: Literal["event"] = "event"
    event_id: RecordId = Field(description="unique; a repeated id changes nothing")
    user_id: RecordId
    item_id: RecordId
    behavior: RecordId = Field(description="one of features.behaviors: view, click, cart or purchase by default")
    event_time: Moment
    category: OptionalId = Field(None, description="that of the item in the catalogue when absent")
    price: OptionalMoney = Field(None, description="price of the item, currency units")


class ImpressionIn(RecordModel):
    """An ad that was shown; the impressions contract without its labels."""

    type: Literal["impression"]
    impression_id: RecordId = Field(description="unique; a repeated id changes nothing")
    user_id: UserId = Field(description="null is nobody in particular: it counts for the ad alone")
    ad_id: RecordId
    request_time: Moment
    bid: OptionalBid = Field(None, description="for this impression, currency units; that of the ad when absent")
    cost: OptionalMoney = Field(None, description="paid for this impression, currency units; 0 when absent")
    request_id: OptionalId = None
    device: OptionalId = None
    region: OptionalId = None
    position: OptionalCount = Field(None, description="slot, 0 is the top")
    propensity: OptionalShare = None
    columns: OwnValues | None = Field(None, description=_COLUMNS)


class ClickIn(RecordModel):
    """A click on an ad that was shown; counts at the click time."""

    type: Literal["click"]
    impression_id: RecordId = Field(description="of the impression; a second click on it changes nothing")
    user_id: UserId = Field(description="null is nobody in particular: it counts for the ad alone")
    ad_id: RecordId
    request_time: Moment = Field(description="of the impression")
    click_time: OptionalMoment = Field(None, description="the request time when absent; never before it")
    cost: OptionalMoney = Field(None, description="paid for the click, currency units; 0 when absent")
    device: OptionalId = Field(None, description=_COUNTED)
    region: OptionalId = Field(None, description=_COUNTED)
    columns: OwnValues | None = Field(None, description=_COLUMNS)


class ConversionIn(RecordModel):
    """A conversion, after a click or without one; counts at the conversion time."""

    type: Literal["conversion"]
    impression_id: RecordId = Field(description="of the impression; a second conversion of it changes nothing")
    user_id: UserId = Field(description="null is nobody in particular: it counts for the ad alone")
    ad_id: RecordId
    request_time: Moment = Field(description="of the impression")
    conversion_time: Moment = Field(description="never before the request time")
    revenue: OptionalMoney = Field(None, description="of the conversion, currency units")
    device: OptionalId = Field(None, description=_COUNTED)
    region: OptionalId = Field(None, description=_COUNTED)
    columns: OwnValues | None = Field(None, description=_COLUMNS)


class ChangeModel(RecordModel):
    """Since when columns of a user, an item or an ad have which values. Said again it changes nothing."""

    valid_from: OptionalMoment = Field(description="since when, as a request reads it; null is since ever")
    columns: dict[str, Said] = Field(
        description="values of columns of features.columns by their NAME; null makes one missing, and those not named "
        "keep what they had"
    )


class ProfileIn(ChangeModel):
    """What is known of a user; the users contract."""

    type: Literal["profile"]
    user_id: RecordId


class ItemIn(ChangeModel):
    """What is known of an item; the items contract."""

    type: Literal["item"]
    item_id: RecordId


class AdIn(ChangeModel):
    """An ad of the catalogue from a moment on: new, of another price or bid, paused, ended; the ads contract."""

    type: Literal["ad"]
    ad_id: RecordId
    valid_from: OptionalMoment = Field(
        description="since when, as a request reads it; it may lie ahead, and null is since ever"
    )
    item_id: OptionalId = Field(None, description="advertised item; null is an item of its own")
    campaign_id: RecordId = Field("", description="campaign; a new ad needs one")
    category: RecordId = Field("", description="category of the item; a new ad needs one")
    bid: AdBid = Field(1.0, description="default bid for one impression, currency units; a new ad needs one")
    price: AdPrice = Field(1.0, description="value of one conversion, currency units; a new ad needs one")
    paused: bool = Field(False, description="true: not shown from then on, until a record says false")
    valid_until: OptionalMoment = Field(None, description="when the ad ends; null: it does not end")
    budget: OptionalMoney = Field(None, description="currency units; kept and told, and not yet heeded")
    devices: OptionalIds = Field(None, description="devices it is shown on; null: on all")
    regions: OptionalIds = Field(None, description="regions it is shown in; null: in all")
    columns: dict[str, Said] = Field(
        default_factory=dict, description="values of declared columns of the ad by their NAME, as of an item"
    )


CountedRecord = EventIn | ImpressionIn | ClickIn | ConversionIn
"""What happened once, has an id and is counted."""

LiveRecord = CountedRecord | ProfileIn | ItemIn | AdIn


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
    | Annotated[ConversionIn, Tag("conversion")]
    | Annotated[ProfileIn, Tag("profile")]
    | Annotated[ItemIn, Tag("item")]
    | Annotated[AdIn, Tag("ad")],
    Discriminator(
        record_type,
        custom_error_type="record_type",
        custom_error_message="needs a type: event, impression, click, conversion, profile, item or ad",
    ),
]
"""A live record of any type; `type` may be left out of an event."""

_IMPRESSION = {
    "type": "impression",
    "impression_id": "m-000045",
    "user_id": "u17",
    "ad_id": "a2",
    "request_time": "2026-01-31T09:30:00Z",
    "bid": 0.4,
    "cost": 0.3,
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
    "profile": {
        "type": "profile",
        "user_id": "u17",
        "valid_from": "2026-01-31T09:30:00Z",
        "columns": {"age_band": "25-34", "interests": ["shoes", "running"]},
    },
    "item": {
        "type": "item",
        "item_id": "i42",
        "valid_from": "2026-01-01T00:00:00Z",
        "columns": {"brand": "Acme", "weight_kg": 0.4},
    },
    "ad": {
        "type": "ad",
        "ad_id": "ad9",
        "valid_from": "2026-01-31T00:00:00Z",
        "item_id": "i42",
        "campaign_id": "k3",
        "category": "shoes",
        "bid": 0.012,
        "price": 59.9,
    },
}
"""One record of each type, as JSON values."""

AD_CHANGES: list[dict[str, Any]] = [
    {"ad_id": "a2", "valid_from": "2026-01-31T09:30:00Z", "paused": True},
    {"ad_id": "ad9", "valid_from": "2026-02-01T00:00:00Z", "price": 49.9, "devices": ["mobile", "tablet"]},
]
"""Records of ads that change some of their terms, as `POST /ads` takes them."""
