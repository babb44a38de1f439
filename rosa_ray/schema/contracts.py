"""The contracts of the logs: what was shown and done, labels in logs of their own, and what is known of things."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema.behavior import BEHAVIORS
from rosa_ray.schema.contract import TIMESTAMP, Column, ColumnRule, Contract, Fill

_NOT_EMPTY = ColumnRule("are empty strings", lambda a: pc.not_equal(a, ""))
MIN_BID, MAX_BID, MAX_MONEY = 1e-6, 1e6, 1e9
"""Bounds of bids, and of costs, prices and revenues, currency units: the same for logs, live records and requests.

Money is counted in millionths, so that a smaller bid would count as none.
"""
_NOT_NEGATIVE = ColumnRule(
    "are NaN, infinite, negative or above 1e9",
    lambda a: pc.and_(pc.greater_equal(a, 0), pc.less_equal(a, MAX_MONEY)),
)
_POSITIVE = ColumnRule(
    "are NaN, infinite, zero, negative or above 1e9",
    lambda a: pc.and_(pc.greater(a, 0), pc.less_equal(a, MAX_MONEY)),
)
_BIDDABLE = ColumnRule(
    "are NaN, infinite, below 1e-6 or above 1e6",
    lambda a: pc.and_(pc.greater_equal(a, MIN_BID), pc.less_equal(a, MAX_BID)),
)
_PROBABILITY = ColumnRule("are not in (0, 1]", lambda a: pc.and_(pc.greater(a, 0), pc.less_equal(a, 1)))
_WEIGHT = ColumnRule(
    "lie outside of 0.001 to 1,000,000", lambda a: pc.and_(pc.greater_equal(a, 0.001), pc.less_equal(a, 1_000_000))
)
_AFTER_1990 = ColumnRule(
    "lie before 1990 or after 2100 (is the unit right?)",
    lambda a: pc.and_(
        pc.greater(pc.cast(a, pa.int64()), 631_152_000_000_000),
        pc.less(pc.cast(a, pa.int64()), 4_102_444_800_000_000),
    ),
)


def _id(name: str, meaning: str, required: bool = True, may_lack: bool = False) -> Column:
    return Column(name, pa.string(), required, meaning, (_NOT_EMPTY,), may_lack)


def _time(name: str, meaning: str, required: bool = True) -> Column:
    return Column(name, TIMESTAMP, required, meaning, (_AFTER_1990,))


def _money(
    name: str,
    meaning: str,
    rule: ColumnRule,
    required: bool = True,
    may_lack: bool = False,
    absent: float | None = None,
) -> Column:
    return Column(name, pa.float64(), required, meaning, (rule,), may_lack, absent)


def _behavior(names: Sequence[str]) -> Column:
    rule = ColumnRule(
        f"are none of {', '.join(names)}",
        lambda a: pc.is_in(a, pa.array(names, pa.string())),
        "source.behaviors maps a value to one of them",
    )
    said = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    return Column("behavior", pa.string(), True, said, (rule,))


EVENTS = Contract(
    "events",
    1,
    (
        _id("event_id", "unique id; orders events of one microsecond"),
        _id("user_id", "who"),
        _id("item_id", "to what"),
        _behavior(BEHAVIORS),
        _time("event_time", "when, UTC"),
        _id("category", "category of the item", required=False),
        _money("price", "price of the item, currency units", _NOT_NEGATIVE, required=False),
    ),
)
"""With the default behaviours."""


def events_with(behaviors: Sequence[str]) -> Contract:
    """The events contract of a team's own behaviours.

    >>> events_with(["view", "order"]).columns[3].meaning
    'view or order'
    """
    columns = (_behavior(behaviors) if column.name == "behavior" else column for column in EVENTS.columns)
    return replace(EVENTS, columns=tuple(columns))


IMPRESSIONS = Contract(
    "impressions",
    1,
    (
        _id("impression_id", "unique id of one ad shown"),
        _id(
            "request_id",
            "the auction or page the ad was shown in; without it each impression is its own",
            may_lack=True,
        ),
        _id("user_id", "to whom; a log without it has no timelines and no figures by user", may_lack=True),
        _id("ad_id", "which ad"),
        _time("request_time", "when the ad was requested, UTC"),
        Column(
            "position",
            pa.int32(),
            False,
            "slot, 0 is the top",
            (ColumnRule("are negative", lambda a: pc.greater_equal(a, 0)),),
        ),
        Column("propensity", pa.float64(), False, "probability that the logger chose this ad", (_PROBABILITY,)),
        Column("weight", pa.float64(), False, "how many impressions the row stands for, 1 by default", (_WEIGHT,)),
        _id("device", "device class", required=False),
        _id("region", "region code", required=False),
        _money("bid", "bid for this impression, currency units; without it that of the ad", _BIDDABLE, may_lack=True),
        _money(
            "cost",
            "paid for this impression, currency units; without it 0, and there is no return on it",
            _NOT_NEGATIVE,
            may_lack=True,
            absent=0.0,
        ),
        _money(
            "click_cost",
            "what of the cost was paid for the click, currency units; it counts when the click came",
            _NOT_NEGATIVE,
            required=False,
        ),
        Column("click", pa.bool_(), True, "the ad was clicked"),
        _time("click_time", "when it was clicked, UTC; without it at its request", required=False),
        Column(
            "conversion",
            pa.bool_(),
            True,
            "it converted; without a click that is no label of a model, and null means no",
            may_lack=True,
            absent=False,
        ),
        _time("conversion_time", "when it converted, UTC", required=False),
        _money(
            "revenue",
            "revenue of the conversion, 0 or null without one, currency units; without it the price of the ad",
            _NOT_NEGATIVE,
            may_lack=True,
        ),
        _time("updated_time", "when this version of the row was written, UTC; the newest one counts", required=False),
    ),
    row_rules=(
        (
            "click_time",
            "are clicked before their request",
            lambda t: pc.fill_null(pc.greater_equal(t["click_time"], t["request_time"]), True),
        ),
        (
            "conversion_time",
            "convert before their request",
            lambda t: pc.fill_null(pc.greater_equal(t["conversion_time"], t["request_time"]), True),
        ),
        (
            "click_cost",
            "cost more for the click than in all",
            lambda t: pc.fill_null(pc.less_equal(t["click_cost"], t["cost"]), True),
        ),
        (
            "revenue",
            "have revenue without a conversion",
            lambda t: pc.or_(t["conversion"], pc.fill_null(pc.equal(t["revenue"], 0), True)),
        ),
    ),
    fills=(
        Fill("conversion", False, lambda t: pc.invert(t["click"])),
        Fill("revenue", 0.0, lambda t: pc.invert(t["conversion"])),
    ),
)

ADS = Contract(
    "ads",
    1,
    (
        _id("ad_id", "which ad"),
        _id("item_id", "advertised item, shared with the events log", required=False),
        _id("campaign_id", "campaign", may_lack=True),
        _id("category", "category of the item, shared with the events log", may_lack=True),
        _money("bid", "default bid per impression, currency units; without it 1", _BIDDABLE, may_lack=True, absent=1.0),
        _money("price", "value of one conversion, currency units; without it 1", _POSITIVE, may_lack=True, absent=1.0),
        _time("valid_from", "since when the row holds, UTC; until the ad's next row, null since ever", required=False),
        _time("valid_until", "until when the row holds at most, UTC; that of the last row ends the ad", required=False),
    ),
    row_rules=(
        (
            "valid_until",
            "end before they begin",
            lambda t: pc.fill_null(pc.greater_equal(t["valid_until"], t["valid_from"]), True),
        ),
    ),
)
"""A row is one version of an ad. A request reads the version that held at its time."""

USERS = Contract(
    "users",
    1,
    (
        _id("user_id", "who"),
        _time(
            "valid_from", "since when the row holds, UTC; until the user's next row, null since ever", required=False
        ),
    ),
)
"""What is known of users: declared columns alone. A row is one version of a user."""

ITEMS = Contract(
    "items",
    1,
    (
        _id("item_id", "which item, shared with events and ads"),
        _time(
            "valid_from", "since when the row holds, UTC; until the item's next row, null since ever", required=False
        ),
    ),
)
"""What is known of items: declared columns alone. A row is one version of an item."""

CANDIDATES = Contract(
    "candidates",
    1,
    tuple(
        column
        for column in IMPRESSIONS.columns
        if column.name in ("impression_id", "request_id", "user_id", "ad_id", "request_time", "device", "region", "bid")
    ),
)
"""Ads that could have been shown for a request, without labels: what a policy chooses from."""


def _known(*names: str) -> Callable[[pa.Table], pa.Array]:
    """Whether a row has a value in each of some columns."""
    return lambda table: reduce(pc.and_, [pc.is_valid(table[name]) for name in names])


CLICKS = Contract(
    "clicks",
    1,
    (
        _id("click_id", "unique id of the click; conversions may name it", required=False),
        _id("impression_id", "the impression that was clicked", required=False),
        _id("user_id", "who clicked", required=False),
        _id("ad_id", "which ad", required=False),
        _time("click_time", "when, UTC"),
        _money("cost", "paid for the click, currency units", _NOT_NEGATIVE, required=False),
    ),
    row_rules=(
        (
            "impression_id",
            "name neither an impression nor a user and an ad",
            lambda t: pc.or_(_known("impression_id")(t), _known("user_id", "ad_id")(t)),
        ),
    ),
)
"""Clicks in a log of their own; they are joined to impressions."""

CONVERSIONS = Contract(
    "conversions",
    1,
    (
        _id("conversion_id", "unique id of the conversion; a refund names the one it takes back", required=False),
        _id("impression_id", "the impression that it follows", required=False),
        _id("click_id", "the click that it follows", required=False),
        _id("user_id", "who converted", required=False),
        _id("ad_id", "of which ad", required=False),
        _id("item_id", "which item, where the ad is not known", required=False),
        _time("conversion_time", "when, UTC"),
        _money(
            "revenue",
            "revenue, currency units; below 0 it is a refund, null is the price of the ad",
            ColumnRule("are NaN or infinite", pc.is_finite),
            required=False,
        ),
    ),
    row_rules=(
        (
            "impression_id",
            "name no impression, no click, and no user with an ad or item",
            lambda t: pc.or_(
                pc.or_(_known("impression_id")(t), _known("click_id")(t)),
                pc.or_(_known("user_id", "ad_id")(t), _known("user_id", "item_id")(t)),
            ),
        ),
    ),
)
"""Conversions and refunds in a log of their own; they are joined to clicks and impressions."""

CONTRACTS = {
    contract.name: contract for contract in (EVENTS, IMPRESSIONS, ADS, CANDIDATES, CLICKS, CONVERSIONS, USERS, ITEMS)
}


def lacking_in_words(table: str, names: Iterable[str]) -> str:
    """Name columns that a table does without, and what stands in for each.

    >>> lacking_in_words("impressions", ["cost", "revenue"])
    'cost (0), revenue (the price of the ad)'
    """
    said = (f"{name} ({_STANDS_IN[table, name]})" for name in names if (table, name) in _STANDS_IN)
    return ", ".join(said)


_STANDS_IN = {
    ("impressions", "request_id"): "each impression is its own request",
    ("impressions", "user_id"): "nobody has a timeline",
    ("impressions", "bid"): "that of the ad",
    ("impressions", "cost"): "0",
    ("impressions", "conversion"): "none converted",
    ("impressions", "revenue"): "the price of the ad",
    ("candidates", "request_id"): "each candidate is its own request",
    ("candidates", "user_id"): "nobody has a timeline",
    ("candidates", "bid"): "that of the ad",
    ("ads", "campaign_id"): "one for all",
    ("ads", "category"): "unknown",
    ("ads", "bid"): "1",
    ("ads", "price"): "1",
}
"""Table and column that a log may lack -> what its rows read."""
