"""What trees are fitted on: the matrix of some users' impressions, and samples of users that fit in memory."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch

from rosa_ray.arrays import Columns
from rosa_ray.features import EncodedUsers, batch_users, collate, cut_long_users
from rosa_ray.features.encoding import owners
from rosa_ray.models import UserBatch
from rosa_ray.models.embedding import TableSizes
from rosa_ray.models.transitions import Transitions
from rosa_ray.models.tree_columns import Matrix, tree_matrix
from rosa_ray.training.boosting import Rows
from rosa_ray.training.reader import drawn_by, idle_user, in_share

_KEY, _VALUES = "drawn_by", "values"
_USERS_PER_BATCH = 64


def users_matrix(users: EncodedUsers, sizes: TableSizes, window: int, transitions: Transitions | None) -> Matrix:
    """The matrix of every impression, in the flat order of the users' impressions.

    Args:
        window: events before an impression that are looked at.
        transitions: of any device; in training mode each user reads the counts of other folds. None leaves them out.
    """
    users = cut_long_users(users, max(window, transitions.reads if transitions else 0))
    found = _matrix_of(idle_user(users), np.zeros(1, np.int64), sizes, window, transitions)[1]
    values = np.empty((len(users.dense), found.values.shape[1]), np.float32)
    for chosen in batch_users(users, _USERS_PER_BATCH, None):
        row, part = _matrix_of(users, chosen, sizes, window, transitions)
        values[row] = part.values
    return replace(found, values=values)


def weights_of(shown: Columns) -> dict[str, np.ndarray]:
    """What each impression stands for by label, (I,): a conversion is told of clicked rows whose conversions are known.

    >>> one = {"weight": np.array([2.0]), "click": np.array([0.0]), "conversion_weight": np.array([1.0])}
    >>> weights_of(one)
    {'click': array([2.]), 'conversion': array([0.])}
    """
    shown_for = np.asarray(shown["weight"], np.float64)
    return {"click": shown_for, "conversion": shown_for * shown["conversion_weight"] * shown["click"]}


def rows_of(matrix: Matrix, shown: Columns, label: str) -> Rows:
    """The rows that one of the labels is known of."""
    return Rows.of(matrix, np.asarray(shown[label], np.float64), weights_of(shown)[label])


def sample(
    parts: Iterable[EncodedUsers], read: Callable[[EncodedUsers], tuple[Matrix, Columns]], most: int
) -> tuple[Matrix, dict[str, np.ndarray]] | None:
    """Rows of the impressions of all users, or where these are too many of a half, a quarter, … of the users.

    A smaller share is part of a larger one, so the order of the parts changes nothing but that of the rows.

    Args:
        read: matrix and other columns of every impression of some users, each (I, …).
        most: impressions at most.

    Returns:
        Matrix and columns of the impressions kept; None where no part has any.
    """
    share, matrix, kept = 1.0, None, list[dict[str, np.ndarray]]()
    for users in parts:
        own = users.take(np.flatnonzero(in_share(drawn_by(users), share))) if len(users.dense) else users
        if len(own.dense):
            matrix, columns = read(own)
            key = drawn_by(own)[owners(own.impression_offsets)]
            kept.append({**columns, _KEY: key, _VALUES: matrix.values})
        while sum(len(columns[_KEY]) for columns in kept) > most:
            share /= 2
            kept = [
                {name: values[among] for name, values in columns.items()}
                for columns in kept
                for among in (in_share(columns[_KEY], share),)
            ]
    if matrix is None:
        return None
    whole = _concat(kept)
    return replace(matrix, values=whole.pop(_VALUES)), whole


def _matrix_of(
    users: EncodedUsers, chosen: np.ndarray, sizes: TableSizes, window: int, transitions: Transitions | None
) -> tuple[np.ndarray, Matrix]:
    """Flat rows of the chosen users' impressions, and their matrix."""
    batch = UserBatch.from_numpy(collate(users, chosen))
    followed = None
    if transitions is not None:
        device = next(iter(transitions.pairs.values())).codes.device
        there = batch.to(device)
        with torch.no_grad():
            followed = transitions(there.impressions, there.events, there.fold)
    return batch.row[batch.impression_mask].numpy(), tree_matrix(batch, sizes, window, followed)


def _concat(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Parts one after another; each is let go once it is copied, so that no more than all of them is in memory."""
    names, rows = list(parts[0]) if parts else [], sum(len(next(iter(part.values()))) for part in parts)
    whole = {name: np.empty((rows, *parts[0][name].shape[1:]), parts[0][name].dtype) for name in names}
    start = 0
    while parts:
        part = parts.pop(0)
        count = len(next(iter(part.values())))
        for name, values in part.items():
            whole[name][start : start + count] = values
        start += count
    return whole
