"""Which table a sample is, and which of its columns is which column of the contract."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from rosa_ray.intake.profiles import Profile, profile
from rosa_ray.intake.samples import Sample, Unread
from rosa_ray.intake.vocabulary import TABLE_WORDS, behavior_of, name_score, plain, takes_back
from rosa_ray.schema import BEHAVIORS, CONTRACTS, Column
from rosa_ray.schema.behavior import MOST_BEHAVIORS

SURE, LIKELY = 0.85, 0.6
"""From here on a guess is `sure`, or `likely`; below it is `unsure`."""

TABLE_DOUBT = 0.5
"""Below it a person is asked whether a table is the right one."""

_WHO_AND_WHAT = ("user_id", "item_id", "ad_id", "campaign_id", "category", "device", "region")
_ROW_IDS = ("event_id", "impression_id", "click_id", "conversion_id")
_NAMED_BY = {"impression_id": ("clicks", "conversions"), "click_id": ("conversions",)}
"""Id of a row to the other tables whose rows name it, several of them the same one."""
_DAYS_DO = ("valid_from", "valid_until")
"""Columns of times that are often written as days."""
_LEAST = 0.25
_ITEM_FOR_AD = 0.62


@dataclass(frozen=True)
class ColumnGuess:
    """One column of a contract, and the file's column that it seems to be.

    Attributes:
        column: of the contract.
        file_column: of the file.
        confidence: from 0 to 1.
        why: what speaks for it, in a few words.
        found: what its values are.
    """

    column: str
    file_column: str
    confidence: float
    why: str
    found: Profile


@dataclass(frozen=True)
class TableGuess:
    """A sample, the table it seems to be, and its columns.

    Attributes:
        table: name of the contract.
        confidence: from 0 to 1.
        columns: of the contract to what was found, in contract order; columns without a match are absent.
        others: columns of the file that no column of the contract takes.
        profiles: of all columns of the file.
    """

    sample: Sample
    table: str
    confidence: float
    columns: Mapping[str, ColumnGuess]
    others: tuple[str, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    @property
    def missing(self) -> list[Column]:
        """Required columns that the file has nothing for."""
        return [entry for entry in CONTRACTS[self.table].columns if entry.required and entry.name not in self.columns]


def guess_tables(samples: Sequence[Sample]) -> tuple[list[TableGuess], list[Unread]]:
    """Guess the table of each sample. Of two that seem to be the same table, the better one takes it.

    Returns:
        Tables in contract order, and samples that are none of them, each with the reason.
    """
    options = _without_items([guess for sample in samples for guess in _options(sample)])
    chosen: list[TableGuess] = []
    for guess in sorted(options, key=lambda one: -one.confidence):
        if all(guess.table != one.table and guess.sample is not one.sample for one in chosen):
            chosen.append(guess)
    if all(one.table != "impressions" for one in chosen):
        chosen = [_as_impressions(one) if one.table == "candidates" else one for one in chosen]
    taken = {id(one.sample) for one in chosen}
    left = [Unread(sample.location, _why_none(sample, chosen)) for sample in samples if id(sample) not in taken]
    order = list(CONTRACTS)
    return sorted(chosen, key=lambda one: order.index(one.table)), left


def _without_items(options: Sequence[TableGuess]) -> list[TableGuess]:
    """The options, without ads that are told by items where another file is of ads with ids of their own."""
    best: dict[int, TableGuess] = {}
    for one in options:
        best[id(one.sample)] = max(best.get(id(one.sample), one), one, key=lambda guess: guess.confidence)
    if not any(one.table == "ads" and _has_ad_ids(one) for one in best.values()):
        return list(options)
    return [one for one in options if one.table != "ads" or _has_ad_ids(one)]


def _has_ad_ids(ads: TableGuess) -> bool:
    return "ad_id" in ads.columns and ads.columns["ad_id"].confidence > _ITEM_FOR_AD


def _as_impressions(offered: TableGuess) -> TableGuess:
    """Candidates without impressions are impressions whose labels are missing, unless their files say otherwise."""
    if set(offered.sample.words) & set(TABLE_WORDS["candidates"].split()):
        return offered
    found = guess_columns(offered.sample, "impressions", offered.profiles)
    return replace(found, confidence=max(found.confidence, min(offered.confidence, TABLE_DOUBT - 0.01)))


def ads_of(shown: TableGuess) -> TableGuess:
    """Return the ads that impressions name, for logs without a table of ads; without columns where they name none."""
    if "ad_id" not in shown.columns:
        return replace(shown, table="ads", columns={}, others=())
    found = guess_columns(shown.sample, "ads", shown.profiles)
    own = {name: found.columns[name] for name in ("campaign_id", "category", "item_id") if name in found.columns}
    own["ad_id"] = shown.columns["ad_id"]
    columns = {entry.name: own[entry.name] for entry in CONTRACTS["ads"].columns if entry.name in own}
    return replace(shown, table="ads", columns=columns, others=())


def _why_none(sample: Sample, chosen: Sequence[TableGuess]) -> str:
    best = max(_options(sample), key=lambda one: one.confidence, default=None)
    if best is None:
        return f"its columns fit none of {', '.join(CONTRACTS)}; it has {', '.join(sample.names[:8])}"
    other = next((one for one in chosen if one.table == best.table), None)
    if other is None:
        return f"seems to be {best.table}, and other files are more like it"
    return f"seems to be {best.table}, as {other.sample.location} does; give both in one folder if they are one table"


def _options(sample: Sample) -> list[TableGuess]:
    profiles = {name: profile(name, sample.table[name]) for name in sample.names}
    guesses = [guess_columns(sample, table, profiles) for table in CONTRACTS]
    return [guess for guess in guesses if guess.confidence >= _LEAST]


def guess_columns(sample: Sample, table: str, profiles: Mapping[str, Profile]) -> TableGuess:
    """Match the columns of a sample with those of one table, the surest first."""
    pairs = [
        ColumnGuess(entry.name, name, *_fit(entry, found, table, sample), found)
        for entry in CONTRACTS[table].columns
        for name, found in profiles.items()
    ]
    if sample.headerless:
        pairs += _by_content(sample, table, profiles)
    matched: dict[str, ColumnGuess] = {}
    used: set[str] = set()
    for pair in sorted(pairs, key=lambda one: -one.confidence):
        if pair.confidence >= _LEAST and pair.column not in matched and pair.file_column not in used:
            matched[pair.column] = pair
            used.add(pair.file_column)
    if table == "ads" and "ad_id" not in matched and "item_id" in matched:
        matched["ad_id"] = replace(matched["item_id"], column="ad_id", confidence=0.55, why="the only id")
    columns = {entry.name: matched[entry.name] for entry in CONTRACTS[table].columns if entry.name in matched}
    others = tuple(name for name in profiles if name not in used)
    return TableGuess(sample, table, _table_score(table, sample, columns, profiles), columns, others, profiles)


def _fit(entry: Column, found: Profile, table: str, sample: Sample) -> tuple[float, str]:
    """How well a column of the file fits one of the contract, by name and by content."""
    by_name = _renamed(entry.name, found.name, table)
    fits, why = _content(entry, found, table)
    if not fits:
        return 0.0, ""
    if entry.name == "behavior" and found.behavior_share > 0.5 and 0.55 + 0.4 * found.behavior_share > by_name:
        return 0.55 + 0.4 * found.behavior_share, f"by its values {', '.join(list(found.words)[:4])}"
    if by_name:
        return by_name * fits, _why_by_name(by_name, entry.name, found.name)
    if entry.name.endswith("_time") and entry.required and fits == 1 and not _belongs_elsewhere(found.name, entry):
        return 0.45 + 0.1 * found.rising, "the column of times"
    return 0.0, why


def _why_by_name(score: float, column: str, name: str) -> str:
    if column == "ad_id" and not name_score(name, column):
        return "the item shown stands for the ad"
    return "by name" if score > 0.85 else "by part of its name" if score > 0.5 else "by a name with many meanings"


def _renamed(column: str, name: str, table: str) -> float:
    """The score of a name, where one name means another thing in another table."""
    score = name_score(name, column)
    if table == "events" and column == "event_time" and plain(name) in ("clicktime", "conversiontime"):
        return 0.0
    if table == "impressions" and column == "click_time" and "cl" not in plain(name):
        return 0.0  # a name that any time may have is no click's where the request has a time too
    if table in ("impressions", "candidates", "clicks") and column == "ad_id" and not score:
        return _ITEM_FOR_AD * (name_score(name, "item_id") > 0.8)
    if table == "ads" and column == "ad_id" and not score:
        return 0.5 * (name_score(name, "item_id") > 0.8)
    return score


def _belongs_elsewhere(name: str, entry: Column) -> bool:
    return any(
        name_score(name, column.name) > 0.8
        for contract in CONTRACTS.values()
        for column in contract.columns
        if column.name != entry.name
    )


def _content(entry: Column, found: Profile, table: str) -> tuple[float, str]:
    """Whether values can be those of a column of a table: 0 where they cannot, 1 where they are like them."""
    kind, name = found.kind, entry.name
    if kind in ("empty", "nested"):
        return (0.6 if kind == "empty" and not entry.required else 0.0), "empty"
    if pa.types.is_timestamp(entry.type):
        days_do = name in _DAYS_DO or not _coarse(found)
        return (1.0 if kind == "time" and days_do else 0.5 if kind == "time" else 0.0), found.describe()
    if pa.types.is_boolean(entry.type):
        return (1.0 if kind == "flag" else 0.0), found.describe()
    if name == "behavior":
        return (1.0 if found.behavior_share > 0.3 else 0.4 if found.words and kind == "text" else 0.0), "words"
    if name == "propensity":
        return (1.0 if kind in ("number", "flag") and found.low >= 0 and found.high <= 1 else 0.0), "numbers up to 1"
    if name == "position":
        return (1.0 if kind in ("integer", "flag") and found.low >= 0 and found.high < 1_000 else 0.0), "small numbers"
    if pa.types.is_floating(entry.type):
        refunds = (table, name) == ("conversions", "revenue")
        return (
            1.0 if kind in ("number", "integer", "flag") and (refunds or found.low >= 0) else 0.3 * (kind == "number")
        ), "numbers"
    if name in _ROW_IDS and table not in _NAMED_BY.get(name, ()):
        mostly = found.distinct > 0.9 * found.rows * (1 - found.nulls)
        return (1.0 if mostly and kind in ("integer", "text") else 0.0), "different in every row"
    if name in _WHO_AND_WHAT or name == "request_id" or name in _ROW_IDS:
        return _id_fit(name, found)
    return (1.0 if kind in ("text", "integer") else 0.0), "text"


def _id_fit(name: str, found: Profile) -> tuple[float, str]:
    if found.kind in ("text", "integer"):
        return 1.0, found.describe()
    if name in ("device", "region", "category", "campaign_id") and found.kind == "flag":
        return 0.9, found.describe()
    digits = found.kind == "time" and found.unit in ("s", "ms", "us")
    return (0.8 if digits else 0.6 if found.kind in ("flag", "number") else 0.0), found.describe()


def _coarse(found: Profile) -> bool:
    """Whether times are days only."""
    return bool(found.time_format) and not any(sign in found.time_format for sign in ("%H", "%I"))


def _by_content(sample: Sample, table: str, profiles: Mapping[str, Profile]) -> list[ColumnGuess]:
    """Columns of a file without names: who, what and its category, by how they go together."""
    ids = [found for found in profiles.values() if found.kind in ("integer", "text") and not found.behavior_share]
    ids = [found for found in ids if 1 < found.distinct < found.rows]
    pairs: list[ColumnGuess] = []
    if table == "events" and any(found.behavior_share > 0.5 for found in profiles.values()):
        items = sorted(ids, key=lambda found: -found.distinct)
        item, category = next(
            ((a, b) for a in items for b in items if a is not b and _determines(sample.table, a, b)), (None, None)
        )
        rest = [found for found in ids if found not in (item, category)]
        item = item or (rest.pop(1) if len(rest) > 1 else None)
        user = rest[0] if rest else None
        pairs += [ColumnGuess("user_id", user.name, 0.55, "the column left for ids", user)] if user else []
        pairs += [ColumnGuess("item_id", item.name, 0.6, "most different ids", item)] if item else []
        pairs += [ColumnGuess("category", category.name, 0.6, "one for each item", category)] if category else []
    flag = next((found for found in profiles.values() if found.kind == "flag" and found.mean < 0.6), None)
    if table == "impressions" and flag is not None:
        pairs.append(ColumnGuess("click", flag.name, 0.5, "the first column of yes and no", flag))
    return pairs


def _determines(table: pa.Table, item: Profile, category: Profile) -> bool:
    """Whether every item has one category, and categories have several items."""
    if not 1 < category.distinct < 0.7 * item.distinct:
        return False
    pairs = table.select([item.name, category.name]).group_by([item.name, category.name]).aggregate([])
    return bool(pairs.num_rows <= 1.01 * item.distinct)


def _table_score(
    table: str, sample: Sample, columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]
) -> float:
    """How much speaks for a table: the columns it has, the names of its files, what only it has."""
    words = set(sample.words)
    named = 0.3 * bool(words & set(TABLE_WORDS.get(table, "").split()))
    return round(min(1.0, max(0.0, _TELLING[table](columns, profiles) + named)), 3) if table in _TELLING else 0.0


def _sure(columns: Mapping[str, ColumnGuess], *names: str) -> float:
    """Sum of confidences."""
    return sum(columns[name].confidence for name in names if name in columns)


def _telling_events(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    behavior = columns.get("behavior")
    told = behavior is not None and behavior.found.behavior_share > 0.5
    base = 0.2 * _sure(columns, "user_id", "event_time", "item_id")
    return base + 0.3 * told - 0.35 * (_has(profiles, "click") and not told) - 0.3 * _has(profiles, "ad_id")


def _telling_impressions(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    label = "click" in columns
    base = 0.4 * label + 0.12 * _sure(columns, "user_id", "ad_id", "request_time")
    return base + 0.1 * _sure(columns, "bid", "cost", "impression_id", "position", "propensity") - 0.2 * (not label)


def _telling_ads(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    if "ad_id" not in columns or _has(profiles, "user_id") or _has(profiles, "click"):
        return 0.0
    distinct = columns["ad_id"].found
    often = 0.25 * (distinct.distinct >= 0.5 * distinct.rows)
    return often + 0.15 * _sure(columns, "ad_id", "campaign_id", "price", "bid", "category")


def _telling_candidates(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    if _has(profiles, "click"):
        return 0.0
    return 0.15 * _sure(columns, "request_id", "ad_id", "user_id", "request_time")


def _telling_clicks(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    if any(found.kind == "flag" and name_score(name, "click") > 0.5 for name, found in profiles.items()):
        return 0.0
    own = "click_id" in columns and columns["click_id"].confidence > 0.8
    return 0.3 * own + 0.15 * _sure(columns, "click_time", "impression_id", "ad_id", "user_id")


def _telling_conversions(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    if any(found.kind == "flag" and name_score(name, "click") > 0.5 for name, found in profiles.items()):
        return 0.0
    own = "conversion_id" in columns and columns["conversion_id"].confidence > 0.8
    return 0.3 * own + 0.15 * _sure(columns, "conversion_time", "revenue", "click_id", "impression_id", "user_id")


def _telling_users(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    other = ("ad_id", "item_id", "click", "behavior", "impression_id", "click_id", "conversion_id")
    return _telling_things("user_id", columns, profiles, other)


def _telling_items(columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile]) -> float:
    return _telling_things("item_id", columns, profiles, ("user_id", "ad_id", "click", "behavior"))


def _telling_things(
    key: str, columns: Mapping[str, ColumnGuess], profiles: Mapping[str, Profile], other: Sequence[str]
) -> float:
    """Rows about things have their id, mostly once or at several times, more columns, and nothing that happens."""
    if key not in columns or len(profiles) == len(columns) or any(_has(profiles, name) for name in other):
        return 0.0
    found = columns[key].found
    dated = "valid_from" in columns and columns["valid_from"].confidence > SURE
    return 0.15 * columns[key].confidence + 0.15 * (dated or found.distinct >= 0.5 * found.rows)


_TELLING = {
    "events": _telling_events,
    "impressions": _telling_impressions,
    "ads": _telling_ads,
    "candidates": _telling_candidates,
    "clicks": _telling_clicks,
    "conversions": _telling_conversions,
    "users": _telling_users,
    "items": _telling_items,
}


def _has(profiles: Mapping[str, Profile], column: str) -> bool:
    """Whether a file has a column by an unmistakable name."""
    entry = next((entry for contract in CONTRACTS.values() for entry in contract.columns if entry.name == column), None)
    return any(
        name_score(name, column) >= 0.6 and (entry is None or bool(_content(entry, found, "")[0]))
        for name, found in profiles.items()
    )


def behavior_map(found: Profile) -> tuple[dict[str, str], list[str]]:
    """Return what the values of a column of behaviours mean, and those that mean none of the default ones.

    >>> behavior_map(Profile("type", "text", 3, words={"pv": 2, "view": 1, "remove": 1}))
    ({'pv': 'view'}, ['remove'])
    """
    known = {value: behavior_of(value) for value in found.words}
    return (
        {value: meaning for value, meaning in known.items() if meaning and meaning != value},
        [value for value, meaning in known.items() if not meaning],
    )


def own_behaviors(found: Profile) -> list[str]:
    """Return behaviours for a column whose values are not all known words, in rising strength; empty where none fit.

    The default ones keep their order, and nothing is put above a purchase. Of the others a rarer one is taken to be
    stronger, and one that takes something back to be the weakest.

    >>> own_behaviors(Profile("type", "text", 9, words={"view": 90, "share": 20, "buy": 3, "unlike": 2}))
    ['unlike', 'view', 'click', 'cart', 'share', 'purchase']
    """
    unknown = [value for value in found.words if not behavior_of(value)]
    counts = dict.fromkeys(BEHAVIORS, 0)
    for value, count in found.words.items():
        if name := behavior_of(value):
            counts[name] += count
    ordered = list(BEHAVIORS) if any(counts.values()) else []
    if len(ordered) + len(unknown) > MOST_BEHAVIORS or any(value != value.strip() for value in unknown):
        return []
    for value in unknown:
        rarer = (at for at, name in enumerate(ordered) if 0 < counts.get(name, 0) < found.words[value])
        last = len(ordered) - 1 if ordered[-1:] == ["purchase"] else len(ordered)
        ordered.insert(0 if takes_back(value) else min(next(rarer, last), last), value)
    return ordered


def confidence_word(confidence: float) -> str:
    """Return how sure a guess is, in a word."""
    return "sure" if confidence >= SURE else "likely" if confidence >= LIKELY else "unsure"
