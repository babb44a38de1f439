"""Columns that no contract takes: which of them may be features, and of which type."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.intake.guesses import TableGuess
from rosa_ray.intake.profiles import Profile
from rosa_ray.intake.samples import split_words
from rosa_ray.schema.own_columns import AD, ITEM, REQUEST, USER, OwnKind
from rosa_ray.sources.lists import is_list, read_number_lists
from rosa_ray.sources.values import NULL_WORDS, ValueForm, is_text, nulled

FEW = 20
"""Whole numbers of at most so many values are names."""
SPARSE = 100
"""Whole numbers are names where their span holds so many times more numbers than there are values."""
PREFIXES = {"users": USER, "items": ITEM, "ads": AD, "impressions": REQUEST}
"""Tables whose columns may be declared, and how their names begin."""
_ROW_LIKE = 0.9
_PROBE = 2_000
_SOME_PARTED = 0.1
_FEWEST_NUMBERS = 4
"""Numbers parted by blanks or commas are a vector from here on."""
_LATER_WORDS = (
    "label labels target y click clicks clicked clk conv conversion conversions converted cvr ctr purchase purchased "
    "purchases buy buys bought order orders ordered sale sales sold revenue gmv income profit roi install installs "
    "installed attribution attributed attrib paid pay payment cpo cpa payout reward outcome response engaged "
    "engagement like likes liked follow followed share shared comment comments play played watch watched watching "
    "dwell duration stay finish finished complete completed completion view viewed views long bounce return returned "
    "forward forwarded enter entered signup register registered registration subscribe subscribed download downloaded "
    "hate hated dislike disliked rating rated visit visited "
    "refund refunded win won winning lost cost spend charge settled after next future post final index"
)
_LATER = frozenset(_LATER_WORDS.split())
"""Words in names of what is known only after the request, or of what says nothing."""
_NAME_WORDS = "id ids code codes type class cat category hash key name group zip postcode"
_NAMES = frozenset(_NAME_WORDS.split())
"""Words in names of columns whose numbers stand for things."""


@dataclass(frozen=True)
class Leftover:
    """A column that may be declared as a feature.

    Attributes:
        table: that it is of.
        name: with its prefix, as `features.columns` has it.
        kind: of the declared column.
        found: what its values are.
        size: numbers of a vector.
    """

    table: str
    name: str
    kind: OwnKind
    found: Profile
    size: int = 0

    @property
    def active(self) -> bool:
        """Whether it is declared without being asked for: what a table tells of users, items or ads is meant to be."""
        return self.table != "impressions"

    def describe(self) -> str:
        """A few words for people."""
        if self.kind == "vector":
            return f"lists of {self.size} numbers"
        return "lists of texts" if self.kind == "categories" else self.found.describe()


def leftovers(tables: Sequence[TableGuess]) -> list[Leftover]:
    """Return the columns of users, items, ads and impressions that no contract takes and that look like features.

    Left out are columns named like something that is known only afterwards, times, columns with one value, and those
    that differ in every row. Where there are candidates, their file has to have a column of impressions too.
    """
    by_table = {one.table: one for one in tables}
    return [
        left
        for table, prefix in PREFIXES.items()
        if table in by_table
        for name in _unused(by_table[table], tables)
        if (left := _leftover(by_table[table], prefix, name)) is not None
    ]


def _unused(guess: TableGuess, tables: Sequence[TableGuess]) -> list[str]:
    """Columns of a file that no table takes."""
    taken = {column.file_column for one in tables if one.sample is guess.sample for column in one.columns.values()}
    asked = next((one for one in tables if one.table == "candidates" and guess.table == "impressions"), None)
    names = [name for name in guess.others if name not in taken and _is_plain(name) and not named_as_later(name)]
    return names if asked is None else [name for name in names if name in asked.sample.names]


def _leftover(guess: TableGuess, prefix: str, name: str) -> Leftover | None:
    found = guess.profiles[name]
    kind, size = list_kind(guess.sample.table[name])
    if kind is not None:
        return Leftover(guess.table, f"{prefix}{name}", kind, found, size)
    return Leftover(guess.table, f"{prefix}{name}", kind_of(found), found) if _may_tell(found) else None


def list_kind(values: pa.ChunkedArray) -> tuple[OwnKind | None, int]:
    """Return the type of a column whose values are lists, and the numbers of its vectors; None where they are none.

    >>> list_kind(pa.chunked_array([["a|b", "c"]])), list_kind(pa.chunked_array([["[1, 2]", "[3, 4]"]]))
    (('categories', 0), ('vector', 2))
    """
    head = values.slice(0, _PROBE)
    text = is_text(head.type)
    if not text and not is_list(head.type):
        return None, 0
    form = ValueForm(NULL_WORDS)
    known = nulled(head.cast(pa.string()), NULL_WORDS).drop_null() if text else head.drop_null()
    if not len(known):
        return None, 0
    parted = not text or pc.mean(pc.match_substring(known, "|").cast(pa.int8())).as_py() >= _SOME_PARTED
    bracketed = text and bool(pc.all(pc.starts_with(known, "[")).as_py())
    size = _vector_size(known, form)
    if size >= (2 if parted or bracketed else _FEWEST_NUMBERS):
        return "vector", size
    return ("categories" if parted or bracketed else None), 0


def _vector_size(known: pa.ChunkedArray, form: ValueForm) -> int:
    """Numbers of each value, where all are lists of as many; 0 where they are not."""
    try:
        vectors, bad = read_number_lists(known, form)
    except pa.ArrowInvalid:
        return 0
    sizes = pc.list_value_length(vectors).drop_null().unique()
    return int(sizes[0].as_py()) if bad is None and len(sizes) == 1 else 0


def named_as_later(name: str) -> bool:
    """Tell whether a name is like that of a label, a price paid or another thing known after the request.

    >>> [named_as_later(name) for name in ("is_install", "orderValue", "site_category", "cat1")]
    [True, True, False, False]
    """
    return any(word in _LATER for word in _words(name))


def kind_of(found: Profile) -> OwnKind:
    """Return the type of a declared column: whole numbers that are names of things are categories.

    >>> kind_of(Profile("cat8", "integer", 100, distinct=90, low=1, high=3e7))
    'category'
    >>> kind_of(Profile("age", "integer", 100, distinct=60, low=18, high=90))
    'number'
    """
    if found.kind == "number":
        return "number"
    if found.kind != "integer":
        return "category"
    named = bool(_NAMES & set(_words(found.name))) or found.distinct <= FEW
    return "category" if named or found.high - found.low > SPARSE * found.distinct else "number"


def _may_tell(found: Profile) -> bool:
    known = found.rows * (1 - found.nulls)
    row_like = found.kind in ("integer", "text") and found.distinct > _ROW_LIKE * known and known > FEW
    return found.kind in ("flag", "integer", "number", "text") and found.distinct > 1 and not row_like


def _is_plain(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z][\w-]*", name))


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", split_words(name).lower()) if word]
