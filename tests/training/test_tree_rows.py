"""Rows that trees are fitted on: all of them or a share of the users, and those whose label is known."""

import numpy as np

from rosa_ray.features import EncodedUsers, Split
from rosa_ray.models.tree_columns import Matrix
from rosa_ray.training.tree_rows import rows_of, sample
from tests.tiny_users import tiny_users


def read_keys(users: EncodedUsers) -> tuple[Matrix, dict[str, np.ndarray]]:
    key = users.impressions["impression_key"]
    return Matrix(np.zeros((len(key), 2), np.float32), ("a", "b"), ()), {"key": key}


def test_all_rows_are_taken_or_those_of_a_share_of_the_users() -> None:
    users, _ = tiny_users(users=40, per_user=9)
    parts = [users.take(np.arange(start, 40, 4)) for start in range(4)]
    whole = sample(parts, read_keys, 360)
    assert whole is not None
    assert sorted(whole[1]["key"]) == sorted(users.impressions["impression_key"])
    few, turned = (sample(order, read_keys, 200) for order in (parts, parts[::-1]))
    assert few is not None
    assert turned is not None
    assert 60 < len(few[0].values) == len(few[1]["key"]) <= 200
    assert set(few[1]["key"]) == set(turned[1]["key"])
    owner = dict(zip(users.impressions["impression_key"], np.repeat(users.user_key, 9), strict=True))
    assert len({owner[key] for key in few[1]["key"]}) == len(few[1]["key"]) / 9
    assert sample([users.select(Split.POLICY)], read_keys, 10) is None


def test_clicked_rows_whose_conversions_are_known_tell_of_conversions() -> None:
    matrix = Matrix(np.arange(4, dtype=np.float32)[:, None], ("a",), ())
    shown = {
        "click": np.array([0, 1, 1, 1]),
        "conversion": np.array([0, 0, 1, 0]),
        "weight": np.array([1.0, 2.0, 3.0, 4.0]),
        "conversion_weight": np.array([1.0, 1.0, 0.5, 0.0]),
    }
    rows = rows_of(matrix, shown, "conversion")
    assert rows.matrix.values[:, 0].tolist() == [1, 2]
    assert rows.weight.tolist() == [2.0, 1.5]
    assert len(rows_of(matrix, shown, "click").label) == 4
