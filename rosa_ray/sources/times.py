"""Times of a file become UTC microseconds: ISO 8601, any `strptime` form, numbers of a unit, and times of a zone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema.contract import TIMESTAMP, floor_to_microseconds
from rosa_ray.sources.time_texts import ISO, group_of, integers_in, local_microseconds, offsets_in, pattern_of
from rosa_ray.sources.values import Marks, cast_whole, integers_of, is_text, mask_of, nulled, texts_of
from rosa_ray.sources.zones import offset_of_clock

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_GUESSES = (
    (r"\d{1,2}/\d{1,2}/\d{4}", "%d/%m/%Y"),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"\d{1,2}-\d{1,2}-\d{4}", "%d-%m-%Y"),
    (r"\d{1,2}/\d{1,2}/\d{2}", "%d/%m/%y"),
    (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
)


@dataclass(frozen=True)
class TimeForm:
    """How the times of one column are written.

    Attributes:
        format: in the directives of `strptime`; empty for ISO 8601.
        unit: of numbers since 1970, `s`, `ms`, `us` or `ns`; empty where there are none.
        zone: of times that do not say theirs: a name, or an offset such as `+05:30`; empty where there are none.
    """

    format: str = ""
    unit: str = ""
    zone: str = ""


@dataclass(frozen=True)
class Times:
    """A column of times.

    Attributes:
        values: UTC microseconds, null where a value is none.
        bad: values that are there and are no times.
        naive: values that are times of an unknown zone.
    """

    values: pa.ChunkedArray
    bad: Marks = None
    naive: Marks = None


def read_times(values: pa.ChunkedArray, form: TimeForm, null_words: tuple[str, ...] = ("",)) -> Times:
    """Read a column of times of any type. Digits below the microsecond are cut off.

    >>> texts = pa.chunked_array([["2026-10-10 10:59:16.123456789 UTC", "2026-10-10T10:59:16+0530", "noon", ""]])
    >>> times = read_times(texts, TimeForm())
    >>> [str(time) for time in times.values.to_pylist()[:2]], times.bad.tolist()
    (['2026-10-10 10:59:16.123456+00:00', '2026-10-10 05:29:16+00:00'], [False, False, True, False])
    """
    kind = values.type
    if pa.types.is_null(kind):
        return Times(values.cast(TIMESTAMP))
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return Times(floor_to_microseconds(values))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _in_zone(_naive_microseconds(values), mask_of(pc.is_valid(values)), form.zone)
    if form.format:
        return _in_format(values, form, null_words)
    if not is_text(kind):
        return _numbers(values, form.unit)
    return _texts(texts_of(values), form, null_words)


def time_remedy(text: str, key: str, form: TimeForm) -> str:
    """Name the setting that would read a value as a time.

    >>> time_remedy("1791013880000", "events.event_time", TimeForm())
    'source.time_unit: {events.event_time: ms} reads it as 2026-10-03'
    >>> time_remedy("13/10/2026 10:59 PM", "events.event_time", TimeForm())
    'source.time_format: {events.event_time: "%d/%m/%Y %I:%M %p"} reads it'
    """
    digits = re.fullmatch(r"(?:19|20)\d{6}(\d{6})?", text)
    if digits:
        return f'source.time_format: {{{key}: "%Y%m%d{"%H%M%S" if digits[1] else ""}"}} reads it'
    number = re.fullmatch(r"-?\d{9,20}(\.\d*)?", text)
    if number:
        seconds = {unit: float(text) / scale for unit, scale in PER_SECOND.items()}
        unit = next((unit for unit, at in seconds.items() if 631_152_000 < at < 4_102_444_800), None)
        day = np.datetime64(int(seconds[unit]), "s").astype("M8[D]") if unit else None
        return f"source.time_unit: {{{key}: {unit}}} reads it as {day}" if unit else "source.time_unit says its unit"
    guess = next((guess for shape, guess in _GUESSES if re.match(shape + r"(\D|$)", text)), "")
    if not guess:
        return f'source.time_format: {{{key}: "%d/%m/%Y %H:%M"}} would say how it is written'
    if guess.startswith("%Y") and not re.search(r"[ap]\.?m\.?$", text, re.IGNORECASE):
        end = re.search(r"\d\s*([a-z][\w/ ]*)$", text, re.IGNORECASE)
        return f"'{end[1]}' is no offset from UTC, such as Z or +01:00" if end else "there is no such day or hour"
    if re.match(r"\d{1,2}\D(1[3-9]|[23]\d)\D", text):
        guess = f"%m{guess[2]}%d{guess[5:]}"
    return f'source.time_format: {{{key}: "{guess}{_clock(text)}"}} reads it'


def _clock(text: str) -> str:
    found = re.search(r"([T ]+)\d{1,2}:\d{2}(:\d{2})?([.]\d+)?(\s*[ap]\.?m\.?)?", text, re.IGNORECASE)
    if not found:
        return ""
    hour = "%I" if found[4] else "%H"
    tail = (" " if found[4] and found[4][0] == " " else "") + "%p" if found[4] else ""
    return f"{found[1]}{hour}:%M{':%S' if found[2] else ''}{'.%f' if found[3] else ''}{tail}"


def _in_format(values: pa.ChunkedArray, form: TimeForm, null_words: tuple[str, ...]) -> Times:
    """Times of the stated form; others are read as if none were stated."""
    texts = nulled(pc.utf8_trim_whitespace(texts_of(values)), null_words)
    stated = _by_pattern(texts, pattern_of(form.format), form.zone)
    if stated.bad is None:
        return stated
    others = _mixed(pc.if_else(pa.array(stated.bad), texts, None), form)
    naive = [marks for marks in (stated.naive, others.naive) if marks is not None]
    return Times(pc.coalesce(stated.values, others.values), others.bad, np.logical_or.reduce(naive) if naive else None)


def _numbers(values: pa.ChunkedArray, unit: str) -> Times:
    valid = mask_of(pc.is_valid(values))
    if not unit or pa.types.is_boolean(values.type):
        return Times(pa.chunked_array([pa.nulls(len(values), TIMESTAMP)]), bad=valid if valid.any() else None)
    if pa.types.is_integer(values.type):
        return _of_integers(values.cast(pa.int64(), safe=False), unit)
    floats = values.cast(pa.float64(), safe=False).to_numpy()
    scale = 1_000_000 / PER_SECOND[unit]
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.floor(floats * scale + np.spacing(np.abs(floats)) * scale)
        inside = np.abs(scaled) < 2.0**62
    known = np.isfinite(floats) & inside
    return _times(np.where(known, scaled, 0).astype(np.int64), known, valid & ~np.isnan(floats) & ~known)


def _of_integers(values: pa.ChunkedArray, unit: str) -> Times:
    valid = mask_of(pc.is_valid(values))
    numbers = integers_of(values)
    if unit == "ns":
        return _times(np.floor_divide(numbers, 1_000), valid)
    scale = 1_000_000 // PER_SECOND[unit]
    inside = (numbers < 2**62 // scale) & (numbers > -(2**62) // scale)
    return _times(np.where(inside, numbers, 0) * scale, valid & inside, valid & ~inside)


def _texts(values: pa.ChunkedArray, form: TimeForm, null_words: tuple[str, ...]) -> Times:
    """Try the column as a whole, which is fast, then value by value."""
    for texts in _plainer(values, null_words):
        for read in (_integer_texts,) if form.unit else (_zoned_texts, _naive_texts):
            try:
                return read(texts, form)
            except pa.ArrowInvalid:
                continue
    return _mixed(nulled(pc.utf8_trim_whitespace(values), null_words), form)


def _plainer(texts: pa.ChunkedArray, null_words: tuple[str, ...]) -> Iterator[pa.ChunkedArray]:
    """The texts as they are, and then ever more like those that Arrow reads."""
    yield texts
    known = nulled(texts, null_words)
    yield known
    yield _tidied(known)


def _tidied(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 as Arrow reads it, which is fast: six digits of a fraction at most, and `Z` for `UTC`."""
    long = pc.match_substring_regex(texts, r"^.{19}\.\d{7}")
    rest = pc.utf8_ltrim(pc.utf8_slice_codeunits(texts, 26, None), "0123456789")
    short = pc.binary_join_element_wise(pc.utf8_slice_codeunits(texts, 0, 26), rest, "")
    texts = pc.if_else(long, short, texts)
    stem = pc.utf8_rtrim_whitespace(pc.utf8_slice_codeunits(texts, 0, -3))
    return pc.if_else(pc.ends_with(texts, "UTC"), pc.binary_join_element_wise(stem, "Z", ""), texts)


def _integer_texts(values: pa.ChunkedArray, form: TimeForm) -> Times:
    return _of_integers(cast_whole(values, pa.int64()), form.unit)


def _zoned_texts(values: pa.ChunkedArray, form: TimeForm) -> Times:
    return Times(cast_whole(values, TIMESTAMP))


def _naive_texts(values: pa.ChunkedArray, form: TimeForm) -> Times:
    clock = cast_whole(values, pa.timestamp("us"))
    return _in_zone(_naive_microseconds(clock), mask_of(pc.is_valid(values)), form.zone)


def _mixed(texts: pa.ChunkedArray, form: TimeForm) -> Times:
    written = _by_pattern(texts, ISO, form.zone)
    if not form.unit or written.bad is None:
        return written
    numbers = _decimals(texts, form.unit)
    values = pc.coalesce(numbers.values, written.values)
    bad = written.bad & mask_of(pc.is_null(numbers.values))
    return Times(values, bad if bad.any() else None, written.naive)


def _decimals(texts: pa.ChunkedArray, unit: str) -> Times:
    """Numbers with a fraction or an exponent; the digits of a fraction are taken as they stand."""
    digits = pc.extract_regex(texts, r"^(?P<n>-?(?:\d{1,18}|[1-8]\d{18}))(?:\.(?P<f>\d*))?$")
    exact = mask_of(pc.is_valid(digits))
    whole = integers_in(digits, "n")
    places = {"s": 6, "ms": 3, "us": 0, "ns": 0}[unit]
    part = pc.utf8_slice_codeunits(pc.utf8_rpad(group_of(digits, "f"), 6, "0"), 0, places) if places else None
    fraction = np.zeros_like(whole) if part is None else integers_of(part)
    negative = mask_of(pc.starts_with(texts, "-"))
    scale = 1_000_000 // PER_SECOND[unit] if unit != "ns" else 1
    inside = np.abs(whole) < 2**62 // scale
    micros = np.where(inside, whole, 0) * scale + np.where(negative, -fraction, fraction)
    micros = np.floor_divide(micros, 1_000) if unit == "ns" else micros
    scientific = pc.match_substring_regex(texts, r"^[+-]?\d+(?:\.\d*)?[eE][+-]?\d{1,2}$")
    floats = _numbers(pc.if_else(scientific, texts, None).cast(pa.float64()), unit)
    return Times(pc.coalesce(_times(micros, exact & inside).values, floats.values))


def _by_pattern(texts: pa.ChunkedArray, pattern: str, zone: str) -> Times:
    parts = pc.extract_regex(texts, pattern)
    found = mask_of(pc.is_valid(parts))
    micros, fits = local_microseconds(parts)
    offset, has_offset = offsets_in(parts)
    bad = mask_of(pc.is_valid(texts)) & ~(found & fits)
    with_offset = _times(micros - offset, found & fits & has_offset, bad)
    local = _in_zone(micros, found & fits & ~has_offset, zone)
    return Times(pc.coalesce(with_offset.values, local.values), with_offset.bad, local.naive)


def _naive_microseconds(values: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_date(values.type):
        values = values.cast(pa.date32()).cast(pa.timestamp("us"))
    unit = values.type.unit
    numbers = integers_of(values)
    return np.floor_divide(numbers, 1_000) if unit == "ns" else numbers * (1_000_000 // PER_SECOND[unit])


def _in_zone(micros: np.ndarray, valid: np.ndarray, zone: str) -> Times:
    """Times that a clock shows."""
    if not zone:
        return Times(pa.chunked_array([pa.nulls(len(micros), TIMESTAMP)]), naive=valid if valid.any() else None)
    return _times(micros - offset_of_clock(np.where(valid, micros, 0), zone), valid)


def _times(micros: np.ndarray, valid: np.ndarray, bad: Marks = None) -> Times:
    values = pa.array(micros, pa.int64(), mask=~valid).cast(TIMESTAMP)
    return Times(pa.chunked_array([values]), bad if bad is not None and bad.any() else None)
