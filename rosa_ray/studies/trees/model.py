"""Fitted trees: from encoded users to the scores that rankers give."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rosa_ray.arrays import Floats
from rosa_ray.evaluation.scoring import Scorer
from rosa_ray.features import EncodedUsers, FeatureState
from rosa_ray.models.boosted import Trees
from rosa_ray.models.embedding import TableSizes
from rosa_ray.models.transitions import KINDS, Transitions
from rosa_ray.studies.trees.config import WINDOW
from rosa_ray.training.tree_rows import users_matrix

_TRANSITIONS = "transitions."


@dataclass(frozen=True)
class TreesModel:
    """Two probabilities and what their inputs need.

    Attributes:
        sizes: of the inputs, see `FeatureState.table_sizes`.
        transitions: None where they are no input. A score reads the counts of all users, as a ranker's does.
    """

    click: Trees
    conversion: Trees
    sizes: TableSizes
    transitions: Transitions | None

    def predict(self, users: EncodedUsers) -> dict[str, Floats]:
        """Scores of every impression, see `rosa_ray.inference.predict`; the value is the catalogue price."""
        if self.transitions is not None:
            self.transitions.eval()
        values = users_matrix(users, self.sizes, WINDOW, self.transitions).values
        p_ctr, p_cvr = self.click.predict(values), self.conversion.predict(values)
        price = np.asarray(users.impressions["price"], np.float64)
        return {"p_ctr": p_ctr, "p_cvr": p_cvr, "p_ctcvr": p_ctr * p_cvr, "value": price}

    def state_dict(self) -> dict[str, Tensor]:
        """All of it as tensors, as trials keep them."""
        return {
            **self.click.state_dict("click"),
            **self.conversion.state_dict("conversion"),
            **(self.transitions.state_dict(prefix=_TRANSITIONS) if self.transitions else {}),
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], sizes: TableSizes, transitions: bool) -> "TreesModel":
        """Inverse of `state_dict`.

        Args:
            transitions: whether they are an input.
        """
        return cls(
            Trees.from_state_dict(state, "click"),
            Trees.from_state_dict(state, "conversion"),
            sizes,
            _transitions_of(state) if transitions else None,
        )


@dataclass(frozen=True)
class TreesScorer(Scorer):
    """Scores user rows as `UserScorer` does."""

    model: TreesModel
    state: FeatureState

    @property
    def context_events(self) -> int:
        return WINDOW

    def predict(self, users: EncodedUsers) -> dict[str, np.ndarray]:
        return self.model.predict(users)


def _transitions_of(state: Mapping[str, Tensor]) -> Transitions:
    own = {name.removeprefix(_TRANSITIONS): value for name, value in state.items() if name.startswith(_TRANSITIONS)}
    rows = {kind: len(own[f"{kind}_1_before"]) for kind in KINDS}
    transitions = Transitions(rows, within_category="item_vectors" in own, prices="category_usual_price" in own)
    transitions.load_state_dict(own)
    return transitions
