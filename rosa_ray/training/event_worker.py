"""What every worker of a pre-training runs: epochs over timelines, judged on those of held-out users. Without Ray.

The loop is that of `rosa_ray.training.loop.Worker`, and so are its promises. Figures are summed over the workers, and
an epoch that is repeated is the same epoch. Here a sample is an event.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.errors import TrainingError
from rosa_ray.features import EncodedUsers, FeatureState, batch_users, collate
from rosa_ray.inference import context_events
from rosa_ray.models import UserBatch
from rosa_ray.models.event_model import EventModel
from rosa_ray.models.objectives import EventCounts, build_objective, require_event_ranker
from rosa_ray.models.objectives.next_event import ByPopularity
from rosa_ray.training.event_reader import EventReader
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.loop import Worker, fixed_seed, running_mean
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.reader import TableBlocks, idle_user
from rosa_ray.training.start_weights import read_start
from rosa_ray.training.step import Descent, sum_of_means

BY_POPULARITY = "next_event"
"""The objective that popularity is a baseline of."""


class EventStepper(Descent):
    """Takes steps on timelines.

    Args:
        weights: of the objectives, by name.
        distributed: the other arguments of `Descent`.
    """

    remedy = "lower pretrain.learning_rate"

    def __init__(self, model: nn.Module, *, weights: Mapping[str, float], **distributed: Any) -> None:
        super().__init__(model, tasks=tuple(weights), **distributed)
        self._weights = dict(weights)
        self._shares = torch.tensor(list(weights.values()), device=self.device)

    def __call__(self, batch: UserBatch, learning_rate: float) -> None:
        """Take one step on this worker's part of the global batch; see `Descent.descend`."""
        sums, numbers = self.forward(batch)
        total, kept = sum_of_means(sums, numbers.detach(), self._shares, self.world, self._sum_over_ranks)
        self.descend(total, kept, learning_rate)

    def task_weights(self) -> dict[str, float]:
        """Weight of each objective."""
        return self._weights


class EventWorker(Worker):
    """One rank of a pre-training. Its `ranker` is an `EventModel`: the ranker itself and its objectives.

    Attributes:
        touched: names of the ranker's parameters that events touch; the others are not trained.
        baselines: losses on held-out events of what reads no history: by chance, and by popularity.
    """

    without_samples = "the training period has no user with two events; move preprocess.valid_fraction"

    def __init__(self, job: PretrainJob, tables: TableBlocks, ranks: Ranks) -> None:
        self.job, self.ranks, self.device = job, ranks, ranks.device  # type: ignore[assignment]
        self._pretrain, training = job.job.pretrain, job.training
        state = read_feature_state(job.layout.features)
        torch.manual_seed(job.seed)
        plain = job.build(state)
        ranker = require_event_ranker(plain, job.job.model.name)
        self.users = EventReader(
            tables,
            state,
            context_events(plain),
            until_us=job.until_us,
            holdout=self._pretrain.holdout,
            memory_bytes=training.memory_gb * 1e9,
            user_share=training.user_share,
        )
        known = EventCounts(state.table_sizes, self._count_rows(state))
        plain.to(self.device)
        objectives = {name: build_objective(name, ranker, known) for name in self._pretrain.objectives}
        model = EventModel(ranker, objectives).to(self.device)
        self.touched = model.freeze_untouched(self._idle_batch())
        self.ranker = model
        self.history = []
        self._resumed_from = None
        self.baselines = self._baselines(model, known)
        if job.start:
            weights = read_start(job.start).of(plain, state, set(self.touched))
            plain.load_state_dict({**plain.state_dict(), **weights})
        self.model = ranks.wrap(self.ranker)
        self.averaged = AveragedModel(self.ranker, multi_avg_fn=running_mean(training), use_buffers=True)
        self.stepper = EventStepper(  # type: ignore[assignment]
            self.model,
            weights=self._pretrain.objectives,
            training=training,
            device=self.device,
            world=ranks.world,
            sum_over_ranks=ranks.sum,
            max_over_ranks=ranks.max,
        )

    def state_dict(self) -> dict[str, Any]:
        """As of `Worker`, of the ranker and its objectives; and what events touch."""
        return {**super().state_dict(), "touched": list(self.touched)}

    def _samples(self, users: EncodedUsers) -> int:
        return len(users.events["time_us"])

    def _validate(self) -> dict[str, Any]:
        model = self.averaged.module
        assert isinstance(model, EventModel)
        model.eval()
        found = self._losses(self._held_out_totals(model, len(self._pretrain.objectives)))
        if not np.isfinite(found["loss"]):
            raise TrainingError("the loss of held-out events is not finite; lower pretrain.learning_rate")
        return {**found, **self.baselines}

    def _baselines(self, fresh: EventModel, known: EventCounts) -> dict[str, float]:
        """Held-out losses by objective after states that say nothing, and of telling items by their number."""
        objectives = self._pretrain.objectives
        blank = self._losses(self._held_out_totals(fresh.eval().blank_losses, len(objectives)))
        found = {f"blank_{name}": value for name, value in blank.items()}
        if BY_POPULARITY in objectives:
            sums, numbers = self._held_out_totals(ByPopularity(known).to(self.device), 1)
            found["popularity_loss"] = sums[0] / numbers[0]
        return found

    def _held_out_totals(self, losses: Callable[[UserBatch], Tensor], kinds: int) -> list[list[float]]:
        """Sums and numbers of losses on the timelines of held-out users, with the same draws at every call.

        Args:
            losses: gives those of a batch, (2, kinds).

        Raises:
            TrainingError: no timeline is held out.
        """
        torch.manual_seed(fixed_seed(self.job.seed, self.ranks.rank))
        totals = torch.zeros(2, kinds, dtype=torch.float64, device=self.device)
        for users in self.users.validation():
            # As many users as in training: a choice among more events of others would be a harder one.
            for chosen in batch_users(users, self._pretrain.users_per_batch, None):
                batch = UserBatch.from_numpy(collate(users, chosen)).to(self.device)
                with torch.inference_mode():
                    totals += losses(batch)
        totals = self.ranks.sum(totals)
        if not totals[1].sum():
            raise TrainingError("no timeline is held out, or only one; raise pretrain.holdout or give a longer log")
        found: list[list[float]] = totals.tolist()
        return found

    def _losses(self, totals: list[list[float]]) -> dict[str, float]:  # type: ignore[override]
        """Mean loss of each objective, and `loss`, their sum as weighted."""
        weights = self._pretrain.objectives
        means = {name: s / w if w else 0.0 for name, s, w in zip(weights, *totals, strict=True)}
        total = sum(weights[name] * mean for name, mean in means.items())
        return {"loss": total, **{f"{name}_loss": mean for name, mean in means.items()}}

    def _count_rows(self, state: FeatureState) -> dict[str, Tensor]:
        """How often the events to learn from have each row of the item and category tables, over all workers."""
        sizes = state.table_sizes
        counts = {name: np.zeros(sizes[name], np.int64) for name in ("item", "category")}
        self._idle: EncodedUsers
        for users in self.users.training(np.random.default_rng(0)):
            self._idle = idle_user(users)
            for name, count in counts.items():
                count += np.bincount(users.events[name], minlength=len(count))
        return {name: self.ranks.sum(torch.from_numpy(count).to(self.device)) for name, count in counts.items()}

    def _idle_batch(self) -> UserBatch:
        return UserBatch.from_numpy(collate(self._idle, np.zeros(1, np.int64))).to(self.device)


def build_worker(job: TrainingJob | PretrainJob, tables: TableBlocks, ranks: Ranks) -> Worker:
    """The worker of a training, or of a pre-training."""
    return EventWorker(job, tables, ranks) if isinstance(job, PretrainJob) else Worker(job, tables, ranks)
