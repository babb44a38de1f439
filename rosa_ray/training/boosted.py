"""Trees of a trained ranker: fitted on the rows that it was trained on, and weighed by those that chose its epoch.

They are fitted in one process, after training: on the driver of `rosa train`, or in that of a trial. Neither the
number of workers nor a restart changes them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from rosa_ray.arrays import Columns, Floats
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.features import EncodedUsers, FeatureState
from rosa_ray.inference import context_events, forward_batches, load_ranker
from rosa_ray.models.boosted import HEADS, Blend, Boosted, Trees
from rosa_ray.models.transitions import Transitions
from rosa_ray.models.tree_columns import Matrix
from rosa_ray.storage import read_parquet
from rosa_ray.training.boosting import CLICKS, CONVERSIONS, PATIENCE, boost, log_loss
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.reader import ShardReader
from rosa_ray.training.tree_rows import rows_of, sample, users_matrix, weights_of
from rosa_ray.words import counted, one_class_reason

MOST_TRAINED, MOST_VALIDATED = 2_000_000, 500_000
"""Impressions that trees are fitted on and weighed by, at most; where there are more, of a share of the users."""

SHRINKAGES = (0.02, 0.05)
"""What each tree counts. The smaller has the lower validation log loss where its trees are enough."""

MOST_TREES = {"click": 250, "conversion": 400}
"""Of a head, so that a request for a hundred ads waits 3 ms for them at most; those for conversions are smaller."""

PRIOR_POSITIVES = 50.0
"""Positives that a weight of a half is worth: a few conversions do not decide."""

GROWTH = {"click": CLICKS, "conversion": CONVERSIONS}

_LABELS = ("click", "conversion", "weight", "conversion_weight")
_USERS_PER_BATCH = 64


class PeriodUsers(Protocol):
    """What gives the users of both periods in parts, as `ShardReader` does."""

    def training(self, rng: np.random.Generator) -> Iterable[EncodedUsers]: ...

    def validation(self) -> Iterable[EncodedUsers]: ...


@dataclass(frozen=True)
class HeadTrees:
    """What became of the trees of one head.

    Attributes:
        head: `click` or `conversion`.
        trees: how many there are.
        weight: of their logit, in [0, 1].
        reason: why there are none; empty where there are.
    """

    head: str
    trees: int
    weight: float
    reason: str = ""

    @property
    def line(self) -> str:
        """The same for people.

        >>> HeadTrees("click", 212, 0.536).line
        'boosted trees for clicks: 212 trees, which count 0.54 beside the network'
        >>> HeadTrees("conversion", 0, 0.0, "the validation period has no conversion among 40 clicks").line
        'no boosted trees for conversions: the validation period has no conversion among 40 clicks'
        """
        if self.reason:
            return f"no boosted trees for {self.head}s: {self.reason}"
        trees = counted(self.trees, "tree")
        return f"boosted trees for {self.head}s: {trees}, which count {self.weight:.2f} beside the network"

    @property
    def record(self) -> dict[str, float]:
        """The same for the record of an epoch: `click_trees` and `click_trees_weight`, and those of conversions."""
        return {f"{self.head}_trees": self.trees, f"{self.head}_trees_weight": round(self.weight, 4)}


def with_trees(
    job: TrainingJob,
    weights: Mapping[str, Tensor],
    state: FeatureState,
    users: Callable[[int], PeriodUsers],
    device: torch.device | str = "cpu",
) -> tuple[dict[str, Tensor], list[HeadTrees]]:
    """Fit the trees of a trained ranker that has a place for them.

    Args:
        job: of one model; its seed draws rows and columns.
        weights: of the trained ranker.
        users: gives the users of both periods, each with as many events before an impression as it is given.
        device: where the ranker scores.

    Returns:
        The weights with the trees, and what became of each head; the given weights where the ranker has no such part.

    Raises:
        ConfigError: LightGBM cannot be loaded.
    """
    ranker = load_ranker({**job.describe_model(state), "members": 1}, weights).to(device)
    found = {name: part for name, part in ranker.named_modules() if isinstance(part, Boosted)}
    told: list[HeadTrees] = []
    for part in found.values():
        told += fit_trees(ranker, part, job, state, users(context_events(ranker)), device)
    own = {key: value for name, part in found.items() for key, value in part.state_dict(prefix=f"{name}.").items()}
    return {**weights, **own}, told


def fit_trees(
    ranker: nn.Module,
    part: Boosted,
    job: TrainingJob,
    state: FeatureState,
    users: PeriodUsers,
    device: torch.device | str = "cpu",
) -> list[HeadTrees]:
    """Give a ranker's part its trees and their weights; returns what became of each head."""
    part.clear()
    transitions = next((module for module in ranker.modules() if isinstance(module, Transitions)), None)

    def read(some: EncodedUsers, training: bool) -> tuple[Matrix, Columns]:
        if transitions is not None:
            transitions.train(training)
        columns = {name: np.asarray(some.impressions[name], np.float64) for name in _LABELS}
        matrix = users_matrix(some, part.sizes, part.window, transitions)
        return matrix, columns if training else {**columns, **own_logits(ranker, some, device)}

    trained = sample(users.training(np.random.default_rng(0)), lambda some: read(some, True), MOST_TRAINED)
    validated = sample(users.validation(), lambda some: read(some, False), MOST_VALIDATED)
    ranker.eval()
    if trained is None or validated is None:
        period = "training" if trained is None else "validation"
        return [HeadTrees(head, 0, 0.0, f"the {period} period has no impressions") for head in HEADS]
    return [_fit_head(part, head, job, state, trained, validated) for head in HEADS]


def own_logits(ranker: nn.Module, users: EncodedUsers, device: torch.device | str) -> dict[str, Floats]:
    """A ranker's logits of every impression, float64 (I,) by their names in `Predictions`."""
    found = {name: np.zeros(len(users.dense)) for name in HEADS.values()}
    for batch, predictions in forward_batches(ranker, users, _USERS_PER_BATCH, device):
        row = batch.row[batch.impression_mask.cpu()].numpy()
        for name, values in found.items():
            values[row] = getattr(predictions, name)[batch.impression_mask].double().cpu().numpy()
    return found


def blend_weight(own: Floats, told: Floats, label: Floats, weight: Floats) -> float:
    """Weight of trees in the blend of logits with the least log loss, held to a half by `PRIOR_POSITIVES`.

    Args:
        own, told: logits of the network and of the trees, (n,).
        label: 0 or 1, (n,).
        weight: what a row stands for, (n,).

    Returns:
        In [0, 1]; a half where the two are the same.

    >>> label = np.repeat([0.0, 1.0], 450)
    >>> know, guess = 4 * label - 2, np.zeros(900)
    >>> blend_weight(guess, know, label, np.ones(900)), blend_weight(know, guess, label, np.ones(900))
    (0.95, 0.05)
    """
    gap, low, high = told - own, 0.0, 1.0

    def slope(share: float) -> float:
        """Of the log loss, which is convex in the weight."""
        return float(np.sum(weight * (_sigmoid(own + share * gap) - label) * gap))

    if slope(0.0) >= 0:
        high = 0.0 if gap.any() else 1.0
    elif slope(1.0) <= 0:
        low = 1.0
    else:
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    positives = float((label == 1).sum())
    return (positives * (low + high) / 2 + PRIOR_POSITIVES * 0.5) / (positives + PRIOR_POSITIVES)


class FileTables:
    """User rows on disk, a file at a time.

    Args:
        users: folder of user rows.
    """

    def __init__(self, users: str) -> None:
        self._files = [path for path, _ in list_user_files(users)]

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[pa.Table]:
        return map(read_parquet, self._files)

    def __getitem__(self, number: int, /) -> pa.Table:
        return read_parquet(self._files[number])


def reader_of(job: TrainingJob, state: FeatureState, context: int) -> ShardReader:
    """All users of a job, as one worker alone would read them."""
    training = job.training
    return ShardReader(FileTables(job.layout.users), state, context, training.memory_gb * 1e9, training.user_share)


def _fit_head(
    part: Boosted,
    head: str,
    job: TrainingJob,
    state: FeatureState,
    trained: tuple[Matrix, Columns],
    validated: tuple[Matrix, Columns],
) -> HeadTrees:
    train, valid = (rows_of(matrix, columns, head) for matrix, columns in (trained, validated))
    for period, rows in (("training", train), ("validation", valid)):
        row = "impression" if head == "click" else "click"
        if reason := one_class_reason(len(rows.label), float(rows.label.sum()), row, head):
            return HeadTrees(head, 0, 0.0, f"the {period} period has {reason}")
    rates = state.base_rates
    fitted: list[Trees] = []
    for shrinkage in SHRINKAGES:
        trees = boost(
            train,
            valid,
            {"click": rates["ctr"], "conversion": min(rates["cvr"], 1 - 1e-6)}[head],
            GROWTH[head],
            shrinkage=shrinkage,
            seed=job.seed,
            threads=job.training.workers * job.training.threads_per_worker,
            most=MOST_TREES[head],
        )
        fitted.append(trees)
        if trees.rounds + PATIENCE <= MOST_TREES[head]:
            break
    trees = min(fitted, key=lambda each: log_loss(each, valid))
    if not trees.rounds:
        return HeadTrees(head, 0, 0.0, "no tree lowers the loss of the validation period")
    columns = validated[1]
    own = columns[HEADS[head]][weights_of(columns)[head] > 0]
    weight = blend_weight(own, trees.logit(valid.matrix.values), valid.label, valid.weight)
    part.blends[head] = Blend(trees, weight)
    return HeadTrees(head, trees.rounds, weight)


def _sigmoid(logit: Floats) -> Floats:
    chances: Floats = 1 / (1 + np.exp(-logit))
    return chances
