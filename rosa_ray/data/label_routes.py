"""Brings clicks and conversions of logs of their own to the partition of their impression, through files.

A click knows its impression's id, and the impression its user. So impressions hand their ids to partitions by id, and
what names an id is looked up there. A conversion that knows its click alone is looked up among the clicks first. A task
holds one partition. Rows that name no id have a user, and lie in the right partition already.
"""

from collections.abc import Callable
from functools import partial

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.data.staging_area import read_staged, staged_schema
from rosa_ray.data.tasks import run_tasks
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import CLICKS, CONVERSIONS, IMPRESSIONS, Contract, derive_key, hash_ids
from rosa_ray.storage import full_path, read_parquet, remove_tree, write_parquet

LABEL_LOGS = (CLICKS, CONVERSIONS)
"""Contracts whose rows are joined to impressions."""

_IMPRESSION_IDS, _CLICK_IDS, _HOPS = "impression_ids", "click_ids", "hops"
_IDS = pa.schema([("key", pa.int64()), ("part", pa.int64())])
_CLICKS = pa.schema([("key", pa.int64()), ("goes_by", pa.int64()), ("by_impression", pa.bool_())])


def route_labels(layout: DataDir, partitions: int) -> None:
    """Write what `read_routed` reads, of every partition.

    Ray must be initialised, and the log staged.
    """
    remove_tree(layout.routes)
    steps: tuple[Callable[[DataDir, int, int], None], ...] = (hand_out_ids, follow_clicks, deliver)
    for step in steps:
        run_tasks(partial(step, layout, partitions), range(partitions), f"joining labels in {layout.root}")


def read_routed(layout: DataDir, contract: Contract, part: int) -> pa.Table:
    """Clicks or conversions whose impression, or else whose user, lies in a partition."""
    return _received(layout, contract.name, part, staged_schema(contract))


def routed_files(layout: DataDir, part: int) -> list[str]:
    """The files behind `read_routed`, of all label logs."""
    return [path for contract in LABEL_LOGS for path in _files(layout.route(contract.name, part))]


def hand_out_ids(layout: DataDir, partitions: int, part: int) -> None:
    """Hand the ids of a partition's impressions, and those of its clicks, to the partitions of these ids."""
    keys = np.unique(hash_ids(read_staged(layout.staging, IMPRESSIONS, part, ["impression_id"])["impression_id"]))
    shown = pa.table([keys, np.full(len(keys), part)], schema=_IDS)
    _hand(layout, _IMPRESSION_IDS, part, shown, keys % partitions)
    clicks = read_staged(layout.staging, CLICKS, part, ["click_id", "impression_id", "route_key"])
    clicks = clicks.filter(pc.is_valid(clicks["click_id"]))
    key = hash_ids(clicks["click_id"])
    named = pa.table([key, clicks["route_key"], pc.is_valid(clicks["impression_id"])], schema=_CLICKS)
    _hand(layout, _CLICK_IDS, part, named, key % partitions)


def follow_clicks(layout: DataDir, partitions: int, part: int) -> None:
    """Hand conversions that know their click alone to where the click is sure to be, or to its impression's id."""
    rows = read_staged(layout.staging, CONVERSIONS, part)
    rows = rows.filter(pc.and_(pc.is_null(rows["impression_id"]), pc.is_valid(rows["click_id"])))
    order = [("key", "ascending"), ("by_impression", "descending"), ("goes_by", "ascending")]
    clicks = _received(layout, _CLICK_IDS, part, _CLICKS).sort_by(order)
    place, known = _look_up(clicks["key"].to_numpy(), rows["route_key"].to_numpy())
    goes_by = _at(clicks["goes_by"].to_numpy(), place)
    hops = known & _at(clicks["by_impression"].to_numpy(), place)
    place_of_key = rows.column_names.index("route_key")
    away = rows.set_column(place_of_key, rows.schema.field(place_of_key), pa.array(goes_by)).filter(pa.array(hops))
    _hand(layout, _HOPS, part, away, goes_by[hops] % partitions)
    home = np.where(known, goes_by % partitions, part)[~hops]
    _hand(layout, CONVERSIONS.name, partitions + part, rows.filter(pa.array(~hops)), home)


def deliver(layout: DataDir, partitions: int, part: int) -> None:
    """Hand clicks and conversions that name an impression to its partition; others stay."""
    order = [("key", "ascending"), ("part", "ascending")]
    shown = _received(layout, _IMPRESSION_IDS, part, _IDS).sort_by(order)
    clicks, conversions = (read_staged(layout.staging, contract, part) for contract in LABEL_LOGS)
    own = pc.or_(pc.is_valid(conversions["impression_id"]), pc.is_null(conversions["click_id"]))
    hops = _received(layout, _HOPS, part, staged_schema(CONVERSIONS))
    clicked = pc.is_valid(clicks["impression_id"]).to_numpy()
    _hand(layout, CLICKS.name, part, clicks, np.where(clicked, _home(shown, clicks, part, partitions), part))
    rows = pa.concat_tables([conversions.filter(own), hops])
    hopped = np.arange(rows.num_rows) >= rows.num_rows - hops.num_rows
    named = pc.is_valid(rows["impression_id"]).to_numpy() | hopped
    _hand(layout, CONVERSIONS.name, part, rows, np.where(named, _home(shown, rows, part, partitions), part))


def _home(shown: pa.Table, rows: pa.Table, part: int, partitions: int) -> np.ndarray:
    """Partition of the impression that each row's route key is the id of, `part` where there is none.

    Where impressions of several partitions share the id, it is that of the row's own user, if one of them is.
    """
    keys, parts = shown["key"].to_numpy(), shown["part"].to_numpy()
    asked = rows["route_key"].to_numpy()
    place, known = _look_up(keys, asked)
    home = np.where(known, _at(parts, place), part)
    # Impressions of one id in several partitions are rare: their keys are mixed with the partition to be found.
    own = rows["user_key"].to_numpy() % partitions
    here = np.isin(derive_key(asked, own), derive_key(keys, parts)) & pc.is_valid(rows["user_id"]).to_numpy()
    home[known & here] = own[known & here]
    return home


def _hand(layout: DataDir, name: str, origin: int, rows: pa.Table, to: np.ndarray) -> None:
    """Write rows for the partitions they go to."""
    for part in np.unique(to).tolist():
        write_parquet(rows.filter(pa.array(to == part)), f"{layout.route(name, part)}/{origin:05d}.parquet")


def _received(layout: DataDir, name: str, part: int, schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *(read_parquet(path) for path in _files(layout.route(name, part)))])


def _files(folder: str) -> list[str]:
    fs, root = fsspec.core.url_to_fs(folder)
    return [full_path(fs, path) for path in sorted(fs.find(root))]


def _at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    return values[place] if len(values) else np.zeros(len(place), values.dtype)


def _look_up(sorted_keys: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First place of each asked key, and whether it is there."""
    place = np.minimum(np.searchsorted(sorted_keys, asked), max(len(sorted_keys) - 1, 0))
    return place, _at(sorted_keys, place) == asked if len(sorted_keys) else np.zeros(len(asked), bool)
