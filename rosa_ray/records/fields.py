"""The fields that live records and requests are made of: ids, money, times; strict, finite and bounded."""

from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
END = datetime(2100, 1, 1, tzinfo=UTC)
_RFC_3339 = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)$"


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
        return {"type": "string", "format": "date-time"}


Id = Annotated[str, Field(min_length=1, max_length=256)]
Money = Annotated[float, Field(ge=0, le=1e9)]
Bid = Annotated[float, Field(ge=1e-6, le=1e6, description="bid for one impression, currency units")]
Time = Annotated[datetime, _Rfc3339()]


class StrictModel(BaseModel):
    """Types as they are, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


def to_us(time: datetime) -> int:
    """Microseconds since 1970, UTC.

    >>> to_us(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return round(time.timestamp() * 1e6)


def times_us(times: list[datetime]) -> np.ndarray:
    """Microseconds since 1970 of n times with a zone, int64 (n,).

    Seconds as float64 are off by less than a quarter of a microsecond until 2100, so that rounding is exact.
    """
    return np.rint(np.array([time.timestamp() for time in times], np.float64) * 1e6).astype(np.int64)
