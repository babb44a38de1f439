"""The matrix that trees read: the project's own features of an impression, its past, and transitions where wanted.

Trees read ids of few values as sets, so no label is averaged by id. Items have too many values for that; what is said
of them are matches and transitions. Columns of several tokens and frozen vectors are left out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rosa_ray.features import EncodedUsers
from rosa_ray.features.encoding import owners
from rosa_ray.features.own_inputs import GIVEN_VECTORS, OWN
from rosa_ray.models.transitions import KINDS, LONG, NAMES, Transitions
from rosa_ray.schema import fold_of
from rosa_ray.studies.trees.history import Past, chunks, history_columns

IDS = ("category", "campaign", "device", "region")
CLOCK = ("hour", "weekday")


@dataclass(frozen=True)
class Matrix:
    """What trees read of I impressions.

    Attributes:
        values: float32 (I, C), NaN where missing.
        names: of the columns.
        sets: names of those whose values are ids.
    """

    values: npt.NDArray[np.float32]
    names: tuple[str, ...]
    sets: tuple[str, ...]


def tree_matrix(users: EncodedUsers, behaviors: int, transitions: Transitions | None) -> Matrix:
    """The matrix of every impression.

    Args:
        behaviors: how many there are.
        transitions: None leaves them out.
    """
    shown = users.impressions
    columns = {f"dense_{n}": users.dense[:, n] for n in range(users.dense.shape[1])}
    columns |= {name: shown[name] for name in (*CLOCK, *IDS)}
    own = {f"own_{n}": shown[OWN][:, n] for n in range(shown[OWN].shape[1])} if OWN in shown else {}
    columns |= own
    if GIVEN_VECTORS in shown:
        columns |= {f"vector_{n}": shown[GIVEN_VECTORS][:, n] for n in range(shown[GIVEN_VECTORS].shape[1])}
    columns |= history_columns(users, behaviors)
    if transitions is not None:
        columns |= _transition_columns(users, transitions)
    values = np.stack([np.asarray(column, np.float32) for column in columns.values()], axis=1)
    return Matrix(values, tuple(columns), (*IDS, *own))


def _transition_columns(users: EncodedUsers, transitions: Transitions) -> dict[str, np.ndarray]:
    """What rankers read of `rosa_ray.models.transitions`, by name; every user reads the counts of other folds."""
    names = [f"{kind}_{name}" for kind in KINDS for name in NAMES]
    fold = fold_of(users.user_key[owners(users.impression_offsets)])
    parts = [np.empty((0, len(names)), np.float32)]
    for rows in chunks(users):
        past = Past.of(users, rows, LONG)
        found = transitions.read(
            {kind: torch.from_numpy(users.impressions[kind][rows].astype(np.int64)) for kind in KINDS},
            {kind: torch.from_numpy(past.read(users.events[kind]).astype(np.int64)) for kind in KINDS},
            torch.from_numpy(past.there),
            torch.from_numpy(fold[rows])[:, None],
        )
        parts.append(found.numpy())
    return dict(zip(names, np.concatenate(parts).T, strict=True))
