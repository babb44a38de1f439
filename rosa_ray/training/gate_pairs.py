"""Pairs of an offline and an online prediction of the same impression, replayed from the validation period.

Encoder states depend on the past only. So what stored states would have predicted is what the ranker predicts when it
sees no event from the time they were written on; everything else of the request stays, its decay included.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import nn

from rosa_ray.calibration import Calibration
from rosa_ray.features import EncodedUsers
from rosa_ray.features.encoding import owners
from rosa_ray.inference import context_events, predict
from rosa_ray.models.gate import HISTORY_INPUTS
from rosa_ray.schema import WEAKEST
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US

GATE_HEADS = ("p_ctr", "p_ctcvr")
"""Heads that the loss compares, with equal weight: clicks, and clicks that convert."""

_LEAST_AGE_US, _MOST_AGE_US = 10 * MINUTE_US, 7 * DAY_US


@dataclass(frozen=True)
class GatePairs:
    """P pairs. One impression may stand in several, with states of different ages.

    Attributes:
        user_key: int64 (P,).
        history: float32 (P, F), `HISTORY_INPUTS`.
        p_off, p_on: float32 (P, 2), calibrated probabilities of `GATE_HEADS`.
        label: float32 (P, 2), click, and click with conversion.
        stands_for: float32 (P,), how many impressions the pair's own one stands for.
    """

    user_key: np.ndarray
    history: np.ndarray
    p_off: np.ndarray
    p_on: np.ndarray
    label: np.ndarray
    stands_for: np.ndarray

    def __len__(self) -> int:
        return len(self.user_key)

    def take(self, rows: np.ndarray) -> "GatePairs":
        """The pairs of an index or a mask."""
        return GatePairs(*(getattr(self, entry.name)[rows] for entry in fields(self)))


def concat_pairs(parts: Sequence[GatePairs]) -> GatePairs:
    """Join pairs, in order."""
    names = [entry.name for entry in fields(GatePairs)]
    return GatePairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def draw_cuts(
    time_us: np.ndarray, cuts: int, daily_share: float, day_offset_us: np.ndarray | int, rng: np.random.Generator
) -> np.ndarray:
    """When the states of each pair were written, int64 (I, cuts): before the request.

    Args:
        time_us: request times (I,).
        daily_share: pairs with the last daily materialisation, at midnight; the others' states are 10 minutes to 7 days
            old, uniform in the logarithm.
        day_offset_us: local time less UTC, of all or of each request (I,).
    """
    shape = (len(time_us), cuts)
    age_us = np.exp(rng.uniform(np.log(_LEAST_AGE_US), np.log(_MOST_AGE_US), shape)).astype(np.int64)
    midnight_us = (time_us + day_offset_us) // DAY_US * DAY_US - day_offset_us
    return np.where(rng.random(shape) < daily_share, midnight_us[:, None], time_us[:, None] - age_us)


def replay_pairs(
    ranker: nn.Module,
    users: EncodedUsers,
    cut_us: np.ndarray,
    calibration: Calibration,
    *,
    users_per_batch: int = 64,
    device: torch.device | str = "cpu",
) -> GatePairs:
    """Predict every impression as of its request and as of each cut; timelines are encoded once for all of them.

    Impressions without an event before the cut are left out: there would be no states to choose.

    Args:
        users: with the impressions to replay, timelines not trimmed.
        cut_us: (I, C) times before the requests.
    """
    context, cuts = context_events(ranker), cut_us.shape[1]
    shown = users.impressions
    encoded = np.stack([events_before(users, cut_us[:, column]) for column in range(cuts)], axis=1)
    both = repeat_impressions(users, np.concatenate([shown["visible"][:, None], encoded], axis=1))
    raw = predict(ranker, both.trim(context), users_per_batch, device)
    scores = calibration.apply({**raw, "price": both.impressions["price"]})
    heads = np.stack([scores[name] for name in GATE_HEADS], axis=1)
    p = heads.reshape(-1, cuts + 1, len(GATE_HEADS)).astype(np.float32)
    label = np.stack([shown["click"], shown["click"] * shown["conversion"]], axis=1).astype(np.float32)
    parts = []
    for column in range(cuts):
        pairs = GatePairs(
            user_key=users.user_key[owners(users.impression_offsets)],
            history=history_inputs(users, encoded[:, column], context),
            p_off=p[:, column + 1],
            p_on=p[:, 0],
            label=label,
            stands_for=shown["weight"].astype(np.float32),
        )
        # A label of both heads is needed: rows whose conversions are not known are left out.
        parts.append(pairs.take((encoded[:, column] > 0) & (shown["conversion_weight"] > 0)))
    return concat_pairs(parts)


def history_inputs(users: EncodedUsers, encoded: np.ndarray, context: int) -> np.ndarray:
    """`HISTORY_INPUTS` of every impression, float32 (I, F), as the scorer finds them at serving.

    Args:
        encoded: (I,) events of the timeline that have stored states, 0 where there are none.
        context: events that the encoder can use.
    """
    time_us, visible = users.impressions["time_us"], users.impressions["visible"]
    lately = visible - events_before(users, time_us - HOUR_US)
    first = np.maximum(encoded, visible - context)
    columns = {
        "events_since": visible - first,
        "actions_since": _actions(users, first, visible),
        "staleness_s": _age_s(users, encoded),
        "idle_s": _age_s(users, visible),
        "events_last_hour": np.minimum(lately, context),
        "history_events": np.minimum(visible, context),
    }
    return np.stack([columns[name] for name in HISTORY_INPUTS], axis=1).astype(np.float32)


def events_before(users: EncodedUsers, time_us: np.ndarray) -> np.ndarray:
    """How many of the user's events lie strictly before a time of each impression, int64 (I,)."""
    event_us, found = users.events["time_us"], [np.empty(0, np.int64)]
    bounds = zip(users.event_offsets[:-1], users.event_offsets[1:], strict=True)
    for user, (start, end) in enumerate(bounds):
        mine = slice(users.impression_offsets[user], users.impression_offsets[user + 1])
        found.append(np.searchsorted(event_us[start:end], time_us[mine], side="left"))
    return np.concatenate(found)


def repeat_impressions(users: EncodedUsers, visible: np.ndarray) -> EncodedUsers:
    """Every impression C times in a row, each with its own number of visible events (I, C)."""
    rows = np.repeat(np.arange(len(visible)), visible.shape[1])
    return replace(
        users,
        impression_offsets=users.impression_offsets * visible.shape[1],
        impressions={name: values[rows] for name, values in users.impressions.items()} | {"visible": visible.ravel()},
        dense=users.dense[rows],
    )


def _age_s(users: EncodedUsers, events: np.ndarray) -> np.ndarray:
    """Seconds from the last of a timeline's first `events` to each impression; 0 where there is none."""
    row = users.event_offsets[owners(users.impression_offsets)] + np.maximum(events, 1) - 1
    padded_us = np.append(users.events["time_us"], 0)
    age_us = users.impressions["time_us"] - padded_us[np.minimum(row, len(padded_us) - 1)]
    return np.where(events > 0, age_us / SECOND_US, 0.0)


def _actions(users: EncodedUsers, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many of the timeline's events from `first` on and before `end` are stronger than the weakest, int64 (I,)."""
    running = np.r_[0, np.cumsum(users.events["behavior"] != WEAKEST)]
    start = users.event_offsets[owners(users.impression_offsets)]
    actions: np.ndarray = running[start + end] - running[start + first]
    return actions
