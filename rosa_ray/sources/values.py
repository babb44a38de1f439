"""Columns of a file become numbers, labels and ids. A value that does not parse is marked, never guessed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Marks = np.ndarray | None
"""Of each row whether its value is there and does not parse; None where all parse."""

TEXT_NULL_WORDS = ("", "NULL", "null", r"\N", "<NA>")
NAN_WORDS = ("NaN", "nan")
NULL_WORDS = (*TEXT_NULL_WORDS, *NAN_WORDS, "Null", "NA", "N/A", "n/a", "None", "none", "nil", "-")
FLAGS = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(("false", "f", "no", "n", "0"), False)
EXACT_FLOATS = {16: 2**11, 32: 2**24, 64: 2**53}
"""Bits of a float -> the largest integer up to which it holds every integer."""

_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_NO_NUMBER = r"(?i)^[+-]?(?:inf|infinity|nan)$"
_NARROW_SPACES = "[\u00a0\u2009\u202f]"


@dataclass(frozen=True)
class ValueForm:
    """How the values of one column are written.

    Attributes:
        null_words: values that mean null.
        mapping: value in the file to the text it stands for, None for null.
        decimal: decimal sign of numbers.
        thousands: what groups their digits; empty for nothing.
        strip: characters to remove from both ends of numbers.
    """

    null_words: tuple[str, ...] = NULL_WORDS
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    decimal: str = "."
    thousands: str = ""
    strip: str = ""


class InexactIdError(ValueError):
    """Ids that a floating-point column cannot hold.

    Attributes:
        at: place of the first one.
    """

    def __init__(self, at: int, bits: int) -> None:
        super().__init__(f"{bits}-bit floats hold no exact ids above {EXACT_FLOATS[bits]}; write integers or text")
        self.at = at


def read_numbers(values: pa.ChunkedArray, form: ValueForm, target: pa.DataType) -> tuple[pa.ChunkedArray, Marks]:
    """Read a column of numbers, null where a value does not parse; NaN is null where it is a null word.

    >>> form = ValueForm(decimal=",", thousands=".", strip="€")
    >>> numbers, marks = read_numbers(pa.chunked_array([["1.234,56 €", "-", "12.5"]]), form, pa.float64())
    >>> numbers.to_pylist(), marks.tolist()
    ([1234.56, None, None], [False, False, True])
    """
    if not is_text(values.type):
        return _typed_numbers(values, form, target)
    if form.decimal == "." and not form.thousands and not form.strip:
        try:
            return _without_nan(cast_whole(values, target), form), None
        except pa.ArrowInvalid:
            values = nulled(values, form.null_words)
        try:
            return _without_nan(cast_whole(values, target), form), None
        except pa.ArrowInvalid:
            pass
    texts = nulled(pc.utf8_trim_whitespace(values), form.null_words)
    fits, digits = _plain_digits(texts, form)
    numbers = _cast_valid(pc.if_else(fits, digits, None), pa.float64())
    numbers, whole = _whole(_without_nan(numbers, form), target)
    bad = mask_of(pc.is_valid(texts)) & ~(mask_of(fits) & whole)
    bad |= (
        mask_of(pc.is_valid(texts))
        & mask_of(pc.is_null(numbers))
        & ~mask_of(pc.match_substring_regex(digits, _NO_NUMBER))
    )
    return numbers, bad if bad.any() else None


def read_flags(values: pa.ChunkedArray, form: ValueForm) -> tuple[pa.ChunkedArray, Marks]:
    """Read a column of labels: true or false, t or f, yes or no, y or n, 1 or 0, in any case, also `1.0`.

    >>> flags, marks = read_flags(pa.chunked_array([["Yes", "0.0", "NULL", "2"]]), ValueForm())
    >>> flags.to_pylist(), marks.tolist()
    ([True, False, None, None], [False, False, False, True])
    """
    if pa.types.is_boolean(values.type):
        return values, None
    if not is_text(values.type):
        values = texts_of(values)
    encoded = values.combine_chunks().dictionary_encode()
    words = [str(word).strip() for word in encoded.dictionary.to_pylist()]
    known = [None if word in form.null_words else _flag(word) for word in words]
    odd = [word not in form.null_words and flag is None for word, flag in zip(words, known, strict=True)]
    flags = pc.take(pa.array(known, pa.bool_()), encoded.indices)
    bad = mask_of(pc.take(pa.array(odd, pa.bool_()), encoded.indices)) if any(odd) else None
    return pa.chunked_array([flags]), bad


def texts_of(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write any plain column as text. Integers stay integers, also where they lie in a column of floats.

    >>> texts_of(pa.chunked_array([[7300000000000001.0, 2.5, None]])).to_pylist()
    ['7300000000000001', '2.5', None]

    Raises:
        InexactIdError: a float is too large to be an exact integer.
    """
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_dictionary(kind):
        return texts_of(values.cast(kind.value_type))
    if pa.types.is_floating(kind):
        return _texts_of_floats(values)
    if pa.types.is_decimal(kind):
        return pc.replace_substring_regex(values.cast(pa.string()), r"\.0*$", "")
    return values.cast(pa.string())


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds strings, as they are or by a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def is_scalar(kind: pa.DataType) -> bool:
    """Tell whether a column holds one plain value a row, no list or struct."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not pa.types.is_nested(kind)


def nulled(texts: pa.ChunkedArray, words: tuple[str, ...]) -> pa.ChunkedArray:
    """Make null words null."""
    if not words:
        return texts
    unknown = pc.is_in(texts, pa.array(words))
    return pc.if_else(unknown, None, texts) if pc.any(unknown).as_py() else texts


def mapped(texts: pa.ChunkedArray, mapping: Mapping[str, str | None]) -> pa.ChunkedArray:
    """Replace the values that a mapping names, and keep the others.

    >>> mapped(pa.chunked_array([["buy", "odd", "?"]]), {"buy": "purchase", "?": None}).to_pylist()
    ['purchase', 'odd', None]
    """
    found = pc.index_in(texts, value_set=pa.array(list(mapping), pa.string()))
    return pc.if_else(pc.is_valid(found), pc.take(pa.array(list(mapping.values()), pa.string()), found), texts)


def are_float_ids(texts: pa.ChunkedArray) -> bool:
    """Tell whether every value of a column is an integer written as a float, such as `1007.0`."""
    return _all_match(texts, r"-?\d+\.0+")


def are_rounded_ids(texts: pa.ChunkedArray) -> bool:
    """Tell whether every value of a column is written in powers of ten, such as `7.3E+15`, as spreadsheets do."""
    return _all_match(texts, r"\d(\.\d+)?[eE]\+?\d{2}")


def without_fraction(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write `1007.0` as `1007`."""
    return pc.replace_substring_regex(texts, r"^(-?\d+)\.0+$", r"\1")


def number_remedy(text: str, key: str, form: ValueForm) -> str:
    """Name the setting that would read a value as a number; empty where none is known.

    >>> number_remedy("$71.90", "ads.price", ValueForm())
    'source.strip: {ads.price: "$"} reads it'
    >>> number_remedy("1.234,56", "ads.price", ValueForm())
    "source.decimal: {ads.price: ','} and source.thousands: {ads.price: '.'} read it"
    """
    around = re.fullmatch(r"[+-]?\s*(\D*?)\s*([+-]?[\d.,' ]*\d)\s*(\D*)", text.strip())
    strip = "".join(dict.fromkeys((around[1] + around[3]).replace(" ", ""))) if around else ""
    if strip and not form.strip:
        return f'source.strip: {{{key}: "{strip}"}} reads it'
    core = text.strip().strip("+-" + form.strip)
    if re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+", core):
        return f"source.decimal: {{{key}: ','}} and source.thousands: {{{key}: '.'}} read it"
    if re.fullmatch(r"[1-9]\d{0,2},\d{3}", core):
        return f"source.decimal: {{{key}: ','}} reads a fraction, source.thousands: {{{key}: ','}} a thousand"
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?", core):
        return f"source.thousands: {{{key}: ','}} reads it"
    if re.fullmatch(r"\d+,\d+", core):
        return f"source.decimal: {{{key}: ','}} reads it"
    if re.fullmatch(r"\d+\.\d+", core) and form.decimal == ",":
        return f"source.decimal: {{{key}: '.'}} reads it"
    return value_remedy(text, key, "0")


def value_remedy(text: str, key: str, meaning: str) -> str:
    """Name the settings that give any value a meaning.

    >>> value_remedy("maybe", "impressions.click", "false")
    "source.values: {impressions: {click: {'maybe': false}}} gives it a meaning, source.null_words makes it null"
    """
    table, _, column = key.partition(".")
    said = f"source.values: {{{table}: {{{column}: {{{text!r}: {meaning}}}}}}}"
    return f"{said} gives it a meaning, source.null_words makes it null"


def _typed_numbers(values: pa.ChunkedArray, form: ValueForm, target: pa.DataType) -> tuple[pa.ChunkedArray, Marks]:
    if pa.types.is_null(values.type):
        return values.cast(target), None
    if pa.types.is_integer(values.type) and pa.types.is_integer(target):
        inside = mask_of(
            pc.equal(values.cast(target, safe=False).cast(pa.int64()), values.cast(pa.int64(), safe=False))
        )
        bad = ~inside & mask_of(pc.is_valid(values))
        return values.cast(target, safe=False), bad if bad.any() else None
    if pa.types.is_boolean(values.type):
        return values.cast(pa.int8()).cast(target), None
    numbers, whole = _whole(_without_nan(values.cast(pa.float64(), safe=False), form), target)
    return numbers, None if whole.all() else ~whole


def _whole(numbers: pa.ChunkedArray, target: pa.DataType) -> tuple[pa.ChunkedArray, np.ndarray]:
    """Cast floats to the target; to an integer only those that are one."""
    if not pa.types.is_integer(target):
        return numbers.cast(target), np.ones(len(numbers), bool)
    limit = 2.0 ** (target.bit_width - 1)
    floats = numbers.to_numpy(zero_copy_only=False) if isinstance(numbers, pa.Array) else numbers.to_numpy()
    with np.errstate(invalid="ignore"):
        fits = np.isnan(floats) | ((np.floor(floats) == floats) & (np.abs(floats) < limit))
    kept = pc.if_else(pa.array(fits), numbers, None)
    return kept.cast(target), fits


def _without_nan(numbers: pa.ChunkedArray, form: ValueForm) -> pa.ChunkedArray:
    if not pa.types.is_floating(numbers.type) or not {*NAN_WORDS} & {*form.null_words}:
        return numbers
    odd = pc.is_nan(numbers)
    return pc.if_else(odd, None, numbers) if pc.any(odd).as_py() else numbers


def _plain_digits(texts: pa.ChunkedArray, form: ValueForm) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Which texts are numbers, and the texts with a point for the decimal sign and nothing between the digits."""
    if form.strip:
        marks = "[" + re.sub(r"([\\\]\[^-])", r"\\\1", form.strip) + r"\s\x{a0}]*"
        texts = pc.replace_substring_regex(texts, rf"^{marks}([+-]?){marks}(.*?){marks}$", r"\1\2")
    if form.thousands == " ":
        texts = pc.replace_substring_regex(texts, _NARROW_SPACES, " ")
    dot = re.escape(form.decimal)
    number = rf"^[+-]?(?:\d+(?:{dot}\d*)?|{dot}\d+)(?:[eE][+-]?\d+)?$"
    fits = pc.match_substring_regex(texts, number)
    if form.thousands:
        group = rf"[{form.thousands}]"
        grouped = pc.match_substring_regex(texts, rf"^[+-]?\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{dot}\d*)?$")
        texts = pc.if_else(grouped, pc.replace_substring(texts, form.thousands, ""), texts)
        fits = pc.or_(fits, grouped)
    texts = pc.replace_substring(texts, form.decimal, ".") if form.decimal != "." else texts
    return pc.or_(fits, pc.match_substring_regex(texts, _NO_NUMBER)), texts


def _cast_valid(texts: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Cast what casts; a value that does not, such as `1e999`, is null."""
    try:
        return texts.cast(target)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.chunked_array([pa.nulls(1, target)])
        half = len(texts) // 2
        parts = [_cast_valid(texts[:half], target), _cast_valid(texts[half:], target)]
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks])


def _texts_of_floats(values: pa.ChunkedArray) -> pa.ChunkedArray:
    bits = values.type.bit_width
    floats = values.cast(pa.float64()).to_numpy()
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(floats) & (np.floor(floats) == floats)
        inexact = whole & (np.abs(floats) > EXACT_FLOATS[bits])
    if inexact.any():
        raise InexactIdError(int(inexact.argmax()), bits)
    integers = pa.array(np.where(whole, floats, 0).astype(np.int64)).cast(pa.string())
    others = pc.if_else(pa.array(np.isnan(floats)), None, values.cast(pa.string()).combine_chunks())
    return pa.chunked_array([pc.if_else(pa.array(whole), integers, others)])


def _all_match(texts: pa.ChunkedArray, pattern: str) -> bool:
    """Whether all known values match; the first is looked at first, which is fast."""
    known = texts.drop_null()
    if not len(known) or not re.fullmatch(pattern, known[0].as_py()):
        return False
    return bool(pc.all(pc.match_substring_regex(known, f"^(?:{pattern})$")).as_py())


def _flag(word: str) -> bool | None:
    return FLAGS.get(re.sub(r"\.0+$", "", word).lower())


def cast_whole(values: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Cast a column whose values all cast.

    A few are tried first: Arrow takes a microsecond for each value that it refuses, and goes on to the end.

    Raises:
        pa.ArrowInvalid: a value does not cast.
    """
    values.slice(0, 64).cast(target)
    return values.cast(target)


def integers_of(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a column of integers, or of their decimal texts, as an array; null is 0."""
    filled = pc.fill_null(values.cast(pa.int64()), 0)
    numbers: np.ndarray = filled.to_numpy(zero_copy_only=False) if isinstance(filled, pa.Array) else filled.to_numpy()
    return numbers


def mask_of(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a column of flags as an array; null is false."""
    filled = pc.fill_null(values, False)
    return np.asarray(
        filled.to_numpy(zero_copy_only=False) if isinstance(filled, pa.Array) else filled.to_numpy(), bool
    )
