"""The catalogue of a running service: the ads of a table, and what live records have changed of them since.

A change costs what the versions of its own ad cost, whatever the size of the catalogue. All versions lie in one set of
columns. Rows of versions that a change replaced are used again, so callers copy what they read before the next change.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import grown
from rosa_ray.features.ad_changes import AdChange, Terms, fold_changes, is_complete, let_go, until_us
from rosa_ray.features.catalogue import ALWAYS_US, NEVER_US, AdTable
from rosa_ray.features.item_categories import ItemCategories
from rosa_ray.features.targeting import EVERYONE, Targets
from rosa_ray.schema import hash_id

RECENT = 4096
"""Touches of ads that are remembered, for those who keep something of each ad."""

NO_ROW = -1
"""In place of the row of an ad that cannot be ranked yet."""

_KEYS = ("ad_key", "item_key", "category_key", "campaign_key")
_COLUMNS = (*_KEYS, "price", "bid", "from_us", "until_us")
_TEXTS = ("item_id", "campaign_id", "category")
_TRIM = 64
"""Changes of one ad between two looks at which of them can be let go."""


@dataclass
class _Changed:
    """An ad that live records tell of: what its table tells, what they tell, and its versions with their rows."""

    base: list[tuple[int, Terms]]
    changes: set[AdChange] = field(default_factory=set)
    versions: list[tuple[int, Terms]] = field(default_factory=list)
    from_us: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    untrimmed: int = 0


@dataclass(frozen=True)
class _Active:
    """Numbers of the ads that can be shown between two moments."""

    numbers: np.ndarray
    from_us: int
    until_us: int


class LiveCatalogue:
    """Versions of ads, read as of any time; by one thread at a time, which holds `lock`.

    Ads have numbers, from 0 without gaps. Those of the table come first.

    Args:
        ads: rows of the ads contract, one per version of an ad; at least one.

    Attributes:
        lock: held while changes are applied, and by those who read beside them.
        changed: how many changes were applied.
        touches: how often an ad's versions were worked out anew.
        targets: whom ads are for.
    """

    def __init__(self, ads: pa.Table) -> None:
        self._order, self._table = AdTable.order(ads), AdTable.from_table(ads)
        self._texts = {name: ads[name] for name in _TEXTS}
        self._columns = {name: getattr(self._table, name) for name in _COLUMNS}
        self._target = np.full(len(self._order), EVERYONE)
        self._paused = np.zeros(len(self._order), bool)
        self.lock = threading.RLock()
        first = self._table.first_rows
        self._rows, self._free = len(self._order), list[int]()
        self._keys = self._table.ad_key[first]
        self._ids = ads["ad_id"].to_numpy()[self._order][first]
        self._number_of = dict(zip(self._ids.tolist(), range(len(first)), strict=True))
        self._number_of_key: dict[int, int] = {}
        self._row, self._begun_us = first.copy(), self._table.from_us[first]
        # The version that was read last holds from one moment to another; it is looked up again outside of them.
        self._since_us, self._next_us = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
        self._changed: dict[int, _Changed] = {}
        self._categories = ItemCategories(self._table)
        self._active: _Active | None = None
        self._told_since_active: set[int] = set()
        self._recent: deque[int] = deque(maxlen=RECENT)
        self.targets, self.changed, self.touches = Targets(), 0, 0

    def __len__(self) -> int:
        """How many ads there are, with those that cannot be ranked yet."""
        return len(self._number_of)

    @property
    def in_table(self) -> int:
        """How many ads the table brought; others have numbers from this one on."""
        return len(self._keys)

    @property
    def incomplete(self) -> int:
        """Ads that cannot be ranked yet: their bid or their price is not known."""
        return sum(not one.rows for one in self._changed.values())

    @property
    def ad_key(self) -> np.ndarray:
        """Of every row, int64; so are the other keys."""
        return self._columns["ad_key"]

    @property
    def item_key(self) -> np.ndarray:
        return self._columns["item_key"]

    @property
    def category_key(self) -> np.ndarray:
        return self._columns["category_key"]

    @property
    def campaign_key(self) -> np.ndarray:
        return self._columns["campaign_key"]

    @property
    def price(self) -> np.ndarray:
        """Of every row, float64, currency units."""
        return self._columns["price"]

    @property
    def bid(self) -> np.ndarray:
        """Of every row, float64, currency units."""
        return self._columns["bid"]

    @property
    def until_us(self) -> np.ndarray:
        """When a row ends, microseconds UTC."""
        return self._columns["until_us"]

    @property
    def from_us(self) -> np.ndarray:
        """When a row begins, microseconds UTC."""
        return self._columns["from_us"]

    @property
    def target(self) -> np.ndarray:
        """Whom a row is for, numbers of `targets`."""
        return self._target

    @property
    def paused(self) -> np.ndarray:
        """Whether a row is shown to nobody, bool."""
        return self._paused

    def number(self, ad_id: str) -> int | None:
        """The number of an ad, None where it is not known."""
        return self._number_of.get(ad_id)

    def ids(self, numbers: np.ndarray) -> np.ndarray:
        """Ids of ads, object (n,)."""
        ids: np.ndarray = self._ids[numbers]
        return ids

    def terms(self, ad_id: str, time_us: int) -> Terms | None:
        """What is known of an ad at a moment, of one that begins later what it begins with; None of an unknown ad."""
        number = self._number_of.get(ad_id)
        if number is None:
            return None
        one = self._changed.get(number)
        versions = self._base(number) if one is None else one.versions
        held = [terms for from_us, terms in versions if from_us <= time_us]
        return (held[-1] if held else versions[0][1]) if versions else {}

    def lookup(self, ad_key: np.ndarray, time_us: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Row of each ad's version at a time and whether the ad is in the catalogue, as `AdTable.lookup`."""
        numbers = self._numbers(ad_key)
        known = numbers >= 0
        times = np.broadcast_to(np.asarray(time_us), numbers.shape)
        row = np.zeros(len(numbers), np.int64)
        row[known] = self.rows_at(numbers[known], times[known])
        known[known] = row[known] != NO_ROW
        return np.where(known, row, 0), known

    def rows_at(self, numbers: np.ndarray, time_us: np.ndarray | int) -> np.ndarray:
        """Row of each ad's version at a time, `NO_ROW` of one that cannot be ranked yet, int64 (n,).

        Before the first version of an ad that one is taken. A version that has ended is taken until the next begins.
        """
        row: np.ndarray = self._row[numbers]
        other = np.flatnonzero((time_us < self._since_us[numbers]) | (time_us >= self._next_us[numbers]))
        if len(other):
            row[other] = self._look_up(numbers[other], np.broadcast_to(np.asarray(time_us), row.shape)[other])
        return row

    def active(self, time_us: int) -> np.ndarray:
        """Numbers of the ads that can be shown at a moment: begun, not paused and not ended, int64 (n,), rising.

        All ads are looked at once for all moments between two at which one begins, changes or ends. What records tell
        meanwhile costs a look at their own ads. The array is another one where any ad is.
        """
        held = self._active
        if held is None or not held.from_us <= time_us < held.until_us:
            held = self._find_active(time_us, np.arange(len(self)))
        elif self._told_since_active:
            told = np.array(sorted(self._told_since_active))
            found = self._find_active(time_us, told)
            others = np.setdiff1d(held.numbers, told, assume_unique=True)
            numbers = np.insert(others, np.searchsorted(others, found.numbers), found.numbers)
            held = _Active(numbers, max(held.from_us, found.from_us), min(held.until_us, found.until_us))
        self._active = held
        self._told_since_active.clear()
        return held.numbers

    def touched_since(self, touches: int) -> list[int] | None:
        """Numbers of the ads whose versions were worked out anew since there were so many touches.

        Returns:
            None where they are too many to be remembered.
        """
        missed = self.touches - touches
        return None if missed > len(self._recent) else [*islice(reversed(self._recent), missed)]

    def categories_of(self, item_key: np.ndarray) -> np.ndarray:
        """Category keys of items by the ads that show them, as `AdTable.categories_of`."""
        return self._categories.of(item_key)

    def apply(self, changes: Iterable[AdChange], kept_us: int = ALWAYS_US) -> int:
        """Take changes in, in any order; those that are known already change nothing.

        Args:
            kept_us: what was superseded at this time is let go.

        Returns:
            How many changes were new.
        """
        of_ad: dict[str, list[AdChange]] = {}
        for change in changes:
            of_ad.setdefault(change.ad_id, []).append(change)
        with self.lock:
            new = sum(self._change(ad_id, some, kept_us) for ad_id, some in of_ad.items())
            self.changed += new
        return new

    def forget_changes(self) -> None:
        """Go back to the table; ads that it lacks cannot be ranked any more."""
        with self.lock:
            for number, one in self._changed.items():
                one.changes, one.base = set(), self._base(number)
                self._fold(number, one)
                self._settle(number, one)
            self.changed += 1

    def _numbers(self, ad_key: np.ndarray) -> np.ndarray:
        place = np.minimum(np.searchsorted(self._keys, ad_key), len(self._keys) - 1)
        numbers = np.where(self._keys[place] == ad_key, place, -1)
        if self._number_of_key:
            for at in np.flatnonzero(numbers < 0).tolist():
                numbers[at] = self._number_of_key.get(int(ad_key[at]), -1)
        return numbers

    def _look_up(self, numbers: np.ndarray, time_us: np.ndarray) -> np.ndarray:
        """Look for versions among all of their ads, and note them as those read last."""
        changed = np.fromiter((number in self._changed for number in numbers.tolist()), bool, len(numbers))
        found = np.empty((3, len(numbers)), np.int64)
        found[:, ~changed] = self._in_table(numbers[~changed], time_us[~changed])
        for at in np.flatnonzero(changed).tolist():
            one, moment = self._changed[int(numbers[at])], int(time_us[at])
            place = max(bisect_right(one.from_us, moment) - 1, 0)
            since = one.from_us[place] if place else ALWAYS_US
            following = one.from_us[place + 1] if place + 1 < len(one.from_us) else NEVER_US
            found[:, at] = one.rows[place] if one.rows else NO_ROW, since, following
        self._row[numbers], self._since_us[numbers], self._next_us[numbers] = found
        return found[0]

    def _in_table(self, numbers: np.ndarray, time_us: np.ndarray) -> np.ndarray:
        """Rows of ads that nothing changed, since when they hold, and when the next begins."""
        table, first = self._table, self._table.first_rows[numbers]
        row = table.rows_at(first, time_us)
        after = np.minimum(row + 1, len(table.ad_key) - 1)
        more = (after > row) & (table.ad_key[after] == table.ad_key[row])
        since = np.where(row == first, ALWAYS_US, table.from_us[row])
        return np.stack([row, since, np.where(more, table.from_us[after], NEVER_US)])

    def _find_active(self, time_us: int, numbers: np.ndarray) -> _Active:
        """Those of some ads that can be shown at a moment, and between which moments that stays so."""
        rows = self.rows_at(numbers, time_us)
        until, begun = self.until_us[rows], self._begun_us[numbers]
        shown = (rows != NO_ROW) & (begun <= time_us) & (time_us < until)
        edges = np.concatenate([self._since_us[numbers], self._next_us[numbers], begun, until])
        low, high = edges[edges <= time_us], edges[edges > time_us]
        return _Active(numbers[shown], int(low.max(initial=ALWAYS_US)), int(high.min(initial=NEVER_US)))

    def _change(self, ad_id: str, changes: list[AdChange], kept_us: int) -> int:
        number = self._number_of.get(ad_id)
        if number is None:
            number = self._add(ad_id)
        one = self._changed.get(number)
        if one is None:
            one = self._changed[number] = _Changed(self._base(number))
        new = [change for change in dict.fromkeys(changes) if change not in one.changes]
        if not new:
            return 0
        one.changes.update(new)
        one.untrimmed += len(new)
        if one.untrimmed > _TRIM:
            self._trim(one, kept_us)
            self._fold(number, one)
        elif len(new) == 1 and one.versions and new[0].time_us > one.versions[-1][0]:
            self._append(number, one, new[0].time_us, one.versions[-1][1] | new[0].terms)
        else:
            self._fold(number, one)
        self._settle(number, one)
        return len(new)

    def _settle(self, number: int, one: _Changed) -> None:
        """Note what follows from an ad's new versions; the one that was read last may be another now."""
        told = ((int(self.item_key[row]), int(self.category_key[row])) for row in one.rows)
        self._categories.tell(hash_id(self._ids[number]), told)
        self._since_us[number] = self._next_us[number] = 0
        self._begun_us[number] = one.from_us[0] if one.from_us else NEVER_US
        self._told_since_active.add(number)
        self._recent.append(number)
        self.touches += 1

    def _add(self, ad_id: str) -> int:
        number = self._number_of[ad_id] = len(self._number_of)
        self._number_of_key[hash_id(ad_id)] = number
        self._ids, self._row = grown(self._ids, number + 1), grown(self._row, number + 1)
        self._begun_us = grown(self._begun_us, number + 1)
        self._since_us, self._next_us = grown(self._since_us, number + 1), grown(self._next_us, number + 1)
        self._ids[number] = ad_id
        return number

    def _base(self, number: int) -> list[tuple[int, Terms]]:
        """What the table tells of an ad, by rising time; nothing of one that it lacks."""
        if number >= self.in_table:
            return []
        first = self._table.first_rows
        stop = first[number + 1] if number + 1 < len(first) else len(self._order)
        base = []
        for row in range(int(first[number]), int(stop)):
            place = int(self._order[row])
            terms: Terms = {name: texts[place].as_py() for name, texts in self._texts.items()}
            terms |= {"bid": float(self._table.bid[row]), "price": float(self._table.price[row])}
            end = int(self._table.until_us[row])
            base.append((int(self._table.from_us[row]), terms | {"valid_until": None if end == NEVER_US else end}))
        return base

    def _trim(self, one: _Changed, kept_us: int) -> None:
        one.changes = set(let_go(one.changes, kept_us)[0])
        past = sum(time_us <= kept_us for time_us, _ in one.base)
        one.base = one.base[max(past - 1, 0) :]
        one.untrimmed = 0

    def _fold(self, number: int, one: _Changed) -> None:
        self._free += one.rows
        one.versions, one.from_us, one.rows = [], [], []
        for time_us, terms in fold_changes(one.changes, one.base):
            self._append(number, one, time_us, terms)

    def _append(self, number: int, one: _Changed, time_us: int, terms: Terms) -> None:
        one.versions.append((time_us, terms))
        if is_complete(terms):
            one.from_us.append(time_us)
            one.rows.append(self._write(number, time_us, terms))

    def _write(self, number: int, from_us: int, terms: Terms) -> int:
        row = self._free.pop() if self._free else self._rows
        self._rows = max(self._rows, row + 1)
        if row >= len(self._target):
            self._columns = {name: grown(values, row + 1) for name, values in self._columns.items()}
            self._target, self._paused = grown(self._target, row + 1), grown(self._paused, row + 1)
        ad_key, item = hash_id(self._ids[number]), terms.get("item_id")
        values = {
            "ad_key": ad_key,
            "item_key": ad_key if item is None else hash_id(item),
            "category_key": hash_id(terms.get("category")),
            "campaign_key": hash_id(terms.get("campaign_id")),
            "price": terms["price"],
            "bid": terms["bid"],
            "from_us": from_us,
            "until_us": until_us(from_us, terms),
        }
        for name, value in values.items():
            self._columns[name][row] = value
        self._paused[row] = bool(terms.get("paused"))
        self._target[row] = self.targets.number(terms.get("devices"), terms.get("regions"))
        return row
