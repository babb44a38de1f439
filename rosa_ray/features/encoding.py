"""From user rows to model input: ids to table rows, times to buckets, dense features scaled with a presence mask.

The same function encodes a partition of a million users and the single user of one online request.
"""

from dataclasses import dataclass, replace

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.clock import calendar
from rosa_ray.features.fields import as_served
from rosa_ray.features.fit_sums import TABLES
from rosa_ray.features.own import number_matrix
from rosa_ray.features.own_inputs import event_inputs, own_inputs
from rosa_ray.features.rows import Split, UserRows
from rosa_ray.features.state import FeatureState
from rosa_ray.units import NO_PRICE, SECOND_US, THOUSANDTHS

GAP_BUCKETS = 34
"""0 for a first event, then 1 + floor(log2(1 + seconds since the previous event)), at most 33."""

_KEPT = ("impression_key", "request_key", "split", "device_key", "campaign_key", "item_key", "category_key")
"""Columns of an impression that are passed on as they are."""

_FIGURES = (
    *("click", "conversion", "revenue", "cost", "expected_cost", "price", "bid", "propensity"),
    *("weight", "conversion_weight"),
)


@dataclass(frozen=True)
class EncodedUsers:
    """U users ready for a model, flat with offsets (E events, I impressions).

    Attributes:
        user_key: int64 (U,).
        event_offsets, impression_offsets: int64 (U + 1,).
        events: time_us, item, category, behavior, gap, hour, weekday, item_key, category_key, log_price, all int64
            (E,); see `log_prices`.
        impressions: time_us, item, category, campaign, device, region, bid_bucket, price_bucket, hour, weekday,
            item_key, category_key, log_price and visible (the number of the user's events strictly before the
            impression), int64 (I,); click, conversion, revenue, cost, expected_cost, price, bid, weight,
            conversion_weight, propensity (NaN where unknown), float64 (I,); impression_key, request_key, split,
            device_key, campaign_key.
            Where columns are declared, see `FeatureState.table_sizes`: own, int64 (I, K); own_sets, int64 (I, Ks, M);
            shared, int64 (I, Ksh), of events too, (E, Ksh); vector_rows, int64 (I, Kf), rows in `vectors`, of events
            those of items, (E, Ki); given_vectors, float32 (I, S).
        dense: float32 (I, 2F + 2 + 2K): scaled features with missing as 0, their presence mask, scaled log bid and
            price; then K declared numbers, standardised, with their presence mask.
        vectors: tables of the frozen vectors, those of items first.
    """

    user_key: np.ndarray
    event_offsets: np.ndarray
    events: Columns
    impression_offsets: np.ndarray
    impressions: Columns
    dense: np.ndarray
    vectors: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return len(self.user_key)

    def select(self, *splits: Split) -> "EncodedUsers":
        """Keep the impressions of some splits, and the users that have any; timelines stay whole."""
        kept = np.isin(self.impressions["split"], [int(split) for split in splits])
        return self.keep_impressions(kept)

    def keep_impressions(self, kept: np.ndarray) -> "EncodedUsers":
        """Keep the impressions of a boolean mask (I,), and the users that still have one."""
        owner = owners(self.impression_offsets)
        counts = np.bincount(owner[kept], minlength=len(self))
        filtered = replace(
            self,
            impression_offsets=np.r_[0, np.cumsum(counts)],
            impressions={name: values[kept] for name, values in self.impressions.items()},
            dense=self.dense[kept],
        )
        return filtered.take(np.flatnonzero(counts))

    def keep_events(self, kept: np.ndarray) -> "EncodedUsers":
        """Keep the events of a boolean mask (E,): a run of each user's, as impressions count what is before them."""
        counts = np.bincount(owners(self.event_offsets)[kept], minlength=len(self))
        fewer = replace(
            self,
            event_offsets=np.r_[0, np.cumsum(counts)],
            events={name: values[kept] for name, values in self.events.items()},
        )
        return replace(fewer, impressions={**self.impressions, "visible": count_visible(fewer)})

    def take(self, users: np.ndarray) -> "EncodedUsers":
        """The users at the given positions, in that order."""
        event_rows, event_offsets = gather_segments(self.event_offsets, users)
        impression_rows, impression_offsets = gather_segments(self.impression_offsets, users)
        return replace(
            self,
            user_key=self.user_key[users],
            event_offsets=event_offsets,
            events={name: values[event_rows] for name, values in self.events.items()},
            impression_offsets=impression_offsets,
            impressions={name: values[impression_rows] for name, values in self.impressions.items()},
            dense=self.dense[impression_rows],
        )

    def trim(self, context: int) -> "EncodedUsers":
        """Drop events that no kept impression needs: after the last one, and more than `context` before the first.

        With `context = (layers + 1)·W` the remaining states that impressions attend to are exactly the same.
        """
        if not len(self.impressions["visible"]):
            return self
        starts = self.impression_offsets[:-1]
        first = np.minimum.reduceat(self.impressions["visible"], starts)
        last = np.maximum.reduceat(self.impressions["visible"], starts)
        low = np.maximum(first - context, 0)
        owner = owners(self.event_offsets)
        position = np.arange(len(owner)) - self.event_offsets[owner]
        kept = (position >= low[owner]) & (position < last[owner])
        visible = self.impressions["visible"] - low[owners(self.impression_offsets)]
        return replace(
            self,
            event_offsets=np.r_[0, np.cumsum(last - low)],
            events={name: values[kept] for name, values in self.events.items()},
            impressions={**self.impressions, "visible": visible},
        )


def encode_users(rows: UserRows, state: FeatureState, logged_slots: bool = False) -> EncodedUsers:
    """Encode user rows with fitted features; impressions of unknown ads are left out.

    Args:
        logged_slots: read the slot that an impression was shown in, as training does, which tells the slot's share of
            a click from the ad's. Else `features.serving_position` stands for all, as in a request: what is measured
            is then what is served.
    """
    rows = rows.of_known_ads()
    if not logged_slots:
        rows = replace(rows, impressions=as_served(rows.impressions, state.config))
    return EncodedUsers(
        user_key=rows.user_key,
        event_offsets=rows.event_offsets,
        events=encode_events(rows.events, rows.event_offsets, state),
        impression_offsets=rows.impression_offsets,
        impressions=_encode_impressions(rows, state),
        dense=_encode_dense(rows, state),
        vectors=tuple(frozen.table for frozen in state.vectors.values()),
    )


def encode_events(events: Columns, offsets: np.ndarray, state: FeatureState) -> dict[str, np.ndarray]:
    """Encode the timelines of U users.

    Args:
        events: `EVENT_COLUMNS`, flat; `offsets` (U + 1,) says which rows are whose.

    Returns:
        time_us, item, category, behavior, gap, hour, weekday, item_key, category_key and log_price, all int64. Keys
        tell ids apart that share a table row. Where columns are declared, shared and vector_rows.
    """
    time_us = events["time_us"]
    return {
        "time_us": time_us,
        "item": state.vocabularies["item"].lookup(events["item_key"]),
        "category": state.vocabularies["category"].lookup(events["category_key"]),
        "behavior": events["behavior"].astype(np.int64),
        "gap": gap_buckets(time_us, offsets),
        **calendar(state.config.local_us(time_us)),
        "item_key": events["item_key"],
        "category_key": events["category_key"],
        "log_price": log_prices(events["price"]),
        **event_inputs(events, state),
    }


def encode_timeline(timeline: Columns, state: FeatureState, keep: int) -> dict[str, np.ndarray]:
    """Encode the last `keep` events of one user.

    The gap of the first of them is the time since the event before it. So give one event more than is kept, as the
    online store does. A timeline of `keep` events or less is taken as whole.

    Returns:
        As `encode_events`, at most `keep` rows.
    """
    offsets = np.array([0, len(timeline["time_us"])])
    return {name: values[-keep:] for name, values in encode_events(timeline, offsets, state).items()}


def concat_users(blocks: list[EncodedUsers]) -> EncodedUsers:
    """Join blocks of users, in order."""
    first = blocks[0]
    return replace(
        first,
        user_key=np.concatenate([block.user_key for block in blocks]),
        event_offsets=_concat_offsets([block.event_offsets for block in blocks]),
        events={name: np.concatenate([block.events[name] for block in blocks]) for name in first.events},
        impression_offsets=_concat_offsets([block.impression_offsets for block in blocks]),
        impressions={name: np.concatenate([block.impressions[name] for block in blocks]) for name in first.impressions},
        dense=np.concatenate([block.dense for block in blocks]),
    )


def owners(offsets: np.ndarray) -> np.ndarray:
    """User position of every flat row.

    >>> owners(np.array([0, 2, 2, 3]))
    array([0, 0, 2])
    """
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def gather_segments(offsets: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat rows of the given users' segments, and the offsets of the result.

    >>> gather_segments(np.array([0, 2, 3]), np.array([1, 0]))
    (array([2, 0, 1]), array([0, 1, 3]))
    """
    lengths = np.diff(offsets)[users]
    new_offsets = np.r_[0, np.cumsum(lengths)]
    start = np.repeat(offsets[:-1][users] - new_offsets[:-1], lengths)
    return np.arange(new_offsets[-1]) + start, new_offsets


def log_prices(price: np.ndarray) -> np.ndarray:
    """Natural logs of prices in whole thousandths, int64; `NO_PRICE` of one that is missing or not above 0.

    >>> log_prices(np.array([1.0, 2.0, 0.0, np.nan])).tolist()[:2]
    [0, 693]
    """
    known = price > 0
    logs = np.log(np.where(known, price, 1).astype(np.float64))
    return np.where(known & np.isfinite(logs), np.rint(THOUSANDTHS * logs), NO_PRICE).astype(np.int64)


def gap_buckets(time_us: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Log2 bucket of the time since the user's previous event; depends on the past alone."""
    gap_s = np.diff(time_us, prepend=time_us[:1]) // SECOND_US
    bucket = 1 + np.floor(np.log2(1.0 + np.maximum(gap_s, 0))).astype(np.int64)
    bucket = np.minimum(bucket, GAP_BUCKETS - 1)
    bucket[offsets[:-1][np.diff(offsets) > 0]] = 0
    return bucket


def _encode_impressions(rows: UserRows, state: FeatureState) -> dict[str, np.ndarray]:
    shown = rows.impressions
    tables = {name: state.vocabularies[name].lookup(shown[f"{name}_key"]) for name in TABLES}
    log_money = _scaled_log_money(rows, state)
    buckets = state.config.money_buckets
    # Equal buckets over 2.5 standard deviations to either side of the mean; what lies beyond joins the outermost ones.
    # They are numbered from 1, as padding reads row 0.
    cut = np.clip(np.floor((log_money + 2.5) / 5.0 * buckets), 0, buckets - 1).astype(np.int64) + 1
    return {
        "time_us": shown["time_us"],
        "visible": count_visible(rows),
        **tables,
        "bid_bucket": cut[:, 0],
        "price_bucket": cut[:, 1],
        "log_price": log_prices(shown["price"]),
        **calendar(state.config.local_us(shown["time_us"])),
        **own_inputs(shown, state),
        **{name: np.asarray(shown[name], np.float64) for name in _FIGURES},
        **{name: shown[name] for name in _KEPT},
    }


def _encode_dense(rows: UserRows, state: FeatureState) -> np.ndarray:
    width = len(state.dense_mean)
    raw = rows.dense.reshape(len(rows.impressions["time_us"]), width)
    present = np.isfinite(raw)
    scaled = np.where(present, (raw - state.dense_mean) / state.dense_scale, 0.0)
    parts = [scaled, present, _scaled_log_money(rows, state)]
    if len(state.number_mean):
        numbers = number_matrix(rows.impressions, state.config.columns, len(raw))
        known = np.isfinite(numbers)
        parts += [np.where(known, (numbers - state.number_mean) / state.number_scale, 0.0), known]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _scaled_log_money(rows: UserRows, state: FeatureState) -> np.ndarray:
    money = np.stack([rows.impressions["bid"], rows.impressions["price"]], axis=1).astype(np.float64)
    return np.clip((np.log(money) - state.log_money_mean) / state.log_money_scale, -6.0, 6.0)


def count_visible(rows: "UserRows | EncodedUsers") -> np.ndarray:
    """Events of the same user strictly before each impression, int64 (I,)."""
    event_time, time_us = rows.events["time_us"], rows.impressions["time_us"]
    # One search instead of one per user: user·span + rank of the time rises over the whole block, since users come one
    # after another and each timeline is sorted. Ranks stand for times, as user·time in microseconds would overflow.
    _, rank = np.unique(np.r_[event_time, time_us], return_inverse=True)
    span = len(rank) + 1
    event_owner, owner = owners(rows.event_offsets), owners(rows.impression_offsets)
    event_rank = event_owner * span + rank[: len(event_time)]
    before = np.searchsorted(event_rank, owner * span + rank[len(event_time) :], side="left")
    return before - rows.event_offsets[owner]


def _concat_offsets(offsets: list[np.ndarray]) -> np.ndarray:
    lengths = np.concatenate([np.diff(part) for part in offsets])
    return np.r_[0, np.cumsum(lengths)]
