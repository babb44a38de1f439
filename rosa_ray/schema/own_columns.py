"""Columns that a team declares beside those of a contract: what they are called, and which tables bring them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema.behavior import BEHAVIORS
from rosa_ray.schema.contract import Column, ColumnRule, Contract
from rosa_ray.schema.contracts import CANDIDATES, CONTRACTS, EVENTS, IMPRESSIONS, events_with

OwnKind = Literal["category", "number"]

REQUEST = "request."
"""Prefix of columns that are known with the request: impressions and candidates bring them, `/rank` is given them."""

_TABLES_OF = {REQUEST: (IMPRESSIONS.name, CANDIDATES.name)}
_TYPES: Mapping[OwnKind, pa.DataType] = {"category": pa.string(), "number": pa.float64()}
_RULES: Mapping[OwnKind, tuple[ColumnRule, ...]] = {
    "category": (),
    "number": (ColumnRule("are infinite", lambda a: pc.invert(pc.is_inf(a))),),
}


@dataclass(frozen=True)
class OwnColumn:
    """A declared column.

    Attributes:
        name: with its prefix, such as `request.placement`.
        kind: `category`, a text of which equal ones are the same; or `number`. Either may be null.
    """

    name: str
    kind: OwnKind

    @property
    def file_column(self) -> str:
        """What files call it where no setting says otherwise.

        >>> OwnColumn("request.placement", "category").file_column
        'placement'
        """
        return self.name.partition(".")[2]


def prefix_of(name: str) -> str:
    """The prefix of a declared column's name, empty where it has none of those known.

    >>> prefix_of("request.placement"), prefix_of("placement")
    ('request.', '')
    """
    return next((prefix for prefix in _TABLES_OF if name.startswith(prefix) and len(name) > len(prefix)), "")


def contract_with(name: str, own: Iterable[OwnColumn], behaviors: Sequence[str] = BEHAVIORS) -> Contract:
    """The contract of a table with the declared columns that it brings; events have one of some behaviours.

    >>> contract_with("impressions", [OwnColumn("request.placement", "category")]).schema.names[-1]
    'request.placement'
    """
    brought = [column for column in own if name in _TABLES_OF.get(prefix_of(column.name), ())]
    more = [Column(one.name, _TYPES[one.kind], False, "of your own", _RULES[one.kind]) for one in brought]
    base = events_with(behaviors) if name == EVENTS.name else CONTRACTS[name]
    return base.with_columns(more)
