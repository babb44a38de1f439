"""Nobody sees an ad too often: at most so many impressions per user in a window."""

from bisect import bisect_right, insort
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt

from rosa_ray.arrays import Ints
from rosa_ray.policy.slate import Shown, Slate, Step
from rosa_ray.schema.keys import MISSING_KEY
from rosa_ray.settings import section
from rosa_ray.units import HOUR_US

_NEVER_US = np.iinfo(np.int64).min
_SWEEP = 4096
"""Users that come between two looks for those whose impressions have all aged."""


@section("serving.policy.*")
class Config:
    """How often one user may see an ad."""

    most: Annotated[int, Ge(1)] = 3
    """Impressions in the window, at most."""
    per: Literal["ad", "campaign"] = "ad"
    """What is counted: impressions of the ad, or of all ads of its campaign."""
    window_hours: Annotated[float, Gt(0)] = 24.0
    """Impressions count for so long. One that is exactly as old does not."""


class Rule(Step):
    """Takes out what a user has seen often enough. Users without an id are never capped.

    The state is the times of impressions by user and ad or campaign. Times that lie a window or more before the newest
    one told are forgotten, so that the order of telling decides nothing.
    """

    def __init__(self, config: Config, name: str = "frequency_cap") -> None:
        self.config, self.name = config, name
        self._window_us = round(config.window_hours * HOUR_US)
        self._seen: dict[int, dict[int, list[int]]] = {}
        self._newest_us, self._since_sweep = int(_NEVER_US), 0

    def apply(self, slate: Slate) -> Slate:
        """The slate without what the user has seen often enough before the request."""
        seen = self._seen.get(slate.user_key)
        if not seen:
            return slate
        most, until_us = self.config.most, slate.time_us
        since_us = until_us - self._window_us
        full = [
            key
            for key, times_us in seen.items()
            if len(times_us) >= most and bisect_right(times_us, until_us) - bisect_right(times_us, since_us) >= most
        ]
        if not full:
            return slate
        capped = np.isin(self._keys(slate), full)
        dropped = int((capped & slate.shown).sum())
        return slate.without(capped, self.name, {"per": self.config.per, "seen_enough": dropped})

    def tell(self, shown: Shown) -> None:
        """Count impressions; rows that add to one told before are none."""
        count = shown.user_key != MISSING_KEY
        if shown.impression is not None:
            count = count & shown.impression
        self._fold(shown.user_key[count], self._keys(shown)[count], shown.time_us[count])

    def snapshot(self) -> dict[str, Any]:
        """Times of impressions within a window of the newest, sorted: user_key, key and time_us, int64 (n,)."""
        self._sweep()
        rows = sorted(
            (user, key, one) for user, seen in self._seen.items() for key, times_us in seen.items() for one in times_us
        )
        columns = np.array(rows, np.int64).reshape(-1, 3).T
        return {"per": self.config.per, "user_key": columns[0], "key": columns[1], "time_us": columns[2]}

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """Add the impressions that another process was told of."""
        self._fold(snapshot["user_key"], snapshot["key"], snapshot["time_us"])

    def _keys(self, of: Slate | Shown) -> Ints:
        return of.ad_key if self.config.per == "ad" else of.campaign_key

    def _fold(self, users: Ints, keys: Ints, times_us: Ints) -> None:
        if not len(times_us):
            return
        self._newest_us = max(self._newest_us, int(times_us.max()))
        oldest_us = self._newest_us - self._window_us
        for user, key, one in zip(users.tolist(), keys.tolist(), times_us.tolist(), strict=True):
            if one > oldest_us:
                self._since_sweep += user not in self._seen
                insort(self._seen.setdefault(user, {}).setdefault(key, []), one)
        if self._since_sweep >= _SWEEP:
            self._sweep()

    def _sweep(self) -> None:
        oldest_us, self._since_sweep = self._newest_us - self._window_us, 0
        kept: dict[int, dict[int, list[int]]] = {}
        for user, seen in self._seen.items():
            young = {key: [one for one in times_us if one > oldest_us] for key, times_us in seen.items()}
            if young := {key: times_us for key, times_us in young.items() if times_us}:
                kept[user] = young
        self._seen = kept
