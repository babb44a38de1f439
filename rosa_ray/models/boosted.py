"""Boosted trees as a part of a ranker: they read hand-made features, and their logits are blended with its own.

A network that reads states and embeddings, and trees that cut counts and rates into ranges, err in different ways, so
that a weighted mean of their logits errs less than either (Breiman 1996, Stacked Regressions). The network trains
alone. Trees are fitted afterwards, and so is their weight; in training this part says nothing.

Shape legend: B users, N impressions of a user, I impressions of the batch, C columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rosa_ray.arrays import Floats
from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.embedding import TableSizes
from rosa_ray.models.forest import Forest
from rosa_ray.models.transitions import Followed
from rosa_ray.models.tree_columns import tree_matrix

HEADS = {"click": "ctr_logit", "conversion": "cvr_logit"}
"""What trees tell, and the logit of `Predictions` that theirs is blended with."""


@dataclass(frozen=True)
class Trees:
    """One fitted probability: the logit that all rows start from, and trees that add to it.

    Attributes:
        start: logit.
        model: LightGBM's text; empty where there is no tree.

    >>> Trees(0.0).predict(np.zeros((2, 3), np.float32)).tolist(), Trees(0.0).rounds
    ([0.5, 0.5], 0)
    """

    start: float = 0.0
    model: str = ""

    def logit(self, values: npt.NDArray[np.float32]) -> Floats:
        """Logit of every row of a matrix (I, C), float64 (I,).

        Raises:
            ConfigError: there are trees, and LightGBM cannot be loaded.
        """
        logit = np.full(len(values), self.start)
        if self.model and len(values):
            logit += self._forest.raw_score(values)
        return logit

    def predict(self, values: npt.NDArray[np.float32]) -> Floats:
        """Probability of every row, float64 (I,)."""
        chances: Floats = 1 / (1 + np.exp(-self.logit(values)))
        return chances

    @property
    def rounds(self) -> int:
        """Number of trees."""
        return self._forest.rounds if self.model else 0

    def state_dict(self, name: str) -> dict[str, Tensor]:
        """All of it as tensors, under a name."""
        text = np.frombuffer(self.model.encode(), np.uint8).copy()
        return {f"{name}.start": torch.tensor(self.start, dtype=torch.float64), f"{name}.model": torch.from_numpy(text)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], name: str) -> "Trees":
        """Inverse of `state_dict`."""
        return cls(float(state[f"{name}.start"]), state[f"{name}.model"].cpu().numpy().tobytes().decode())

    @cached_property
    def _forest(self) -> Forest:
        return Forest(self.model)


@dataclass(frozen=True)
class Blend:
    """Trees of one head, and how much they count.

    Attributes:
        weight: share of their logit in the blended one, in [0, 1]; at 0 the ranker's own stays to the last bit.
    """

    trees: Trees = field(default_factory=Trees)
    weight: float = 0.0

    def of(self, own_BN: Tensor, mask_BN: Tensor, values: npt.NDArray[np.float32]) -> Tensor:
        """A ranker's logits blended with those of the trees; padding keeps its own.

        Args:
            values: matrix (I, C) of the impressions that the mask has.
        """
        if not self.weight:
            return own_BN
        told = torch.from_numpy(self.trees.logit(values)).to(own_BN)
        blended_BN = own_BN.clone()
        blended_BN[mask_BN] = (1 - self.weight) * own_BN[mask_BN] + self.weight * told
        return blended_BN


class Boosted(nn.Module):
    """Blends a ranker's logits with those of trees; until they are fitted it does nothing.

    Trees are no parameters and no buffers: no step, average or broadcast looks at them. They are part of the weights
    all the same, as bytes.

    Args:
        sizes: of the ranker's inputs, from `FeatureState.table_sizes`.
        window: W, events before an impression that are looked at.

    Attributes:
        blends: by head, see `HEADS`.
    """

    def __init__(self, sizes: TableSizes, window: int) -> None:
        super().__init__()
        self.sizes, self.window = dict(sizes), window
        self.blends = {head: Blend() for head in HEADS}

    @property
    def fitted(self) -> bool:
        """Whether the trees of any head count."""
        return any(blend.weight for blend in self.blends.values())

    def clear(self) -> None:
        """Say nothing from now on."""
        self.blends = {head: Blend() for head in HEADS}

    def forward(self, predictions: Predictions, batch: UserBatch, followed: Followed | None) -> Predictions:
        """Predictions with blended logits; in training and before fitting the given ones.

        Args:
            predictions: the ranker's own, (B, N).
            followed: what the ranker's `Transitions` say of the impressions; None where it has none.

        Raises:
            ConfigError: LightGBM cannot be loaded.
        """
        if self.training or not self.fitted:
            return predictions
        values, mask_BN = tree_matrix(batch, self.sizes, self.window, followed).values, batch.impression_mask
        blended = {
            head: self.blends[head].of(getattr(predictions, name), mask_BN, values) for head, name in HEADS.items()
        }
        return replace(predictions, ctr_logit=blended["click"], cvr_logit=blended["conversion"])

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for head, blend in self.blends.items():
            destination.update(blend.trees.state_dict(f"{prefix}{head}"))
            destination[f"{prefix}{head}.weight"] = torch.tensor(blend.weight, dtype=torch.float64)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        self.clear()
        for head in HEADS:
            if f"{prefix}{head}.model" in state_dict:
                trees = Trees.from_state_dict(state_dict, f"{prefix}{head}")
                self.blends[head] = Blend(trees, float(state_dict[f"{prefix}{head}.weight"]))
