"""The matrix that trees read: the project's own features of an impression, its past, and transitions where wanted.

Trees read ids of few values as sets, so no label is averaged by id. Items have too many values for that; what is said
of them are matches and transitions. Columns of several tokens and frozen vectors are left out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rosa_ray.features import EncodedUsers
from rosa_ray.features.own_inputs import GIVEN_VECTORS, OWN
from rosa_ray.studies.trees.history import history_columns
from rosa_ray.studies.trees.transitions import Transitions

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
        columns |= transitions.columns(users)
    values = np.stack([np.asarray(column, np.float32) for column in columns.values()], axis=1)
    return Matrix(values, tuple(columns), (*IDS, *own))
