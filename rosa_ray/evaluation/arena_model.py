"""A trained model in the arena: it sees what a service would know at each request.

What happened is counted as live records are, and candidates are scored from the same user rows as in preprocessing. A
request reads events before it and closed buckets alone. What users do by themselves is walked when it suits, mostly
ahead of time. Where another user's events are walked late, counters of items and categories lack them until then.

Of the truth, the chance that a bid wins stays as it is: it is the market's, and no model tells it.

Shape legend: n requests, k candidates, T events of a user.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from rosa_ray.arena.estimates import Estimates
from rosa_ray.arena.slates import Slates
from rosa_ray.arrays import Columns, Ints
from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.errors import ConfigError
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import (
    EVENT_COLUMNS,
    CounterStates,
    FeatureState,
    Split,
    UserRows,
    encode_users,
    expected_cost,
    fold_records,
    impression_columns,
    no_events,
    read_dense,
)
from rosa_ray.features.counting import buckets_of, counted_views, merge_states
from rosa_ray.features.own_counters import part_columns
from rosa_ray.features.records import concat_records, event_records, impression_records
from rosa_ray.schema import BEHAVIORS, hash_ids
from rosa_ray.simulation.clockwork import Recorder
from rosa_ray.simulation.tables import ids
from rosa_ray.simulation.users import DEVICES, Users
from rosa_ray.simulation.world import World

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ArenaModel:
    """A bundle as the arena asks for it, see `rosa_ray.arena.estimates.Model`."""

    bundle: Bundle
    state: FeatureState

    @classmethod
    def open(cls, bundle_path: str) -> "ArenaModel":
        """Verify a bundle and load its features.

        Raises:
            BundleError: the bundle is missing, damaged, or does not fit this code.
            ConfigError: its features need columns that no simulated log has.
        """
        bundle = open_bundle(bundle_path)
        state = bundle.features(FeatureState.load)
        where = f"bundle {bundle.path} was trained on a log with"
        if state.config.columns:
            raise ConfigError(f"{where} declared columns ({', '.join(state.config.columns)}); the arena has none")
        if state.config.behavior_names != BEHAVIORS:
            own, ours = ", ".join(state.config.behavior_names), ", ".join(BEHAVIORS)
            raise ConfigError(f"{where} the behaviours {own}; the arena has {ours}")
        return cls(bundle, state)

    def begin(self, world: World, users: Users, before: Recorder) -> "ModelEstimates":
        """Estimates of the bundle's ranker, calibrated, after what happened before."""
        keys = WorldKeys.of(world, users)
        _require_same_ads(self.bundle, world)
        scorer = UserScorer.load(self.bundle.model, self.bundle.weights(), self.state)
        return ModelEstimates(self.bundle, scorer, keys, before)


@dataclass(frozen=True)
class WorldKeys:
    """What a log of the world says of users, items and ads, each array by number.

    Attributes:
        user, user_region, item, item_category, ad, ad_item, ad_category, ad_campaign, device: int64 keys.
        item_price: currency units, as events have it.
        ad_price: currency units.
    """

    user: Ints
    user_region: Ints
    item: Ints
    item_category: Ints
    item_price: np.ndarray
    ad: Ints
    ad_item: Ints
    ad_category: Ints
    ad_campaign: Ints
    ad_price: np.ndarray
    device: Ints

    @classmethod
    def of(cls, world: World, users: Users) -> "WorldKeys":
        """Keys of the ids that `rosa simulate` writes."""
        item = _hashed("i", np.arange(len(world.item_price_I)))
        return cls(
            user=_hashed("u", users.first_id + np.arange(len(users))),
            user_region=_hashed("g", users.region_N),
            item=item,
            item_category=_hashed("c", world.item_category_I),
            item_price=world.item_price_I.astype(np.float32),
            ad=_hashed("a", np.arange(len(world.ad_item_A))),
            ad_item=item[world.ad_item_A],
            ad_category=_hashed("c", world.ad_category_A),
            ad_campaign=_hashed("m", world.ad_campaign_A),
            ad_price=world.item_price_I[world.ad_item_A],
            device=hash_ids(pa.array(DEVICES)),
        )


class Timelines:
    """The events of users, in the order of time; more may come for times that have not come yet."""

    def __init__(self, users: int) -> None:
        self._events: list[Columns | None] = [None] * users

    def add(self, row: Ints, events: Columns) -> None:
        """Take in events (`EVENT_COLUMNS`) of users by row, in the order in which they were recorded."""
        order = np.argsort(row, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(row[order])) + 1) if len(row) else ():
            new = {name: events[name][mine] for name in EVENT_COLUMNS}
            known = self._events[row[mine[0]]]
            if known is not None:
                new = {name: np.concatenate([known[name], new[name]]) for name in EVENT_COLUMNS}
            by_time = np.argsort(new["time_us"], kind="stable")
            self._events[row[mine[0]]] = {name: values[by_time] for name, values in new.items()}

    def before(self, row: Ints, time_us: Ints, count: int) -> tuple[Columns, Ints]:
        """The last events of n users strictly before a moment of each, at most `count`, flat with offsets (n + 1,)."""
        found, lengths = [], [0]
        for user, now in zip(row.tolist(), time_us.tolist(), strict=True):
            known = self._events[user]
            end = 0 if known is None else int(np.searchsorted(known["time_us"], now))
            lengths.append(min(end, count))
            if known is not None and end:
                found.append({name: known[name][max(end - count, 0) : end] for name in EVENT_COLUMNS})
        events = (
            {name: np.concatenate([part[name] for part in found]) for name in EVENT_COLUMNS} if found else no_events()
        )
        return events, np.cumsum(lengths)


class ModelEstimates(Estimates):
    """Calibrated predictions of a ranker, and the costs that a service would expect.

    Args:
        before: what happened until the first day; it stays as it is.
    """

    def __init__(self, bundle: Bundle, scorer: UserScorer, keys: WorldKeys, before: Recorder) -> None:
        self._bundle, self._scorer, self._keys = bundle, scorer, keys
        self._buckets = buckets_of(scorer.state.config)
        self._counters: CounterStates = {}
        self._waiting: list[dict[str, np.ndarray]] = []
        self._first_waiting = _NEVER
        self._timelines = Timelines(len(keys.user))
        self._take(before)
        self.recorder = Recorder()

    def on(self, slates: Slates) -> Slates:
        """What the model says of requests, from what happened until each."""
        self._follow(int(slates.time_us.max(initial=0)))
        rows = self.user_rows(slates)
        users = encode_users(rows, self._scorer.state).trim(self._scorer.context_events)
        raw = self._scorer.predict(users)
        scores = self._bundle.calibration.apply({**raw, "price": users.impressions["price"]})
        shape = slates.ad_NK.shape
        p_ctr, p_cvr, value = (np.asarray(scores[name]).reshape(shape) for name in ("p_ctr", "p_cvr", "value"))
        cost_NK = rows.impressions["expected_cost"].reshape(shape)
        return replace(super().on(slates), p_ctr_NK=p_ctr, p_cvr_NK=p_cvr, value_NK=value, cost_NK=cost_NK)

    def user_rows(self, slates: Slates) -> UserRows:
        """A row for each request, with its candidates and their features."""
        keys, config = self._keys, self._scorer.state.config
        n, k = slates.ad_NK.shape
        ad, user = slates.ad_NK.ravel(), np.repeat(slates.user, k)
        # One event more than is read: the gap of the first is the time since the one before.
        events, offsets = self._timelines.before(slates.user, slates.time_us, self._scorer.context_events + 1)
        shown = impression_columns(
            time_us=np.repeat(slates.time_us, k),
            request_key=np.repeat(slates.request, k),
            split=np.full(n * k, Split.POLICY),
            ad_key=keys.ad[ad],
            item_key=keys.ad_item[ad],
            category_key=keys.ad_category[ad],
            campaign_key=keys.ad_campaign[ad],
            device_key=keys.device[np.repeat(slates.device, k)],
            region_key=keys.user_region[user],
            bid=slates.bid_NK.ravel(),
            price=keys.ad_price[ad],
        )
        moment = {**shown, "user_key": keys.user[user]}
        shown["expected_cost"] = expected_cost(self._counters, moment, config)
        return UserRows(
            user_id=np.full(n, "", object),
            user_key=keys.user[slates.user],
            event_offsets=offsets,
            events=events,
            impression_offsets=np.arange(n + 1) * k,
            impressions=shown,
            dense=read_dense(self._counters, moment, config),
        )

    def _follow(self, now_us: int) -> None:
        """Take in what was recorded, and count it where a closed bucket has a part in it."""
        recorder = self.recorder
        if recorder is not None and (recorder.events or recorder.requests):
            self._take(recorder)
            recorder.events.clear()
            recorder.requests.clear()
        if self._waiting and self._buckets.last_closed(np.array(now_us)) >= self._first_waiting:
            records, self._waiting, self._first_waiting = concat_records(self._waiting), [], _NEVER
            self._counters = merge_states(self._counters, fold_records(records, self._scorer.state.config))

    def _take(self, recorder: Recorder) -> None:
        """Events to timelines; records wait until they are counted."""
        events, requests = recorder.columns()
        if events and len(events["row"]):
            columns = self._event_columns(events)
            self._timelines.add(events["row"], columns)
            self._wait(event_records({**columns, "event_id": np.full(len(events["row"]), "", object)}))
        if requests and requests["won_N"].any():
            parts = part_columns(counted_views(self._scorer.state.config))
            self._wait(impression_records(self._impressions(requests), parts))

    def _wait(self, records: dict[str, np.ndarray]) -> None:
        self._waiting.append(records)
        self._first_waiting = min(self._first_waiting, int(self._buckets.of(records["time_us"].min())))

    def _event_columns(self, events: Columns) -> dict[str, np.ndarray]:
        keys, item = self._keys, events["item"]
        return {
            "user_key": keys.user[events["row"]],
            "time_us": events["time_us"],
            "item_key": keys.item[item],
            "category_key": keys.item_category[item],
            "behavior": events["behavior"].astype(np.int8),
            "price": keys.item_price[item],
        }

    def _impressions(self, requests: Columns) -> dict[str, np.ndarray]:
        """The requests that showed an ad, as `keyed_impressions` gives them."""
        at = np.flatnonzero(requests["won_N"])
        one, keys = (at, requests["shown_N"][at]), self._keys
        ad, row = requests["ad_NK"][one], requests["row"][at]
        return {
            "user_key": keys.user[row],
            "ad_key": keys.ad[ad],
            "item_key": keys.ad_item[ad],
            "category_key": keys.ad_category[ad],
            "campaign_key": keys.ad_campaign[ad],
            "device_key": keys.device[requests["device_N"][at]],
            "region_key": keys.user_region[row],
            "time_us": requests["time_us"][at],
            "conversion_time_us": requests["conversion_time_us"][at],
            "click": requests["click_N"][at],
            "conversion": requests["conversion_N"][at],
            "bid": requests["bid_NK"][one],
            "cost": requests["cost_N"][at],
        }


def _hashed(prefix: str, numbers: np.ndarray) -> Ints:
    return np.asarray(hash_ids(ids(prefix, numbers)))


def _require_same_ads(bundle: Bundle, world: World) -> None:
    """Refuse a model of another world.

    Raises:
        ConfigError: an ad of the world is not in the bundle's catalogue, or has another item there.
    """
    known = dict(zip(bundle.ads["ad_id"].to_pylist(), bundle.ads["item_id"].to_pylist(), strict=True))
    for ad, item in enumerate(world.ad_item_A.tolist()):
        if known.get(f"a{ad}") != f"i{item}":
            raise ConfigError(
                f"bundle {bundle.path} was not trained on a log of this world: ad a{ad} shows item i{item} here, "
                f"and {known.get(f'a{ad}') or 'none'} there; simulate, preprocess and train with this config"
            )
