"""A worker's timelines: events of the training period alone, of users to learn from and of users held out."""

import numpy as np
import pyarrow as pa

from rosa_ray.features import EncodedUsers, FeatureState, UserRows, cut_timelines, encode_users
from rosa_ray.schema import MISSING_KEY
from rosa_ray.training.reader import Periods, ShardReader, TableBlocks, in_share, narrow

_HELD_OUT_KIND = 0x48
"""Draws held-out users by other bits of their keys than shares of users do."""

_FEWEST_EVENTS = 2
"""A shorter timeline has no next event."""


class EventReader(ShardReader):
    """As `ShardReader`, of timelines: `training` gives the users to learn from, `validation` those held out.

    Users without impressions are among them. Impressions are not.

    Args:
        until_us: end of the training period, microseconds UTC; no event at or after it is read.
        holdout: share of the users that are held out, above 0 to below 1.
    """

    def __init__(
        self,
        tables: TableBlocks,
        state: FeatureState,
        context: int,
        *,
        until_us: int,
        holdout: float,
        memory_bytes: float = float("inf"),
        user_share: float = 1.0,
    ) -> None:
        self._until_us, self._holdout = until_us, holdout
        super().__init__(tables, state, context, memory_bytes, user_share)

    def _encode(self, table: pa.Table) -> Periods:
        users = encode_timelines(table, self._state, self._until_us)
        users = users.take(np.flatnonzero(in_share(users.user_key, self._user_share)))
        held_out = in_share(users.user_key, self._holdout, _HELD_OUT_KIND)
        learned, held = (users.take(np.flatnonzero(chosen)) for chosen in (~held_out, held_out))
        return Periods(*(narrow(cut_timelines(each, self._context)) for each in (learned, held)))


def encode_timelines(table: pa.Table, state: FeatureState, until_us: int) -> EncodedUsers:
    """Encode the events before a moment of all users that have two or more of them, without impressions.

    Args:
        table: user rows.
        until_us: microseconds UTC.
    """
    users = encode_users(UserRows.from_table(table).timelines(until_us), state)
    enough = np.diff(users.event_offsets) >= _FEWEST_EVENTS
    return users.take(np.flatnonzero(enough & (users.user_key != MISSING_KEY)))
