"""What the values of a column are: times of which unit and form, numbers, labels, ids or words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.intake.vocabulary import behavior_of
from rosa_ray.sources.times import PER_SECOND, TimeForm, Times, read_times
from rosa_ray.sources.values import (
    NULL_WORDS,
    InexactIdError,
    ValueForm,
    is_scalar,
    is_text,
    nulled,
    read_flags,
    read_numbers,
    texts_of,
)

Kind = Literal["empty", "flag", "time", "integer", "number", "text", "nested"]

MOST_WORDS = 40
_EPOCH_LOW, _EPOCH_HIGH = 946_684_800, 2_051_222_400  # 2000 to 2035
_PROBE = 400
_MOST_BAD = 0.02
_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d/%b/%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%a %b %d %Y",
    "%Y%m%d",
)
_CLOCKS = (
    "",
    " %H:%M",
    " %H:%M:%S",
    " %H:%M:%S.%f",
    " %I:%M %p",
    " %I:%M:%S %p",
    " %H:%M:%S %z",
    ":%H:%M:%S %z",
    ":%H:%M:%S",
    "T%H:%M:%S",
    "T%H:%M:%S%z",
    " %H%M%S",
)
_COMPACT = ("%Y%m%d%H%M%S%f", "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d%H", "%Y%m%d", "%y%m%d%H")
_DATE_LIKE = re.compile(r"^\d{1,4}[-/. ](\d{1,2}|[a-z]{3})[-/. ]\d|^[a-z]{3}\.? (\d{1,2},|[a-z]{3} )", re.IGNORECASE)
_MONEY_WORDS = "USD EUR GBP JPY CNY INR BRL RUB KRW TRY PLN CHF SEK NOK DKK CZK kr Kr zł Rs Rs. R$ US$ A$ C$"
_MONEY = frozenset(_MONEY_WORDS.split())
_CURRENCY = re.compile(r"^([^\d+\-.,]{0,4}?)\s*[-+]?[\d.,'\u00a0 ]*\d\s*([^\d+\-.,]{0,4})$")


@dataclass(frozen=True)
class Profile:
    """A column of a sample.

    Attributes:
        kind: what its values are; whole numbers that may be ids are `integer`.
        rows: rows looked at.
        nulls: share of rows without a value.
        distinct: different values.
        examples: a few of them, as the file has them.
        words: its values with their counts, the commonest first, where there are few.
        rising: whether the values never fall from row to row.
        low: smallest number, of numbers.
        high: largest number, of numbers.
        mean: of numbers and labels.
        unit: of times that are numbers.
        time_format: of times that are not in ISO 8601.
        either_order: the other form that reads the times as well, day and month exchanged.
        naive: whether the times say no zone.
        decimal: sign of numbers in text.
        thousands: what groups the digits of numbers in text.
        strip: characters around numbers in text.
        meanings: values that have to be mapped to be labels.
    """

    name: str
    kind: Kind
    rows: int
    nulls: float = 0.0
    distinct: int = 0
    examples: tuple[str, ...] = ()
    words: dict[str, int] = field(default_factory=dict)
    rising: bool = False
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    unit: str = ""
    time_format: str = ""
    either_order: str = ""
    naive: bool = False
    decimal: str = "."
    thousands: str = ""
    strip: str = ""
    meanings: dict[str, bool] = field(default_factory=dict)

    @property
    def unique(self) -> bool:
        """Whether no value is there twice."""
        return self.distinct == round(self.rows * (1 - self.nulls)) and self.distinct > 1

    @property
    def behavior_share(self) -> float:
        """Share of the rows whose value is a word for a behaviour."""
        known = sum(count for word, count in self.words.items() if behavior_of(word))
        total = sum(self.words.values())
        return known / total if total else 0.0

    def describe(self) -> str:
        """A few words for people."""
        if self.kind == "time":
            form = f"in {self.unit}" if self.unit else self.time_format or "ISO 8601"
            return f"times {form}{', no zone' if self.naive else ''}"
        if self.kind == "flag":
            return f"yes/no, {100 * self.mean:.3g} % yes"
        names = {"integer": "whole numbers", "number": "numbers", "text": "text", "empty": "empty", "nested": "nested"}
        return f"{names[self.kind]}, {self.distinct} different"


def profile(name: str, values: pa.ChunkedArray) -> Profile:
    """Look at a column of a sample.

    >>> found = profile("ts", pa.chunked_array([["1511544070", "1511561733", None]]))
    >>> found.kind, found.unit, found.distinct
    ('time', 's', 2)
    """
    if not is_scalar(values.type):
        return Profile(name, "nested", len(values))
    texts = nulled(_texts(values), NULL_WORDS)
    known = texts.drop_null()
    counts = known.value_counts()
    base = partial(
        Profile,
        name=name,
        rows=len(values),
        nulls=1 - len(known) / len(values) if len(values) else 1.0,
        distinct=len(counts),
        examples=tuple(counts.field("values").slice(0, 3).to_pylist()),
        words=_words(counts),
    )
    if not len(known):
        return base(kind="empty")
    return _flag(base, values, known) or _time(base, values, known) or _number(base, values, known) or base(kind="text")


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type) or pa.types.is_time(values.type):
        return values.cast(pa.string())
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        return values.cast(pa.binary()).cast(pa.string())
    if pa.types.is_boolean(values.type) or pa.types.is_null(values.type):
        return values.cast(pa.string())
    try:
        return texts_of(values).cast(pa.string())
    except InexactIdError:
        return pc.cast(values, pa.string())


def _words(counts: pa.StructArray) -> dict[str, int]:
    if len(counts) > MOST_WORDS:
        return {}
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


def _flag(base: partial[Profile], values: pa.ChunkedArray, known: pa.ChunkedArray) -> Profile | None:
    words = base.keywords["words"]
    if not 1 <= len(words) <= 3:
        return None
    meanings = _meanings(words)
    if meanings:
        yes = sum(count for word, count in words.items() if meanings.get(word))
        return base(kind="flag", mean=yes / sum(words.values()), meanings=meanings)
    flags, bad = read_flags(known, ValueForm())
    if bad is not None or flags.null_count:
        return None
    share = pc.mean(flags.cast(pa.int8())).as_py()
    return base(kind="flag", mean=share, rising=False)


def _meanings(words: dict[str, int]) -> dict[str, bool]:
    """What labels mean that are written in another way than true and false, yes and no, 1 and 0."""
    lower = {word.strip().lower() for word in words}
    if lower == {"-1", "1"}:
        return {word: word.strip() == "1" for word in words}
    signs = {word: re.sub(r"[^a-z]", "", word.lower()) for word in words}
    yes = {"clicked", "click", "converted", "positive", "pos"}
    no = {"notclicked", "noclick", "unclicked", "notconverted", "negative", "neg", "none"}
    if set(signs.values()) <= yes | no and set(signs.values()) & yes and set(signs.values()) & no:
        return {word: sign in yes for word, sign in signs.items()}
    return {}


def _time(base: partial[Profile], values: pa.ChunkedArray, known: pa.ChunkedArray) -> Profile | None:
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        naive = pa.types.is_date(kind) or kind.tz is None
        return base(
            kind="time", naive=naive, rising=_rises(values.cast(pa.timestamp("us"), safe=False).cast(pa.int64()))
        )
    probe = known.slice(0, _PROBE)
    numbers = _plain_numbers(probe)
    if numbers is not None:
        return _epoch(base, known, numbers) or _compact(base, probe)
    if not is_text(kind):
        return None
    form = _time_form(probe)
    if form is None:
        return None
    times = read_times(known, TimeForm(form.format, "", "UTC"))
    other = _either_order(form.format)
    exchanged = read_times(known, TimeForm(other, "", "UTC")) if other else None
    if exchanged is not None and _fits_better(exchanged, times):
        form, other, times, exchanged = TimeForm(other), form.format, exchanged, times
    if times.bad is not None and times.bad.mean() > _MOST_BAD:
        return None
    return base(
        kind="time",
        time_format=form.format,
        naive=read_times(probe, TimeForm(form.format, "", "")).naive is not None,
        either_order=other if exchanged is not None and exchanged.bad is None else "",
        rising=_rises(times.values.drop_null().cast(pa.int64())),
    )


def _plain_numbers(texts: pa.ChunkedArray) -> np.ndarray | None:
    numbers, bad = read_numbers(texts, ValueForm(), pa.float64())
    if bad is not None or numbers.null_count:
        return None
    return np.asarray(numbers.to_numpy())


def _epoch(base: partial[Profile], known: pa.ChunkedArray, numbers: np.ndarray) -> Profile | None:
    for unit, scale in PER_SECOND.items():
        seconds = numbers / scale
        inside = (seconds > _EPOCH_LOW) & (seconds < _EPOCH_HIGH)
        if inside.mean() > 0.9:
            everything, _ = read_numbers(known, ValueForm(), pa.float64())
            values = everything.drop_null().to_numpy()
            return base(
                kind="time", unit=unit, low=float(values.min()), high=float(values.max()), rising=_rises(everything)
            )
    return None


def _compact(base: partial[Profile], probe: pa.ChunkedArray) -> Profile | None:
    """Times such as 20131023193112417, whose digits are those of the calendar."""
    length = {len(text) for text in probe.to_pylist()}
    if len(length) > 2 or min(length) < 8:
        return None
    for time_format in _COMPACT:
        if _reads(probe, time_format) and _plausible(probe, time_format):
            return base(kind="time", time_format=time_format, naive=True)
    return None


def _plausible(probe: pa.ChunkedArray, time_format: str) -> bool:
    times = read_times(probe, TimeForm(time_format, "", "UTC")).values.drop_null().cast(pa.int64())
    seconds = times.to_numpy() / 1_000_000
    inside = (seconds > _EPOCH_LOW) & (seconds < _EPOCH_HIGH)
    return bool(inside.all()) and np.ptp(seconds) < 5 * 366 * 86_400


def _time_form(probe: pa.ChunkedArray) -> TimeForm | None:
    texts = probe.to_pylist()
    if not all(_DATE_LIKE.search(text) for text in texts[:3]):
        return None
    if _reads(probe, ""):
        return TimeForm()
    found = next((form for form in _forms() if _reads(probe, form)), None)
    return TimeForm(found) if found else None


def _forms() -> Iterator[str]:
    for date in _DATES:
        for clock in _CLOCKS:
            yield date + clock


def _reads(probe: pa.ChunkedArray, time_format: str) -> bool:
    first = read_times(probe.slice(0, 3), TimeForm(time_format, "", "UTC"))
    if first.bad is not None and first.bad.all():
        return False
    times = read_times(probe, TimeForm(time_format, "", "UTC"))
    return times.bad is None or times.bad.mean() <= _MOST_BAD


def _either_order(time_format: str) -> str:
    """The same form with day and month exchanged, empty where the year stands first."""
    if "%m" not in time_format or "%d" not in time_format or time_format.startswith("%Y"):
        return ""
    return time_format.replace("%m", "%#").replace("%d", "%m").replace("%#", "%d")


def _fits_better(one: Times, other: Times) -> bool:
    """Whether one reading has fewer values that are no times, or else lies closer together."""
    bad = [0 if times.bad is None else int(times.bad.sum()) for times in (one, other)]
    spans = [np.ptp(times.values.drop_null().cast(pa.int64()).to_numpy()) for times in (one, other) if bad[0] == bad[1]]
    return bad[0] < bad[1] or (len(spans) == 2 and bool(spans[0] < spans[1]))


def _number(base: partial[Profile], values: pa.ChunkedArray, known: pa.ChunkedArray) -> Profile | None:
    for form in _number_forms(known):
        numbers, bad = read_numbers(known, form, pa.float64())
        if bad is not None and bad.mean() > _MOST_BAD:
            continue
        found = numbers.drop_null().to_numpy()
        if not len(found):
            continue
        whole = bool((found == np.floor(found)).all()) and not form.strip
        return base(
            kind="integer" if whole else "number",
            rising=_rises(numbers),
            low=float(found.min()),
            high=float(found.max()),
            mean=float(found.mean()),
            decimal=form.decimal,
            thousands=form.thousands,
            strip=form.strip,
        )
    return None


def _number_forms(known: pa.ChunkedArray) -> Iterator[ValueForm]:
    yield ValueForm()
    probe = known.slice(0, _PROBE).to_pylist()
    around = [match for match in map(_CURRENCY.match, probe) if match]
    signs = {part.strip() for match in around for part in match.groups() if part.strip()}
    if len(around) < 0.9 * len(probe) or not all(sign in _MONEY or not sign.isalnum() for sign in signs):
        return
    strip = "".join(sorted(set("".join(signs))))
    grouped = all(re.search(r"\d,\d{3}(\D|$)", text) or "," not in text for text in probe)
    forms = [(".", ",")] if grouped else [(",", ""), (",", "."), (".", ",")]
    for decimal, thousands in [(".", ""), *forms]:
        yield ValueForm(decimal=decimal, thousands=thousands, strip=strip)


def _rises(values: pa.ChunkedArray) -> bool:
    numbers = values.drop_null().to_numpy()
    return len(numbers) > 2 and bool((np.diff(numbers) >= 0).all())
