"""Times of a file become UTC microseconds: ISO 8601, any `strptime` form, numbers of a unit, and times of a zone."""

import re
from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema.contracts import TIMESTAMP, floor_to_microseconds
from rosa_ray.sources.values import Marks, is_text, mask_of, nulled, texts_of

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_OFFSET = r"(?:Z|UTC|GMT|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?(?:\s*UTC)?)"
_ISO = (
    r"(?i)^(?P<Y>\d{4})[-/](?P<m>\d{1,2})[-/](?P<d>\d{1,2})"
    r"(?:[T\s]\s*(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d+))?)?\s*(?P<z>" + _OFFSET + r")?)?$"
)
_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{1,2}",
    "d": r"\d{1,2}",
    "e": r"\s?\d{1,2}",
    "b": r"[[:alpha:]]{3,9}\.?",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "M": r"\d{1,2}",
    "S": r"\d{1,2}",
    "f": r"\d+",
    "p": r"[AaPp]\.?[Mm]\.?",
    "z": _OFFSET,
    "a": r"[[:alpha:]]{2,9}\.?",
}
_ALIASES = {"B": "b", "h": "b", "A": "a", "k": "H", "l": "I", "Z": "z"}
_SHORTHANDS = {"%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y", "%F": "%Y-%m-%d"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
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


def read_times(values: pa.ChunkedArray, form: TimeForm, null_words: tuple[str, ...] = ()) -> Times:
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
        return _in_zone(_naive_microseconds(values), mask_of(pc.is_valid(values)), None, form.zone)
    if form.format:
        return _in_format(values, form, null_words)
    if not is_text(kind):
        return _numbers(values, form.unit)
    return _texts(values, form, null_words)


def known_zone(zone: str) -> bool:
    """Tell whether a zone is a known name or an offset.

    >>> known_zone("Europe/Paris"), known_zone("+05:30"), known_zone("Mars")
    (True, True, False)
    """
    return bool(_fixed_offset(zone) is not None or zone in _zone_names())


@cache
def pattern_of(time_format: str) -> str:
    """Turn a `strptime` form into a regular expression with a group for each directive.

    >>> pattern_of("%d/%m")
    Traceback (most recent call last):
    ValueError: it needs %Y, %m and %d

    Raises:
        ValueError: a directive is unknown or there twice, or the date is not whole.
    """
    for short, long in _SHORTHANDS.items():
        time_format = time_format.replace(short, long)
    seen: list[str] = []
    pieces = [_piece(piece, seen) for piece in re.findall(r"%.?|\s+|.", time_format, re.DOTALL)]
    twice = next((name for name in seen if seen.count(name) > 1), None)
    if twice:
        raise ValueError(f"%{twice} is there twice")
    if not {"Y", "y"} & {*seen} or not {"m", "b"} & {*seen} or not {"d", "e"} & {*seen}:
        raise ValueError("it needs %Y, %m and %d")
    return "^" + "".join(pieces) + "$"


def time_remedy(text: str, key: str, form: TimeForm) -> str:
    """Name the setting that would read a value as a time.

    >>> time_remedy("1791013880000", "events.event_time", TimeForm())
    'source.time_unit: {events.event_time: ms} reads it as 2026-10-03'
    >>> time_remedy("13/10/2026 10:59 PM", "events.event_time", TimeForm())
    'source.time_format: {events.event_time: "%d/%m/%Y %I:%M %p"} reads it'
    """
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
        return "there is no such day or hour"
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


def _piece(piece: str, seen: list[str]) -> str:
    if piece.isspace():
        return r"\s+"
    if piece == "%%" or not piece.startswith("%"):
        return re.escape(piece[-1])
    name = _ALIASES.get(piece[1:], piece[1:])
    if name not in _DIRECTIVES:
        raise ValueError(f"{piece} is unknown; known are {', '.join(f'%{known}' for known in _DIRECTIVES)}")
    seen.append(name)
    return f"(?P<{name}>{_DIRECTIVES[name]})"


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
    numbers = pc.fill_null(values, 0).to_numpy()
    if unit == "ns":
        return _times(np.floor_divide(numbers, 1_000), valid)
    scale = 1_000_000 // PER_SECOND[unit]
    inside = (numbers < 2**62 // scale) & (numbers > -(2**62) // scale)
    return _times(np.where(inside, numbers, 0) * scale, valid & inside, valid & ~inside)


def _texts(values: pa.ChunkedArray, form: TimeForm, null_words: tuple[str, ...]) -> Times:
    """Try the column as a whole, which is fast, then value by value."""
    if form.unit:
        try:
            return _of_integers(values.cast(pa.int64()), form.unit)
        except pa.ArrowInvalid:
            pass
    else:
        try:
            return Times(values.cast(TIMESTAMP))
        except pa.ArrowInvalid:
            pass
        try:
            return _in_zone(
                _naive_microseconds(values.cast(pa.timestamp("us"))), mask_of(pc.is_valid(values)), None, form.zone
            )
        except pa.ArrowInvalid:
            pass
    texts = nulled(pc.utf8_trim_whitespace(texts_of(values)), null_words)
    return _mixed(texts, form)


def _mixed(texts: pa.ChunkedArray, form: TimeForm) -> Times:
    written = _by_pattern(texts, _ISO, form.zone)
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
    whole = _integers(digits, "n")
    places = {"s": 6, "ms": 3, "us": 0, "ns": 0}[unit]
    part = pc.utf8_slice_codeunits(pc.utf8_rpad(_group(digits, "f"), 6, "0"), 0, places) if places else None
    fraction = pc.fill_null(part.cast(pa.int64()), 0).to_numpy() if part is not None else np.zeros_like(whole)
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
    micros, fits = _local_microseconds(parts)
    offset, has_offset = _offsets(parts)
    bad = mask_of(pc.is_valid(texts)) & ~(found & fits)
    with_offset = _times(micros - offset, found & fits & has_offset, bad)
    local = _in_zone(micros, found & fits & ~has_offset, None, zone)
    return Times(pc.coalesce(with_offset.values, local.values), with_offset.bad, local.naive)


def _local_microseconds(parts: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    names = {field.name for field in parts.type}
    year = _integers(parts, "Y") if "Y" in names else _century(_integers(parts, "y"))
    month = _integers(parts, "m") if "m" in names else _month_numbers(_group(parts, "b"))
    day = _integers(parts, "d") if "d" in names else _integers(parts, "e")
    hour = _integers(parts, "H") if "H" in names else _integers(parts, "I")
    fits = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)
    if "p" in names:
        fits &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + 12 * mask_of(pc.match_substring_regex(_group(parts, "p"), "^[Pp]"))
    minute, second = _integers(parts, "M"), _integers(parts, "S")
    fits &= (hour < 24) & (minute < 60) & (second <= 60)
    months = np.where(fits, (year - 1970) * 12 + month - 1, 0).astype("M8[M]")
    days = months.astype("M8[D]") + np.where(fits, day - 1, 0)
    fits &= days.astype("M8[M]") == months
    seconds = days.astype("M8[s]").astype(np.int64) + hour * 3600 + minute * 60 + second
    return seconds * 1_000_000 + _fraction(parts, names), fits


def _fraction(parts: pa.ChunkedArray, names: set[str]) -> np.ndarray:
    if "f" not in names:
        return np.zeros(len(parts), np.int64)
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(_group(parts, "f"), 6, "0"), 0, 6)
    return pc.fill_null(_nonempty(digits, "000000").cast(pa.int64()), 0).to_numpy()


def _offsets(parts: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds east of UTC, and which values say so."""
    if "z" not in {field.name for field in parts.type}:
        return np.zeros(len(parts), np.int64), np.zeros(len(parts), bool)
    encoded = _group(parts, "z").combine_chunks().dictionary_encode()
    known = [_offset_of(text) for text in encoded.dictionary.to_pylist()]
    micros = pc.take(pa.array(known, pa.int64()), encoded.indices)
    return pc.fill_null(micros, 0).to_numpy(zero_copy_only=False), mask_of(pc.is_valid(micros))


def _offset_of(text: str) -> int | None:
    if not text:
        return None
    found = re.search(r"([+-])(\d{2}):?(\d{2})?", text)
    if not found:
        return 0
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return (-minutes if found[1] == "-" else minutes) * 60_000_000


def _in_zone(micros: np.ndarray, valid: np.ndarray, bad: Marks, zone: str) -> Times:
    """Times of a zone's clock. One that the clock skips counts on from before the gap; of two, the first is taken."""
    offset = _fixed_offset(zone) if zone else None
    if not zone:
        return Times(pa.chunked_array([pa.nulls(len(micros), TIMESTAMP)]), bad, valid if valid.any() else None)
    if offset is not None:
        return _times(micros - offset, valid, bad)
    local = pa.array(np.where(valid, micros, 0)).cast(pa.timestamp("us"))
    guess = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
    east = pc.local_timestamp(guess).cast(pa.int64()).to_numpy() - guess.cast(pa.int64()).to_numpy()
    return _times(micros - east, valid, bad)


def _fixed_offset(zone: str) -> int | None:
    return _offset_of(zone) if re.fullmatch(r"[+-]\d{2}:?\d{2}", zone) else None


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _naive_microseconds(values: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_date(values.type):
        values = values.cast(pa.date32()).cast(pa.timestamp("us"))
    unit = values.type.unit
    numbers = pc.fill_null(values.cast(pa.int64()), 0).to_numpy()
    return np.floor_divide(numbers, 1_000) if unit == "ns" else numbers * (1_000_000 // PER_SECOND[unit])


def _times(micros: np.ndarray, valid: np.ndarray, bad: Marks = None) -> Times:
    values = pa.array(micros, pa.int64(), mask=~valid).cast(TIMESTAMP)
    return Times(pa.chunked_array([values]), bad if bad is not None and bad.any() else None)


def _group(parts: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    return pc.struct_field(parts, name)


def _integers(parts: pa.ChunkedArray, name: str) -> np.ndarray:
    if name not in {field.name for field in parts.type}:
        return np.zeros(len(parts), np.int64)
    texts = _nonempty(pc.utf8_trim_whitespace(_group(parts, name)), "0")
    return pc.fill_null(texts.cast(pa.int64()), 0).to_numpy()


def _nonempty(texts: pa.ChunkedArray, default: str) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(texts, ""), default, texts)


def _century(years: np.ndarray) -> np.ndarray:
    return np.where(years < 69, years + 2000, years + 1900)


def _month_numbers(names: pa.ChunkedArray) -> np.ndarray:
    encoded = names.combine_chunks().dictionary_encode()
    known = [
        _MONTHS.index(name[:3].lower()) + 1 if name[:3].lower() in _MONTHS else 0
        for name in encoded.dictionary.to_pylist()
    ]
    return pc.fill_null(pc.take(pa.array(known, pa.int64()), encoded.indices), 0).to_numpy(zero_copy_only=False)
