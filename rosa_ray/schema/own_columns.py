"""Columns that a team declares beside those of a contract: what they are called, and which tables bring them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema.behavior import BEHAVIORS
from rosa_ray.schema.contract import Column, ColumnRule, Contract
from rosa_ray.schema.contracts import ADS, CANDIDATES, CONTRACTS, EVENTS, IMPRESSIONS, ITEMS, USERS, events_with

OwnKind = Literal["category", "categories", "number", "vector"]

REQUEST, USER, ITEM, AD = "request.", "user.", "item.", "ad."
"""Prefixes of columns: known with the request, or of the user, the advertised item or the ad.

Impressions and candidates bring those of a request, and `/rank` is given them. Each of the others has a table."""

ENTITIES: Mapping[str, str] = {USER: "user_key", ITEM: "item_key", AD: "ad_key"}
"""Prefix of the columns that things have of their own -> the key by which a request finds them."""

TABLES_OF: Mapping[str, tuple[str, ...]] = {
    REQUEST: (IMPRESSIONS.name, CANDIDATES.name),
    USER: (USERS.name,),
    ITEM: (ITEMS.name,),
    AD: (ADS.name,),
}
"""Prefix -> contracts that bring its columns."""

_TYPES: Mapping[OwnKind, pa.DataType] = {
    "category": pa.string(),
    "categories": pa.list_(pa.string()),
    "number": pa.float64(),
    "vector": pa.list_(pa.float32()),
}
_FINITE = ColumnRule("are infinite", lambda a: pc.invert(pc.is_inf(a)))


@dataclass(frozen=True)
class OwnColumn:
    """A declared column.

    Attributes:
        name: with its prefix, such as `request.placement`.
        kind: `category`, a text of which equal ones are the same; `categories`, a list of them; `number`; or `vector`,
            a list of numbers. All may be null.
        size: numbers of a vector.
    """

    name: str
    kind: OwnKind
    size: int = 0

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
    return next((prefix for prefix in TABLES_OF if name.startswith(prefix) and len(name) > len(prefix)), "")


def contract_with(name: str, own: Iterable[OwnColumn], behaviors: Sequence[str] = BEHAVIORS) -> Contract:
    """The contract of a table with the declared columns that it brings; events have one of some behaviours.

    >>> contract_with("impressions", [OwnColumn("request.placement", "category")]).schema.names[-1]
    'request.placement'
    """
    brought = [column for column in own if name in TABLES_OF.get(prefix_of(column.name), ())]
    more = [Column(one.name, _TYPES[one.kind], False, "of your own", _rules(one)) for one in brought]
    base = events_with(behaviors) if name == EVENTS.name else CONTRACTS[name]
    return base.with_columns(more)


def tables_needed(own: Iterable[OwnColumn]) -> dict[str, str]:
    """Tables without which declared columns cannot be, and the first column that each is needed for.

    >>> tables_needed([OwnColumn("user.age_band", "category"), OwnColumn("request.placement", "category")])
    {'users': 'user.age_band'}
    """
    needed: dict[str, str] = {}
    for column in own:
        table = TABLES_OF[prefix_of(column.name)][0]
        if table not in (IMPRESSIONS.name, ADS.name):
            needed.setdefault(table, column.name)
    return needed


def _rules(column: OwnColumn) -> tuple[ColumnRule, ...]:
    if column.kind == "number":
        return (_FINITE,)
    if column.kind == "vector":
        sized = ColumnRule(f"have not {column.size} numbers", lambda a: pc.equal(pc.list_value_length(a), column.size))
        return sized, ColumnRule("hold a null, NaN or infinite number", _all_finite)
    return ()


def _all_finite(vectors: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Whether each list of numbers holds finite ones alone; null where the list is."""
    whole = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    owner = np.repeat(np.arange(len(whole)), pc.fill_null(pc.list_value_length(whole), 0).to_numpy())
    finite = pc.fill_null(pc.is_finite(whole.flatten()), False).to_numpy(zero_copy_only=False)
    good = np.ones(len(whole), bool)
    good[owner[~finite]] = False
    return pa.array(good)
