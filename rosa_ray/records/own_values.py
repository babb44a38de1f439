"""Values of declared columns as requests and live records say them in JSON, read as those of a log are."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from rosa_ray.features.own import ColumnConfig
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.values import EXACT_FLOATS, NULL_WORDS, TEXT_NULL_WORDS

Value = str | float | list[str | None] | list[float] | None
"""A value as contract rows hold it: text, a number, texts, numbers, or None where it is missing."""


class _Said:
    """Any JSON here: `as_declared` says what is wrong with a value, as its column decides that."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"description": "text, a number, true or false, a list of these, or null, as its column is declared"}


Said = Annotated[Any, _Said()]
"""A value of a declared column as JSON: text, a number, true or false, a list of these, or null."""


def as_declared(value: object, config: ColumnConfig) -> Value:
    """A value as contract rows hold it.

    Text may be a number, true or false; a number may be text; and null words are missing, as in a log.

    Raises:
        ValueError: the value is of another type than the column; says which, without the value.

    >>> as_declared(True, ColumnConfig()), as_declared(" 2.5 ", ColumnConfig(type="number"))
    ('true', 2.5)
    >>> as_declared("red", ColumnConfig(type="categories"))
    Traceback (most recent call last):
        ...
    ValueError: is no list of texts; the column is declared as categories
    """
    return None if value is None else _READERS[config.type](value, config)


def _category(value: object, config: ColumnConfig) -> str | None:
    if isinstance(value, list | dict):
        raise ValueError("is no text; the column is declared as a category")
    return _text(value)


def _categories(value: object, config: ColumnConfig) -> list[str | None]:
    if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
        raise ValueError("is no list of texts; the column is declared as categories")
    return [_text(one) for one in value]


def _number(value: object, config: ColumnConfig) -> float | None:
    if isinstance(value, str) and value.strip() in NULL_WORDS:
        return None
    number = _float(value, "is no number; the column is declared as one")
    if not math.isfinite(number):
        raise ValueError("is not finite")
    return number


def _vector(value: object, config: ColumnConfig) -> list[float]:
    wrong = f"is no list of {config.size} numbers; the column is declared as a vector"
    if not isinstance(value, list) or len(value) != config.size:
        raise ValueError(wrong)
    numbers = [_float(one, wrong) for one in value]
    with np.errstate(over="ignore"):
        if not np.isfinite(np.array(numbers, np.float32)).all():
            raise ValueError("holds a number that is not finite")
    return numbers


_READERS: dict[OwnKind, Callable[[Any, ColumnConfig], Value]] = {
    "category": _category,
    "categories": _categories,
    "number": _number,
    "vector": _vector,
}


def _text(value: object) -> str | None:
    if value is None or value in TEXT_NULL_WORDS:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is not finite")
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_FLOATS[64]:
        return str(int(value))
    text = str(value)
    if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
        raise ValueError("holds text that is no Unicode")
    return text


def _float(value: object, wrong: str) -> float:
    if not isinstance(value, str | bool | int | float):
        raise ValueError(wrong)
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(wrong) from None
