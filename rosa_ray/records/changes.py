"""From parsed records of users, items and ads to versions of their declared columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rosa_ray.features.changes import Changes, change_rows
from rosa_ray.features.own import ColumnConfigs, column_type, keyed_columns, of_prefix
from rosa_ray.records.columns import Pseudonym
from rosa_ray.records.ignored_fields import MAX_CHARACTERS, add_fields
from rosa_ray.records.own_values import Value, as_declared
from rosa_ray.records.record_types import AdIn, ChangeModel, ItemIn, ProfileIn
from rosa_ray.schema import hash_ids
from rosa_ray.schema.own_columns import AD, ITEM, USER

_PREFIXES: dict[type, tuple[str, str]] = {ProfileIn: (USER, "user_id"), ItemIn: (ITEM, "item_id"), AdIn: (AD, "ad_id")}


@dataclass(frozen=True)
class Told:
    """What n changes say.

    Attributes:
        values: of each, by column, as contract rows hold them.
        faults: position of a change to what is wrong with a value of it, in one line without its content.
        ignored: columns that are not declared or not read live, and in how many changes each stood.
    """

    values: list[dict[str, Value]]
    faults: dict[int, str]
    ignored: Mapping[str, int]


def read_told(records: Sequence[ChangeModel], configs: ColumnConfigs) -> Told:
    """Read the columns of changes.

    Args:
        configs: all declared columns. Vectors of items and ads belong to the model and are not read.
    """
    values: list[dict[str, Value]] = []
    faults: dict[int, str] = {}
    ignored: dict[str, int] = {}
    declared = {prefix: of_prefix(prefix, configs) for prefix, _ in _PREFIXES.values()}
    for at, record in enumerate(records):
        prefix, known = _prefix(record), declared[_prefix(record)]
        told: dict[str, Value] = {}
        for name, value in record.columns.items():
            if prefix + name not in known:
                add_fields(ignored, {f"columns.{name}"[:MAX_CHARACTERS]: 1})
                continue
            try:
                told[prefix + name] = as_declared(value, known[prefix + name])
            except ValueError as error:
                faults.setdefault(at, f"columns.{name} {error}")
        values.append(told)
    return Told(values, faults, ignored)


def changes_of(
    records: Sequence[ChangeModel],
    values: Sequence[dict[str, Value]],
    time_us: np.ndarray,
    configs: ColumnConfigs,
    pseudonym: Pseudonym | None = None,
) -> tuple[Changes, ...]:
    """Versions that changes tell, by entity; those that tell nothing are left out.

    Args:
        values: of `read_told`.
        time_us: since when each holds.
        pseudonym: what a user id becomes before it is hashed; the id itself when absent.
    """
    changes = []
    for kind, (prefix, id_column) in _PREFIXES.items():
        rows = [at for at, record in enumerate(records) if isinstance(record, kind) and values[at]]
        if not rows:
            continue
        ids = [getattr(records[at], id_column) for at in rows]
        hidden = ids if pseudonym is None or prefix != USER else [pseudonym(one) for one in ids]
        told, declared = [values[at] for at in rows], of_prefix(prefix, configs)
        table = {name: pa.array([one.get(name) for one in told], column_type(declared[name])) for name in declared}
        said = np.array([[name in one for name in declared] for one in told])
        columns = keyed_columns(pa.table(table), declared)
        key = hash_ids(pa.array(hidden, pa.string()))
        changes.append(Changes(prefix, key, change_rows(time_us[rows], columns, said, declared)))
    return tuple(changes)


def _prefix(record: ChangeModel) -> str:
    return _PREFIXES[type(record)][0]
