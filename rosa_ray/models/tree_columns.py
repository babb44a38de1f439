"""The matrix that trees read: the project's own features of an impression, its past, and transitions where wanted.

It is built from a batch, the same for fitting, for scores of a log and for a request. Trees read ids of few values as
sets, so no label is averaged by id. Items have too many values for that; what is said of them are matches and
transitions. Columns of several tokens and frozen vectors are left out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rosa_ray.models.batch import UserBatch
from rosa_ray.models.embedding import VECTOR, TableSizes, behavior_count
from rosa_ray.models.transitions import Followed
from rosa_ray.models.tree_history import history_columns, real
from rosa_ray.schema.own_columns import AD, ITEM

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


def tree_matrix(batch: UserBatch, sizes: TableSizes, window: int, followed: Followed | None) -> Matrix:
    """The matrix of every impression of a batch, padding left out.

    Args:
        sizes: of the inputs, from `FeatureState.table_sizes`.
        window: events before an impression that are looked at.
        followed: what `Transitions` say of the impressions; None leaves it out.
    """
    shown = batch.impressions
    columns = _numbered("dense", real(batch, batch.dense))
    columns |= {name: real(batch, shown[name]) for name in (*CLOCK, *IDS)}
    own = _numbered("own", real(batch, shown["own"])) if "own" in shown else {}
    columns |= own
    if given := given_numbers(sizes):
        # Frozen vectors stand before them.
        columns |= _numbered("vector", real(batch, shown["vectors"][..., -given:]))
    columns |= history_columns(batch, behavior_count(sizes), window)
    if followed is not None:
        columns |= dict(zip(followed.names, real(batch, followed.values).T, strict=True))
    values = np.stack([np.asarray(column, np.float32) for column in columns.values()], axis=1)
    return Matrix(values, tuple(columns), (*IDS, *own))


def given_numbers(sizes: TableSizes) -> int:
    """Numbers of the declared vectors that users and requests bring.

    >>> given_numbers({"vector:user.taste": 3, "vector:item.image": 8})
    3
    """
    vectors = {name.removeprefix(VECTOR): size for name, size in sizes.items() if name.startswith(VECTOR)}
    return sum(size for name, size in vectors.items() if not name.startswith((ITEM, AD)))


def _numbered(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}_{n}": values[:, n] for n in range(values.shape[1])}
