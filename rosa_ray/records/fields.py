"""The fields that live records and requests are made of: ids, money, times; finite and bounded, read as in a log."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from rosa_ray.schema.contracts import MAX_BID, MAX_MONEY, MIN_BID
from rosa_ray.sources.values import EXACT_FLOATS, NULL_WORDS, TEXT_NULL_WORDS

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
END = datetime(2100, 1, 1, tzinfo=UTC)
MAX_ID = 256
"""Characters of an id."""

_RFC_3339 = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)$"
_DAY = r"((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
_DOCUMENTED_TIME = (
    rf"^(199[0-9]|20[0-9][0-9])-{_DAY}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,6})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""What the interface says of times; a space for the T and the 29th of February are read as well."""
_NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"


class _Rfc3339:
    """A time as text, checked and read by compiled code alone."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.custom_error_schema(
            core_schema.str_schema(pattern=_RFC_3339, strict=True),
            custom_error_type="rfc_3339",
            custom_error_message="needs an RFC 3339 time with a zone and at most microseconds, such as "
            "2026-01-31T09:30:00Z",
        )
        return core_schema.chain_schema([text, core_schema.datetime_schema(ge=EARLIEST, lt=END, strict=False)])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", "pattern": _DOCUMENTED_TIME}


class _Forgiving:
    """A value in its own JSON type, or in another that says the same; one message says all that is right.

    Args:
        forms: tried in this order; the first is what most producers send.
        null_words: texts that mean nothing is known, beside null; None for a field that is always known.
        needs: what would be right.
        documented: JSON schemas of what is accepted.
    """

    def __init__(
        self,
        forms: Sequence[CoreSchema],
        null_words: tuple[str, ...] | None,
        needs: str,
        documented: Sequence[Mapping[str, object]],
    ) -> None:
        self._forms, self._null_words = forms, null_words
        self._needs, self._documented = needs, documented

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        forms: list[CoreSchema | tuple[CoreSchema, str]] = [*self._forms]
        if self._null_words:
            word = core_schema.literal_schema(list(self._null_words))
            forms.insert(0, core_schema.chain_schema([word, core_schema.no_info_plain_validator_function(_nothing)]))
        if self._null_words is not None:
            forms.insert(0, core_schema.none_schema())
        return core_schema.custom_error_schema(
            core_schema.union_schema(forms, mode="left_to_right"),
            custom_error_type="not_accepted",
            custom_error_message=self._needs,
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        absent = [] if self._null_words is None else [{"type": "null"}]
        return {"anyOf": [*self._documented, *absent]}


def _nothing(word: str) -> None:
    """What a null word becomes."""


def _whole_text(number: float) -> str:
    return str(int(number))


def _id(null_words: tuple[str, ...] | None = None) -> _Forgiving:
    text = core_schema.str_schema(strict=True, min_length=1, max_length=MAX_ID)
    exact = float(EXACT_FLOATS[64])
    whole = core_schema.float_schema(strict=True, multiple_of=1.0, ge=-exact, le=exact, allow_inf_nan=False)
    forms = [
        text,
        core_schema.chain_schema(
            [core_schema.int_schema(strict=True), core_schema.no_info_plain_validator_function(str), text]
        ),
        core_schema.chain_schema([whole, core_schema.no_info_plain_validator_function(_whole_text)]),
    ]
    documented: list[dict[str, object]] = [
        {"type": "string", "minLength": 1, "maxLength": MAX_ID},
        {"type": "integer"},
    ]
    return _Forgiving(forms, null_words, f"needs an id, text of 1 to {MAX_ID} characters or an integer", documented)


def _number(needs: str, null_words: tuple[str, ...] | None = None, **bounds: float) -> _Forgiving:
    number = core_schema.float_schema(strict=True, allow_inf_nan=False, **bounds)  # type: ignore[arg-type]
    read = core_schema.float_schema(strict=False, allow_inf_nan=False, **bounds)  # type: ignore[arg-type]
    text = core_schema.chain_schema([core_schema.str_schema(strict=True, pattern=_NUMBER), read])
    names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
    documented = {"type": "number", **{names[name]: bound for name, bound in bounds.items()}}
    return _Forgiving([number, text], null_words, f"needs a number {needs}", [documented, {"type": "string"}])


def _count(null_words: tuple[str, ...]) -> _Forgiving:
    whole = core_schema.float_schema(strict=True, multiple_of=1.0, ge=0, le=2.0**31 - 1, allow_inf_nan=False)
    digits = core_schema.str_schema(strict=True, pattern=r"^\s*\d{1,9}(\.0*)?\s*$")
    as_int = core_schema.no_info_plain_validator_function(int)
    forms = [
        core_schema.int_schema(strict=True, ge=0, le=2**31 - 1),
        core_schema.chain_schema([whole, as_int]),
        core_schema.chain_schema([digits, core_schema.float_schema(strict=False), as_int]),
    ]
    documented: list[dict[str, object]] = [{"type": "integer", "minimum": 0}, {"type": "string"}]
    return _Forgiving(forms, null_words, "needs a whole number of at least 0", documented)


def _moment(null_words: tuple[str, ...] | None = None) -> _Forgiving:
    forms = [
        core_schema.str_schema(strict=True, min_length=1, max_length=64),
        core_schema.int_schema(strict=True),
        core_schema.float_schema(strict=True, allow_inf_nan=False),
    ]
    documented = [{"type": "string", "format": "date-time"}, {"type": "number"}]
    return _Forgiving(forms, null_words, "needs a time, text of at most 64 characters or a number", documented)


_MONEY: dict[str, float] = {"ge": 0, "le": MAX_MONEY}
_BID: dict[str, float] = {"ge": MIN_BID, "le": MAX_BID}

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Bid = Annotated[float, Field(**_BID, description="bid for one impression, currency units")]
Time = Annotated[datetime, _Rfc3339()]

RecordId = Annotated[str, _id()]
UserId = Annotated[str | None, _id(())]
OptionalId = Annotated[str | None, _id(TEXT_NULL_WORDS)]
OptionalMoney = Annotated[float | None, _number("from 0 to 1e9", NULL_WORDS, **_MONEY)]
OptionalShare = Annotated[float | None, _number("above 0 and up to 1", NULL_WORDS, gt=0, le=1)]
OptionalCount = Annotated[int | None, _count(NULL_WORDS)]
OptionalBid = Annotated[float | None, _number("from 1e-6 to 1e6", NULL_WORDS, **_BID)]
Moment = Annotated[str | int | float, _moment()]
"""A time as a record says it; `rosa_ray.records.times` reads those of many records at once."""
OptionalMoment = Annotated[str | int | float | None, _moment(NULL_WORDS)]


AdBid = Annotated[float, _number("from 1e-6 to 1e6", ge=1e-6, le=1e6)]
AdPrice = Annotated[float, _number("above 0 and up to 1e9", gt=0, le=1e9)]
OptionalIds = Annotated[list[RecordId], Field(min_length=1, max_length=1000)] | None
"""Ids of devices or regions; null is all."""

OwnValues = dict[Annotated[str, Field(max_length=MAX_ID)], str | bool | int | float | None]
"""Values of declared columns by name, as JSON has them."""


class StrictModel(BaseModel):
    """Types as they are, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class RecordModel(BaseModel):
    """A record of a producer: unknown fields are kept apart as `model_extra`, so that they can be named and counted."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True, protected_namespaces=())


def to_us(time: datetime) -> int:
    """Microseconds since 1970, UTC.

    >>> to_us(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return round(time.timestamp() * 1e6)


def bounds_us() -> tuple[int, int]:
    """The first moment that a record may have, and the first that is too late, microseconds since 1970."""
    return to_us(EARLIEST), to_us(END)
