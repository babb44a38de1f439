"""Users who are too long for one row of a batch, cut into pieces.

A batch is padded to its longest timeline and to its most impressions, and ads look at events: time and memory grow with
the product of both. An impression sees no more than the `context` events before it. So the impressions of a long user
go in runs, each with the events that it can see, and the work is linear in the user's length.
"""

from dataclasses import replace

import numpy as np

from rosa_ray.features.encoding import EncodedUsers, gather_segments, owners

WHOLE_ROWS = 4096
"""A user with more events, or with more impressions, is cut."""

WHOLE_CELLS = 1 << 18
"""A user with more pairs of an impression and an event is cut; about 50 MB in a training step."""

PIECE_ROWS, PIECE_CELLS = 1024, 1 << 17
"""What a piece holds at most; events are twice the context where that is more."""


def cut_long_users(users: EncodedUsers, context: int) -> EncodedUsers:
    """The same impressions in the same order, those of long users as several users of the same key.

    Scores stay what they are: an impression keeps the `context` events before it. In training, each piece is a user of
    its own, and the events that two pieces share teach the next event twice.

    Args:
        context: raw events before an impression that its score can depend on.

    Returns:
        The given users themselves, if none is long.
    """
    events, shown = np.diff(users.event_offsets), np.diff(users.impression_offsets)
    long = (events > WHOLE_ROWS) | (shown > WHOLE_ROWS) | (events * shown > WHOLE_CELLS)
    if not long.any():
        return users
    runs = [_runs(users, user, context) if long[user] else [_whole(users, user)] for user in range(len(users))]
    owner = np.repeat(np.arange(len(users)), [len(of_user) for of_user in runs])
    first, low, high = np.array([run for of_user in runs for run in of_user], np.int64).T
    bounds = (users.event_offsets[owner][:, None] + np.stack([low, high], axis=1)).ravel()
    event_rows, event_offsets = gather_segments(bounds, np.arange(0, len(bounds), 2))
    offsets = np.r_[first, users.impression_offsets[-1]]
    return replace(
        users,
        user_key=users.user_key[owner],
        event_offsets=event_offsets,
        events={name: values[event_rows] for name, values in users.events.items()},
        impression_offsets=offsets,
        impressions={**users.impressions, "visible": users.impressions["visible"] - low[owners(offsets)]},
    )


def cut_timelines(users: EncodedUsers, context: int) -> EncodedUsers:
    """The same timelines without impressions, those of long users as several users of the same key.

    A piece begins with the `context` events before its own, as of `cut_long_users`.

    >>> from rosa_ray.features.encoding import EncodedUsers
    >>> times = {"time_us": np.arange(5000)}
    >>> one = EncodedUsers(np.array([7]), np.array([0, 5000]), times, np.zeros(2, int), {}, np.empty((0, 2)))
    >>> cut_timelines(one, 24).event_offsets.tolist()
    [0, 1024, 2048, 3072, 4096, 5096]
    """
    length = max(PIECE_ROWS, 2 * context)
    counts = np.diff(users.event_offsets)
    steps = np.where(counts > WHOLE_ROWS, np.maximum(-(-(counts - context) // (length - context)), 1), 1)
    owner = np.repeat(np.arange(len(users)), steps)
    number = np.arange(len(owner)) - np.r_[0, np.cumsum(steps)][owner]
    low = number * (length - context)
    high = np.where(steps[owner] > 1, np.minimum(low + length, counts[owner]), counts[owner])
    bounds = (users.event_offsets[owner][:, None] + np.stack([low, high], axis=1)).ravel()
    rows, offsets = gather_segments(bounds, np.arange(0, len(bounds), 2))
    return replace(
        users,
        user_key=users.user_key[owner],
        event_offsets=offsets,
        events={name: values[rows] for name, values in users.events.items()},
        impression_offsets=np.zeros(len(owner) + 1, np.int64),
    )


def _whole(users: EncodedUsers, user: int) -> tuple[int, int, int]:
    return int(users.impression_offsets[user]), 0, int(users.event_offsets[user + 1] - users.event_offsets[user])


def _runs(users: EncodedUsers, user: int, context: int) -> list[tuple[int, int, int]]:
    """First impression row of each piece, and the events `low` to `high` of the timeline that it can see."""
    begin, end = users.impression_offsets[user : user + 2].tolist()
    most_events, runs, first = max(PIECE_ROWS, 2 * context), list[tuple[int, int, int]](), begin
    low = high = -1
    for row, visible in enumerate(users.impressions["visible"][begin:end].tolist(), begin):
        seen_from = max(visible - context, 0)
        wider = (seen_from, visible) if row == first else (min(low, seen_from), max(high, visible))
        count, span = row - first + 1, wider[1] - wider[0]
        if row > first and (count > PIECE_ROWS or span > most_events or count * span > PIECE_CELLS):
            runs.append((first, low, high))
            first, wider = row, (seen_from, visible)
        low, high = wider
    return [*runs, (first, max(low, 0), max(high, 0))]
