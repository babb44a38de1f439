"""Scoring of user rows by a fitted ranker in one process: for evaluation, calibration, and the trials of studies."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from rosa_ray.evaluation.predictions import prediction_columns
from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, encode_users
from rosa_ray.inference import context_events, load_ranker, predict


class Scorer(ABC):
    """Scores user rows with some fitted model.

    Attributes:
        state: features that the model was fitted on.
    """

    state: FeatureState

    @property
    @abstractmethod
    def context_events(self) -> int:
        """Raw events before an impression that its score can depend on; see `EncodedUsers.trim`."""

    @abstractmethod
    def predict(self, users: EncodedUsers) -> dict[str, np.ndarray]:
        """Score every impression of some users; see `rosa_ray.inference.predict`."""

    def encode(self, block: pa.Table) -> EncodedUsers:
        """Encode a block of user rows."""
        return encode_users(UserRows.from_table(block), self.state)

    def score(self, users: EncodedUsers, *splits: Split) -> dict[str, np.ndarray]:
        """Score the impressions of some splits; users without any are left out.

        Args:
            users: from `encode`, timelines whole.

        Returns:
            `prediction_columns` with raw scores, and visible_events, the user's events before each impression.
        """
        chosen = users.select(*splits)
        trimmed = chosen.trim(self.context_events)
        return prediction_columns(trimmed, self.predict(trimmed)) | {"visible_events": chosen.impressions["visible"]}


@dataclass(frozen=True)
class UserScorer(Scorer):
    """A fitted ranker on a device, with the features it was fitted on.

    Attributes:
        ranker: on the device.
        users_per_batch: users padded to one rectangle.
    """

    ranker: nn.Module
    state: FeatureState
    users_per_batch: int = 64
    device: torch.device | str = "cpu"

    @classmethod
    def load(
        cls,
        description: Mapping[str, Any],
        weights: Mapping[str, torch.Tensor],
        state: FeatureState,
        users_per_batch: int = 64,
        device: torch.device | str = "cpu",
    ) -> "UserScorer":
        """Rebuild a ranker on a device; see `rosa_ray.inference.load_ranker`."""
        return cls(load_ranker(description, weights).to(device), state, users_per_batch, device)

    @property
    def context_events(self) -> int:
        return context_events(self.ranker)

    def predict(self, users: EncodedUsers) -> dict[str, np.ndarray]:
        return predict(self.ranker, users, self.users_per_batch, self.device)
