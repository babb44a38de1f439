"""What a log's impressions, clicks and conversions would have said of their users, items and ads, for own counters."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from rosa_ray.data.catalogue import read_versions
from rosa_ray.data.own_join import ID_COLUMNS
from rosa_ray.features import AdTable
from rosa_ray.features.own import ColumnConfigs
from rosa_ray.features.search import find_spans, search_spans
from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.schema import MISSING_KEY, hash_ids
from rosa_ray.schema.own_columns import ITEM


def with_told(
    impressions: pa.Table, ads: pa.Table, things: Mapping[str, pa.Table], columns: ColumnConfigs, names: Iterable[str]
) -> pa.Table:
    """Impressions with columns of their users, items and ads, as of their requests.

    Args:
        ads: rows of the catalogue, which says the item of each ad.
        things: what is known of users, items and ads, by the prefix of their columns; one row per id and time.
        columns: all declared columns.
        names: of the columns asked for; those of a request stand in the impressions.
    """
    wanted = [*names]
    for prefix, table in things.items():
        asked = [name for name in wanted if name.startswith(prefix)]
        if not asked:
            continue
        rows = _Rows.of(table, ID_COLUMNS[prefix])
        time_us = impressions["request_time"].cast(pa.int64()).to_numpy()
        key = _items(impressions, ads, time_us) if prefix == ITEM else hash_ids(impressions[ID_COLUMNS[prefix]])
        for name in asked:
            row = rows.held(key, None if columns[name].clock == "static" else time_us)
            impressions = impressions.append_column(name, table[name].take(pa.array(row, mask=row < 0)))
    return impressions


class _Rows:
    """Rows of a table of things in the order of key and time."""

    def __init__(self, order: np.ndarray, key: np.ndarray, from_us: np.ndarray) -> None:
        self._order, self._key, self._from_us = order, key, from_us

    @classmethod
    def of(cls, table: pa.Table, id_column: str) -> "_Rows":
        key, from_us = hash_ids(table[id_column]), table["valid_from"].cast(pa.int64()).fill_null(ALWAYS_US).to_numpy()
        order = np.lexsort((from_us, key))
        return cls(order, key[order], from_us[order])

    def held(self, key: np.ndarray, time_us: np.ndarray | None) -> np.ndarray:
        """Row of each thing at its time, the newest where there is none given; -1 where there is no row yet, (n,)."""
        first, stop = find_spans(self._key, key)
        end = stop if time_us is None else search_spans(self._from_us, first, stop, time_us)
        return np.where(end > first, np.append(self._order, -1)[end - 1], -1)


def _items(impressions: pa.Table, ads: pa.Table, time_us: np.ndarray) -> np.ndarray:
    table = AdTable.from_table(read_versions(ads).table)
    row, known = table.lookup(hash_ids(impressions["ad_id"]), time_us)
    return np.where(known, table.item_key[row], MISSING_KEY)
