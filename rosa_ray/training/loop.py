"""What every training worker runs: read its users once, then epochs of steps and validation. Without Ray.

All decisions (how many steps, when to stop, which epoch is best) follow from figures summed over the workers, so the
workers agree without a leader. Randomness is seeded by (seed, epoch, rank), so an epoch that is repeated after a
failure is the same epoch.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.errors import TrainingError
from rosa_ray.evaluation.predictions import prediction_columns
from rosa_ray.features import EncodedUsers, batch_users, collate
from rosa_ray.inference import SCORES, context_events, forward_batches, put_scores
from rosa_ray.metrics import Evaluation
from rosa_ray.models import TASKS, LossScales, UserBatch, freeze_parts, labelled_loss, loss_terms, unlabelled_tasks
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.reader import ShardReader, TableBlocks, idle_user
from rosa_ray.training.schedule import is_finished, learning_rate, monitored, part_factors
from rosa_ray.training.start_weights import start_ranker
from rosa_ray.training.step import Stepper, mean_losses
from rosa_ray.training.transitions import fit_transitions

VALID_METRICS = ("auc", "logloss", "gauc", "pcoc", "cvr_auc", "ctcvr_auc", "ctcvr_logloss")
"""Figures of the validation period that an epoch's record has."""


class Worker:
    """One rank: its model, its users and the history that all ranks share.

    Attributes:
        loss: the job's task weights, 0 for tasks that the training period has no labels of.
    """

    without_samples = "the training period has no impressions; move preprocess.valid_fraction"
    """What is wrong where there is nothing to train on."""

    def __init__(self, job: TrainingJob, tables: TableBlocks, ranks: Ranks) -> None:
        self.job, self.ranks, self.device = job, ranks, ranks.device
        state = read_feature_state(job.layout.features)
        torch.manual_seed(job.seed)
        self.ranker = job.build(state)
        if job.start:
            start_ranker(self.ranker, job.start, state)
            freeze_parts(self.ranker, [part for part, factor in asdict(job.training.rates).items() if factor == 0])
        self.users = ShardReader(
            tables, state, context_events(self.ranker), job.training.memory_gb * 1e9, job.training.user_share
        )
        fit_transitions(self.ranker, self.users, ranks)
        self.loss, self._unlabelled = labelled_loss(job.loss, state.totals), tuple(unlabelled_tasks(state.totals))
        self.scales = LossScales.of(state.base_rates, state.totals)
        self.model = ranks.wrap(self.ranker)
        self.averaged = AveragedModel(self.ranker, multi_avg_fn=running_mean(job.training), use_buffers=True)
        self.stepper = Stepper(
            self.model,
            training=job.training if job.start else replace(job.training, row_anchor=0.0),
            loss=self.loss,
            scales=self.scales,
            device=self.device,
            world=ranks.world,
            sum_over_ranks=ranks.sum,
            max_over_ranks=ranks.max,
        )
        self.history: list[dict[str, Any]] = []
        self._resumed_from: int | None = None

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing new."""
        return is_finished(self.job.training, self.history)

    def run_epoch(self) -> dict[str, Any]:
        """One pass over the training period and one over the validation period; returns the epoch's record."""
        began = time.perf_counter()
        totals, samples = self._train()
        trained = time.perf_counter()
        valid = self._validate()
        train_s = float(self.ranks.max(self._tensor([trained - began])).item())
        losses = self._losses(totals)
        record = {
            "epoch": len(self.history) + 1,
            "step": self.stepper.step,
            "samples": samples,
            "workers": self.ranks.world,
            "resumed_from_step": self._resumed_from,
            "train_seconds": round(train_s, 3),
            "samples_per_s": round(samples / train_s, 1),
            "learning_rate": learning_rate(self.job.training, self.stepper.step, self.history),
            **{f"train_{name}": value for name, value in losses.items()},
            **{f"train_weight_{name}": value for name, value in self.stepper.task_weights().items()},
            **{f"valid_{name}": value for name, value in valid.items()},
            "seconds": round(time.perf_counter() - began, 3),
        }
        record["monitor_score"] = monitored(self.job.training, record)
        self.history.append(record)
        self._resumed_from = None
        return record

    def state_dict(self) -> dict[str, Any]:
        """Averaged and current weights, history, optimizer and step count: all that a checkpoint needs."""
        return {
            "model": self.averaged.module.state_dict(),
            "current": self.ranker.state_dict(),
            "averaged": int(self.averaged.n_averaged),
            "history": self.history,
            **self.stepper.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.averaged.module.load_state_dict(state["model"])
        self.averaged.n_averaged.fill_(state["averaged"])
        self.ranker.load_state_dict(state["current"])
        self.stepper.load_state_dict(dict(state))
        self.history = list(state["history"])
        self._resumed_from = self.stepper.step

    def _train(self) -> tuple[list[list[float]], int]:
        epoch = len(self.history)
        torch.manual_seed(fixed_seed(self.job.seed, epoch, self.ranks.rank))
        rng = np.random.default_rng([self.job.seed, epoch, self.ranks.rank])
        turns = np.random.default_rng([self.job.seed, epoch])
        self.stepper.part_factors = part_factors(self.job.training, self.history) if self.job.start else {}
        self.model.train()
        samples = 0
        parts = self.users.training(rng)
        while (part := self._next_part(parts, rng, turns)) is not None:
            users, batches, steps = part
            samples += self._samples(users)
            for turn in range(steps):
                self._step(users, batches[turn] if turn < len(batches) else None)
        totals = self.ranks.sum(self.stepper.drain())
        samples = int(self.ranks.sum(self._tensor([samples])).item())
        if not samples:
            raise TrainingError(self.without_samples)
        return totals.tolist(), samples

    def _samples(self, users: EncodedUsers) -> int:
        """How many samples some users of the training period are."""
        return len(users.impressions["time_us"])

    def _next_part(
        self, parts: Iterator[EncodedUsers], rng: np.random.Generator, turns: np.random.Generator
    ) -> tuple[EncodedUsers, list[np.ndarray], int] | None:
        """This rank's next users, their batches and the steps all ranks will take; None when no rank has any left."""
        users = next(parts, None)
        batches = [] if users is None else list(batch_users(users, self.job.training.users_per_batch, rng, turns))
        steps = int(self.ranks.max(self._tensor([-1 if users is None else len(batches)])).item())
        if users is not None:
            self._idle = idle_user(users)
        elif steps >= 0:
            users = self._idle.take(np.empty(0, np.int64))
        return None if users is None else (users, batches, steps)

    def _step(self, users: EncodedUsers, chosen: np.ndarray | None) -> None:
        arrays = collate(users, chosen) if chosen is not None else collate(self._idle, np.zeros(1, np.int64))
        rate = learning_rate(self.job.training, self.stepper.step, self.history)
        self.stepper(UserBatch.from_numpy(arrays).to(self.device), rate)
        self.averaged.update_parameters(self.ranker)

    def _validate(self) -> dict[str, Any]:
        totals = torch.zeros(2, len(TASKS), dtype=torch.float64, device=self.device)
        evaluation = Evaluation()
        for users in self.users.validation():
            if len(users):
                totals += self._validate_part(users, evaluation)
        if not self.ranks.sum(totals).isfinite().all():
            raise TrainingError("the scores of the validation period are not finite; lower training.learning_rate")
        metrics = self._merge(evaluation).compute()
        if not metrics["n"]:
            raise TrainingError(
                "the validation period has no impressions; raise preprocess.valid_fraction, or set "
                "preprocess.valid_from and test_from where the log has a gap"
            )
        return {**self._losses(totals.tolist()), **{name: metrics[name] for name in VALID_METRICS}}

    def _validate_part(self, users: EncodedUsers, evaluation: Evaluation) -> Tensor:
        scores = {name: np.zeros(len(users.impressions["time_us"])) for name in SCORES}
        totals = torch.zeros(2, len(TASKS), dtype=torch.float64, device=self.device)
        ranker, users_per_batch = self.averaged.module, 4 * self.job.training.users_per_batch
        for batch, predictions in forward_batches(ranker, users, users_per_batch, self.device):
            put_scores(scores, batch, predictions)
            terms = loss_terms(predictions, batch, self.loss, self.scales)
            totals += torch.stack([torch.stack([terms[task][side] for task in TASKS]) for side in (0, 1)])
        if any(not np.isfinite(values).all() for values in scores.values()):
            return torch.full_like(totals, float("nan"))
        evaluation.update(prediction_columns(users, scores))
        return totals

    def _losses(self, totals: list[list[float]]) -> dict[str, float | None]:
        """See `mean_losses`; None of tasks that are off for want of labels."""
        return {**mean_losses(totals, self.loss), **{f"{task}_loss": None for task in self._unlabelled}}

    def _merge(self, evaluation: Evaluation) -> Evaluation:
        merged = Evaluation()
        for state in self.ranks.gather(evaluation):
            merged.merge(state)
        return merged

    def _tensor(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)


def running_mean(training: TrainingConfig) -> Callable[..., None]:
    """The mean reaches back a tenth of the steps taken, up to what `weight_average` allows."""

    def update(mean: Any, current: Any, count: Any) -> None:
        decay = min(training.weight_average, (1 + int(count)) / (10 + int(count)))
        get_ema_multi_avg_fn(decay)(mean, current, count)

    return update


def fixed_seed(*parts: int) -> int:
    """A seed for torch made of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
