"""Rows that share an id: copies are dropped, versions become one row, contradictions are counted and shown.

An id and what it names belong together: an impression is a user and an ad, an event is a user, an item and a behaviour.
Rows of one id that name different things are different rows, and all of them are kept. Rows of one id that name the
same thing are versions of one row. The newest version counts where the log says which that is. Else labels only grow: a
click or a conversion stays, revenue and cost are the largest, times the earliest.

What is kept depends on the rows alone, never on the order or the names of files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema import ADS, CANDIDATES, EVENTS, IMPRESSIONS, ITEMS, USERS, Contract
from rosa_ray.schema.own_columns import prefix_of

_Rows = np.ndarray


@dataclass(frozen=True)
class IdRule:
    """What an id of a contract names, and how versions of a row become one.

    Attributes:
        id: the id column.
        names: columns that, with the id, make two rows the same thing.
        merged: how columns of the versions are merged; the others take the first value that is known.
        newest: the column that says when a version was written; empty without one.
        whole: versions are alternatives, of which one is taken whole.
        dated: what an id names changes with time, and `names` say since when; so an id may name several things.
    """

    contract: Contract
    id: str
    names: tuple[str, ...] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    newest: str = ""
    whole: bool = False
    dated: bool = False


RULES = {
    EVENTS.name: IdRule(EVENTS, "event_id", ("user_id", "item_id", "behavior"), {"event_time": "min"}),
    IMPRESSIONS.name: IdRule(
        IMPRESSIONS,
        "impression_id",
        ("user_id", "ad_id"),
        {
            "request_time": "min",
            "click": "any",
            "click_time": "min",
            "conversion": "any",
            "conversion_time": "min",
            "revenue": "max",
            "cost": "max",
            "click_cost": "max",
            "updated_time": "max",
        },
        newest="updated_time",
    ),
    CANDIDATES.name: IdRule(CANDIDATES, "impression_id", ("user_id", "ad_id"), {"request_time": "min"}),
    ADS.name: IdRule(ADS, "ad_id", ("valid_from",), whole=True, dated=True),
    USERS.name: IdRule(USERS, "user_id", ("valid_from",), whole=True, dated=True),
    ITEMS.name: IdRule(ITEMS, "item_id", ("valid_from",), whole=True, dated=True),
}
"""Contract name to the rule of its ids."""

_LABELS = ("click", "click_time", "conversion", "conversion_time", "revenue", "cost", "click_cost", "updated_time")
"""Columns in which versions may differ without contradicting each other."""


@dataclass(frozen=True)
class Repeats:
    """Rows of ids that stand more than once.

    Attributes:
        copies: rows left out that equal a kept one in every column.
        versions: rows that became one with a newer or fuller version of themselves.
        conflicts: rows left out that contradict the kept one.
        shared: rows kept whose id names something else too.
        conflict, sharing: an example each, in words; empty without any.
    """

    copies: int = 0
    versions: int = 0
    conflicts: int = 0
    shared: int = 0
    conflict: str = ""
    sharing: str = ""


def unique_rows(table: pa.Table, rule: IdRule) -> tuple[pa.Table, Repeats]:
    """Leave one row of every thing that an id names.

    Args:
        table: rows of the rule's contract, with its declared columns; keys may follow.

    Returns:
        The rows, in their order where no id repeats; and what became of the others.
    """
    code = value_codes(table[rule.id])
    repeated = np.bincount(code)[code] > 1 if len(code) else np.zeros(0, bool)
    if not repeated.any():
        return table, Repeats()
    few, group, copies = _distinct(table.filter(pa.array(repeated)), rule)
    few, group, versions = _newest(few, group, rule)
    merged, merged_versions, conflicts, conflict = _merge(few, group, rule)
    shared, sharing = (0, "") if rule.dated else _shared(merged, rule)
    rows = pa.concat_tables([table.filter(pa.array(~repeated)), merged])
    return rows, Repeats(copies, versions + merged_versions, conflicts, shared, conflict, sharing)


def content_names(table: pa.Table, contract: Contract) -> list[str]:
    """Columns of a table that its rows say something in: those of the contract, and declared ones."""
    known = contract.schema.names
    return [name for name in table.column_names if name in known or prefix_of(name)]


def value_codes(column: pa.ChunkedArray) -> _Rows:
    """Numbers that are equal where values are; -1 for null."""
    plain = pa.chunked_array([_list_order(column)]) if pa.types.is_list(column.type) else column
    indices = plain.dictionary_encode().unify_dictionaries().combine_chunks().indices
    codes: _Rows = indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _list_order(column: pa.ChunkedArray) -> pa.Array:
    """Lists as bytes that are equal, and in order, as the lists are; null where these are."""
    lists = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    elements = lists.flatten()
    ranks = pc.rank(elements, tiebreaker="dense").to_numpy() if len(elements) else np.empty(0)
    data = pa.py_buffer(ranks.astype(">u4").tobytes())
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    offsets = pa.py_buffer(np.r_[0, np.cumsum(4 * lengths.astype(np.int64))].tobytes())
    bytes_of = pa.Array.from_buffers(pa.large_binary(), len(lists), [None, offsets, data])
    return pc.if_else(lists.is_valid(), bytes_of, None)


def _in_order(table: pa.Table, names: Sequence[str]) -> _Rows:
    """Rows by the values of some columns."""
    keys = {name: _list_order(table[name]) if pa.types.is_list(table[name].type) else table[name] for name in names}
    order: _Rows = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in names]).to_numpy()
    return order


def _distinct(few: pa.Table, rule: IdRule) -> tuple[pa.Table, _Rows, int]:
    """Rows by what they name and then by content, each content once; the number of its group for each; and the copies.

    The order comes from the values, so that it is the same whatever the order of files.
    """
    names = content_names(few, rule.contract)
    few = few.take(pa.array(_in_order(few, names)))
    codes = {name: value_codes(few[name]) for name in names}
    order = np.lexsort([codes[name] for name in (*rule.names, rule.id)])
    few, codes = few.take(pa.array(order)), {name: values[order] for name, values in codes.items()}
    new_group = _changes([codes[name] for name in (rule.id, *rule.names)])
    new_content = _changes(list(codes.values()))
    return few.filter(pa.array(new_content)), (np.cumsum(new_group) - 1)[new_content], int((~new_content).sum())


def _changes(columns: Sequence[_Rows]) -> _Rows:
    """Whether a row differs from the one before."""
    changed: _Rows = np.any([np.diff(values) != 0 for values in columns], axis=0)
    return np.concatenate([[True], changed])


def _newest(few: pa.Table, group: _Rows, rule: IdRule) -> tuple[pa.Table, _Rows, int]:
    """Leave the newest versions of each group, where the rows say how old they are; and the number of others."""
    if not rule.newest:
        return few, group, 0
    written = few[rule.newest].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
    newest = np.full(int(group[-1]) + 1, np.iinfo(np.int64).min)
    np.maximum.at(newest, group, written)
    kept = written == newest[group]
    return few.filter(pa.array(kept)), group[kept], int((~kept).sum())


def _merge(few: pa.Table, group: _Rows, rule: IdRule) -> tuple[pa.Table, int, int, str]:
    """One row a group: the rows, how many were merged, how many left out as contradictions, and one of these."""
    sizes = np.bincount(group)
    extra = int(sizes.sum() - (sizes > 0).sum())
    if not extra:
        return few, 0, 0, ""
    names = [name for name in content_names(few, rule.contract) if name not in _LABELS]
    opposed = [(name, *_contradictions(few[name], group)) for name in names]
    found = np.logical_or.reduce([differ for _, differ, _, _ in opposed])
    in_conflict = np.ones(len(sizes), bool) if rule.whole else found
    conflicts = int(np.maximum(sizes - 1, 0)[in_conflict].sum())
    return _one_each(few, group, rule), extra - conflicts, conflicts, _conflict(few, group, opposed, rule)


def _contradictions(column: pa.ChunkedArray, group: _Rows) -> tuple[_Rows, _Rows, _Rows]:
    """Whether the known values of each group differ; and of each group a row with the least and the largest code."""
    codes = value_codes(column)
    known = np.flatnonzero(codes >= 0)
    by_code = known[np.lexsort([codes[known], group[known]])]
    groups = int(group[-1]) + 1
    low, high = np.searchsorted(group[by_code], [np.arange(groups), np.arange(1, groups + 1)])
    there = low < high
    if not len(by_code):
        return there, low, low
    first, last = by_code[np.where(there, low, 0)], by_code[np.where(there, high - 1, 0)]
    return there & (codes[first] != codes[last]), first, last


def _conflict(few: pa.Table, group: _Rows, opposed: list[tuple[str, _Rows, _Rows, _Rows]], rule: IdRule) -> str:
    for name, found, first, last in opposed:
        if found.any():
            place = int(np.flatnonzero(found)[0])
            low, high = int(first[place]), int(last[place])
            return _opposed(few, rule, name, low, high)
    if not rule.whole:
        return ""
    # One row says what the other does not know.
    low = int(np.flatnonzero(np.diff(group) == 0)[0])
    pair = few.slice(low, 2)
    name = next(name for name, *_ in opposed if len(np.unique(value_codes(pair[name]))) > 1)
    return _opposed(few, rule, name, low, low + 1)


def _opposed(few: pa.Table, rule: IdRule, name: str, low: int, high: int) -> str:
    return f"{rule.id} {_text(few, rule.id, low)}: {name} {_text(few, name, low)} and {_text(few, name, high)}"


def _one_each(few: pa.Table, group: _Rows, rule: IdRule) -> pa.Table:
    if rule.whole:
        return few.filter(pa.array(_changes([group])))
    lists = [name for name in few.column_names if pa.types.is_list(few.schema.field(name).type)]
    how = {name: rule.merged.get(name, "first") for name in few.column_names if name not in lists}
    plain = few.drop_columns(lists).append_column("group", pa.array(group))
    grouped = plain.group_by("group", use_threads=False).aggregate([*how.items()])
    columns = {name: grouped[f"{name}_{way}"].cast(few.schema.field(name).type) for name, way in how.items()}
    columns |= {name: _first_known(few[name], group) for name in lists}
    return pa.table([columns[name] for name in few.column_names], schema=few.schema)


def _first_known(lists: pa.ChunkedArray, group: _Rows) -> pa.ChunkedArray:
    """The first list of each group that is known; groups lie one behind the other."""
    first = np.flatnonzero(_changes([group]))
    known = np.flatnonzero(lists.is_valid().to_numpy())
    groups, place = np.unique(group[known], return_index=True)
    rows = first.copy()
    rows[groups] = known[place]
    return lists.take(pa.array(rows))


def _shared(rows: pa.Table, rule: IdRule) -> tuple[int, str]:
    """Rows whose id names several things, and two of them in words."""
    code = value_codes(rows[rule.id])
    shared = np.flatnonzero(np.bincount(code)[code] > 1)
    if not len(shared):
        return 0, ""
    first = int(shared[0])
    other = int(np.flatnonzero(code == code[first])[1])
    names = [name for name in rule.names if rows[name][first] != rows[name][other]]
    told = [", ".join(f"{name} {_text(rows, name, row)}" for name in names) for row in (first, other)]
    return len(shared), f"{rule.id} {_text(rows, rule.id, first)} names {told[0]} and {told[1]}"


def _text(table: pa.Table, name: str, row: int) -> str:
    value = table[name][row]
    if not value.is_valid:
        return "null"
    if pa.types.is_nested(value.type):
        return str(value.as_py())[:60]
    if pa.types.is_string(value.type):
        return repr(str(value.as_py())[:60])
    return str(value.cast(pa.string()).as_py())
