"""Tables of users and items: versions of what is known of them, as later passes read it."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rosa_ray.data.catalogue import Catalogue, read_versions
from rosa_ray.data.staging_area import read_staged
from rosa_ray.data.tasks import run_tasks
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import ITEMS, USERS, Contract
from rosa_ray.schema.own_columns import OwnColumn, contract_with, tables_needed
from rosa_ray.storage import remove_tree, write_parquet


@dataclass(frozen=True)
class OwnTables:
    """What became of the rows of tables of users and items.

    Attributes:
        versions: of each table that is read, how many there are.
        counts, examples: by the names in `rosa_ray.data.losses.reasons`.
    """

    versions: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


def write_own_tables(layout: DataDir, partitions: int, own: tuple[OwnColumn, ...]) -> OwnTables:
    """Write `layout.users_table(part)` and `layout.items` from what is staged, where a declared column needs them.

    Ray must be initialised. Rows have their contract's columns, and those of users their `user_key`.
    """
    remove_tree(layout.users_tables)
    remove_tree(layout.items)
    needed = tables_needed(own)
    found: list[dict[str, Any]] = []
    if USERS.name in needed:
        write = partial(_write_users, layout, own)
        found += run_tasks(write, range(partitions), f"writing {layout.users_tables}")
    if ITEMS.name in needed:
        found.append(_write(layout, contract_with(ITEMS.name, own), 0, layout.items))
    versions: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for part in found:
        versions[part["table"]] += part["versions"]
        counts.update(part["counts"])
    examples = {name: text for part in reversed(found) for name, text in part["examples"].items()}
    return OwnTables(dict(versions), dict(counts), examples)


def _write_users(layout: DataDir, own: tuple[OwnColumn, ...], part: int) -> dict[str, Any]:
    return _write(layout, contract_with(USERS.name, own), part, layout.users_table(part))


def _write(layout: DataDir, contract: Contract, part: int, path: str) -> dict[str, Any]:
    known: Catalogue = read_versions(read_staged(layout.staging, contract, part), contract)
    write_parquet(known.table, path)
    return {
        "table": contract.name,
        "versions": known.table.num_rows,
        "counts": known.counts,
        "examples": known.examples,
    }
