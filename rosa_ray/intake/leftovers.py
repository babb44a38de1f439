"""Columns that no contract takes: which of them may be features of the request, and of which type."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rosa_ray.intake.guesses import TableGuess
from rosa_ray.intake.profiles import Profile
from rosa_ray.intake.samples import split_words
from rosa_ray.schema.own_columns import REQUEST, OwnKind

FEW = 20
"""Whole numbers of at most so many values are names."""
SPARSE = 100
"""Whole numbers are names where their span holds so many times more numbers than there are values."""
_ROW_LIKE = 0.9
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
    """A column of impressions that may be declared as a feature.

    Attributes:
        name: with its prefix, as `features.columns` has it.
        kind: of the declared column.
        found: what its values are.
    """

    name: str
    kind: OwnKind
    found: Profile


def leftovers(tables: Sequence[TableGuess]) -> list[Leftover]:
    """Return the columns of impressions that no table takes and that look like features of the request.

    Left out are columns named like something that is known only afterwards, times, columns with one value, and those
    that differ in every row. Where there are candidates, their file has to have the column too.
    """
    shown = next((one for one in tables if one.table == "impressions"), None)
    if shown is None:
        return []
    taken = {guess.file_column for one in tables if one.sample is shown.sample for guess in one.columns.values()}
    asked = next((one for one in tables if one.table == "candidates"), None)
    names = [name for name in shown.others if name not in taken and _is_plain(name) and not named_as_later(name)]
    if asked is not None:
        names = [name for name in names if name in asked.sample.names]
    profiles = [shown.profiles[name] for name in names]
    return [Leftover(f"{REQUEST}{found.name}", kind_of(found), found) for found in profiles if _may_tell(found)]


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
