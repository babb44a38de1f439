"""Boosted trees that learned nothing of use, so that every column is read somewhere."""

import numpy as np
from torch import nn

from rosa_ray.features import EncodedUsers
from rosa_ray.models.boosted import Blend, Boosted, Trees
from rosa_ray.models.transitions import Transitions
from rosa_ray.training.boosting import lightgbm
from rosa_ray.training.tree_rows import users_matrix

WEIGHTS = {"click": 0.6, "conversion": 0.3}
PARAMS = {"objective": "binary", "num_leaves": 15, "min_data_in_leaf": 2, "learning_rate": 0.3, "verbosity": -1}


def give_trees(ranker: nn.Module, users: EncodedUsers, seed: int = 0) -> None:
    """Give every part of a ranker that blends trees some of random labels, on the users' matrix."""
    for place, part in enumerate(part for part in ranker.modules() if isinstance(part, Boosted)):
        transitions = next((each for each in ranker.modules() if isinstance(each, Transitions)), None)
        matrix = users_matrix(users, part.sizes, part.window, transitions)
        rng = np.random.default_rng([seed, place])
        for head, weight in WEIGHTS.items():
            label = rng.integers(0, 2, len(matrix.values))
            told = lightgbm().Dataset(matrix.values, label, feature_name=list(matrix.names), params=PARAMS)
            grown = lightgbm().train(PARAMS | {"num_threads": 1, "seed": seed}, told, 40)
            part.blends[head] = Blend(Trees(-1.0, grown.model_to_string()), weight)
