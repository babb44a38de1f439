"""Scores of a fitted ranker for encoded users: one forward pass shared by validation, evaluation and serving."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rosa_ray.errors import BundleError
from rosa_ray.features import EncodedUsers, batch_users, collate, cut_long_users
from rosa_ray.models import Predictions, UserBatch, as_written, build_ranker, ensemble_of

SCORES = ("p_ctr", "p_cvr", "p_ctcvr", "value")


def predict(
    ranker: nn.Module, users: EncodedUsers, users_per_batch: int = 64, device: torch.device | str = "cpu"
) -> dict[str, np.ndarray]:
    """Score every impression of some users, without dropout and without gradients.

    Args:
        ranker: a `Ranker` that already is on the device.
        users_per_batch: users that are padded to one rectangle; changes the time taken, not the scores.

    Returns:
        `SCORES`, each float64 (I,), in the flat order of `users.impressions`: p_ctr in [0, 1], p_cvr given a click,
        p_ctcvr their product, and value, the expected revenue of one conversion in currency units.
    """
    scores = {name: np.zeros(len(users.impressions["time_us"])) for name in SCORES}
    for batch, predictions in forward_batches(ranker, users, users_per_batch, device):
        put_scores(scores, batch, predictions)
    return scores


def forward_batches(
    ranker: nn.Module, users: EncodedUsers, users_per_batch: int, device: torch.device | str
) -> Iterator[tuple[UserBatch, Predictions]]:
    """Yield every batch of the users with its predictions; the ranker is back in its former mode afterwards.

    Long users go in pieces, so that time is linear in a user's length and memory does not grow with it.
    """
    users = cut_long_users(users, context_events(ranker))
    was_training = ranker.training
    ranker.eval()
    try:
        for chosen in batch_users(users, users_per_batch, None):
            batch = UserBatch.from_numpy(collate(users, chosen)).to(device)
            with torch.inference_mode():
                predictions: Predictions = ranker(batch)
            yield batch, predictions
    finally:
        ranker.train(was_training)


def put_scores(scores: dict[str, np.ndarray], batch: UserBatch, predictions: Predictions) -> None:
    """Put a batch's scores at the flat rows they belong to; logits become probabilities in float64."""
    mask = batch.impression_mask
    row = batch.row[mask].cpu().numpy()
    p_ctr = _flat(torch.sigmoid(predictions.ctr_logit[mask].double()))
    p_cvr = _flat(torch.sigmoid(predictions.cvr_logit[mask].double()))
    value = _flat(torch.exp(predictions.log_value[mask].double()))
    for name, values in zip(SCORES, (p_ctr, p_cvr, p_ctr * p_cvr, value), strict=True):
        scores[name][row] = values


def context_events(ranker: nn.Module) -> int:
    """Raw events before an impression that its score can depend on; see `EncodedUsers.trim`."""
    return int(ranker.context_events)  # type: ignore[arg-type]


def load_ranker(description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """Rebuild a trained ranker.

    Args:
        description: `name`, `config`, `sizes` and `base_rates`, as training wrote them into the bundle; of an
            ensemble also `members`, how many there are.
        weights: tensors by parameter name.

    Raises:
        BundleError: the weights are not those of the model described.
    """
    config = as_written(description["name"], description["config"])
    built_from = description["name"], config, description["sizes"], description["base_rates"]
    members = description.get("members", 1)
    ranker = build_ranker(*built_from)
    if members > 1:
        ranker = ensemble_of([ranker, *(build_ranker(*built_from) for _ in range(members - 1))])
    try:
        ranker.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"the weights do not fit model '{description['name']}': {reason}") from error
    return ranker.eval()


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
