"""Objects of a JSON schema as tables of fields."""

from collections.abc import Mapping
from typing import Any

from docs.reference_from_code.markdown import choices, code, table

Schema = Mapping[str, Any]

_RANGES = (
    ("minimum", "maximum", ""),
    ("exclusiveMinimum", "exclusiveMaximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " of them"),
)
_LINKS = {
    "EventIn": "[event](records.md#event)",
    "ImpressionIn": "[impression](records.md#impression)",
    "ClickIn": "[click](records.md#click)",
    "ConversionIn": "[conversion](records.md#conversion)",
}
"""Objects that have their table on another page."""


def fields_table(schema: Schema) -> str:
    """One row per field of an object."""
    required = schema.get("required", ())
    rows = [
        (code(name), type_of(field), "yes" if name in required else _default(field), _meaning(field))
        for name, field in schema["properties"].items()
    ]
    return table(["field", "type", "required", "meaning"], rows)


def type_of(field: Schema) -> str:
    """A JSON type in words, with the name of an object that has its own table.

    >>> type_of({"type": "array", "items": {"type": "string"}})
    'list of string'
    """
    if "$ref" in field:
        return _LINKS.get(_name(field), f"[{_name(field)}](#{_name(field).lower()})")
    if "const" in field:
        return code(field["const"])
    if "enum" in field:
        return f"one of {choices(field['enum'])}"
    if alternatives := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(type_of(each) for each in alternatives))
    if field.get("type") == "array":
        return f"list of {type_of(field['items'])}"
    return "time, RFC 3339" if field.get("format") == "date-time" else field.get("type", "anything")


def _name(field: Schema) -> str:
    return str(field["$ref"]).rpartition("/")[2]


def _default(field: Schema) -> str:
    default = field.get("default")
    return "no" if default is None else f"no, {code(str(default).lower() if default in (True, False) else default)}"


def _meaning(field: Schema) -> str:
    ranges = [_range(branch, *names) for branch in (field, *field.get("anyOf", ())) for names in _RANGES]
    return "; ".join(dict.fromkeys(text for text in (field.get("description", ""), *ranges) if text))


def _range(field: Schema, least: str, most: str, unit: str) -> str:
    """Bounds in words.

    >>> _range({"minLength": 1, "maxLength": 256}, "minLength", "maxLength", " characters")
    '1 to 256 characters'
    """
    words = ("above", "below") if least.startswith("exclusive") else ("at least", "at most")
    given = [f"{word} {field[name]:,g}" for word, name in zip(words, (least, most), strict=True) if name in field]
    if len(given) == 2 and words[0] == "at least":
        return f"{field[least]:,g} to {field[most]:,g}{unit}"
    return ", ".join(given) + (unit if given else "")
