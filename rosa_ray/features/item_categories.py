"""Categories of items, by the ads that show them: of a table, and of what live records added."""

from collections.abc import Iterable

import numpy as np

from rosa_ray.features.catalogue import AdTable
from rosa_ray.schema import MISSING_KEY


class ItemCategories:
    """Of an item with several categories it is that of the first ad by key, as `AdTable.categories_of` has it.

    Args:
        table: the ads that a bundle brought.
    """

    def __init__(self, table: AdTable) -> None:
        said = np.flatnonzero(table.category_key != MISSING_KEY)
        self._items, first = np.unique(table.item_key[said], return_index=True)
        self._ads, self._categories = table.ad_key[said[first]], table.category_key[said[first]]
        self._added: dict[int, dict[int, int]] = {}
        self._items_of: dict[int, tuple[int, ...]] = {}

    def tell(self, ad_key: int, versions: Iterable[tuple[int, int]]) -> None:
        """Say the items and categories of an ad's versions by rising time, instead of what was said of it before."""
        for item in self._items_of.pop(ad_key, ()):
            self._added[item].pop(ad_key, None)
        first: dict[int, int] = {}
        for item, category in versions:
            if category != MISSING_KEY:
                first.setdefault(item, category)
        for item, category in first.items():
            self._added.setdefault(item, {})[ad_key] = category
        if first:
            self._items_of[ad_key] = tuple(first)

    def of(self, item_key: np.ndarray) -> np.ndarray:
        """Category keys of items, (n,); `MISSING_KEY` where no ad shows the item or says one."""
        found, ad_key = np.full(len(item_key), MISSING_KEY), np.full(len(item_key), np.iinfo(np.int64).max)
        if len(self._items):
            place = np.minimum(np.searchsorted(self._items, item_key), len(self._items) - 1)
            known = self._items[place] == item_key
            found[known], ad_key[known] = self._categories[place[known]], self._ads[place[known]]
        if self._added:
            for at, item in enumerate(item_key.tolist()):
                added = self._added.get(item)
                if added and min(added) < ad_key[at]:
                    found[at] = added[min(added)]
        return found
