"""What every training worker runs: read its users once, then epochs of steps, validation and a checkpoint.

All decisions (how many steps, when to stop, which epoch is best) follow from figures summed over the workers, so the
workers agree without a leader. Randomness is seeded by (seed, epoch, rank), so an epoch that is repeated after a
failure is the same epoch.
"""

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from rosa_ray.errors import TrainingError
from rosa_ray.features import EncodedUsers, batch_users, collate
from rosa_ray.inference import SCORES, context_events, forward_batches, put_scores
from rosa_ray.metrics import Evaluation
from rosa_ray.models import TASKS, LossScales, UserBatch, loss_terms
from rosa_ray.training.job import TrainingJob, load_features
from rosa_ray.training.predictions import prediction_columns
from rosa_ray.training.schedule import is_finished, learning_rate
from rosa_ray.training.shards import ShardReader, TableSource, nobody
from rosa_ray.training.step import Stepper, mean_losses

CHECKPOINT_FILE = "state.pt"
_VALID_METRICS = ("auc", "logloss", "gauc", "pcoc", "cvr_auc", "ctcvr_auc", "ctcvr_logloss")


def train_worker(settings: dict[str, Any]) -> dict[str, Any]:
    """Train one `TrainingJob`, `settings["job"]`.

    Returns:
        `history`, one record per epoch; and `error`, None or why training cannot go on. An error that another try
        would meet again is returned, not raised, so that Ray does not try again.
    """
    job: TrainingJob = settings["job"]
    torch.set_num_threads(job.training.threads_per_worker)
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        worker = Worker(job)
        while not is_finished(job.training, worker.history):
            record = worker.run_epoch()
            worker.report(record)
    except TrainingError as error:
        return {"history": [], "error": str(error)}
    return {"history": worker.history, "error": None}


class Worker:
    """One rank: its model, its users and the history that all ranks share."""

    def __init__(self, job: TrainingJob) -> None:
        context = ray.train.get_context()
        self.rank, self.world = context.get_world_rank(), context.get_world_size()
        self.job, self.device = job, torch.device(ray.train.torch.get_device())
        state = load_features(job.layout.features)
        torch.manual_seed(job.seed)
        self.ranker = job.build(state)
        tables = TableSource(ray.train.get_dataset_shard("users"))
        self.users = ShardReader(tables, state, context_events(self.ranker), job.training.memory_gb * 1e9)
        self.scales = LossScales.of(state.base_rates)
        self.model: nn.Module = ray.train.torch.prepare_model(
            self.ranker, parallel_strategy_kwargs={"gradient_as_bucket_view": True, "forward_sync_buffers": False}
        )
        self.stepper = Stepper(
            self.model,
            training=job.training,
            loss=job.loss,
            scales=self.scales,
            device=self.device,
            world=self.world,
            sum_over_ranks=self.sum,
            max_over_ranks=self.max,
        )
        self.history: list[dict[str, Any]] = []
        self._restore()

    def run_epoch(self) -> dict[str, Any]:
        """One pass over the training period and one over the validation period; returns the epoch's record."""
        began = time.perf_counter()
        totals, samples = self._train()
        trained = time.perf_counter()
        valid = self._validate()
        train_s = float(self.max(self._tensor([trained - began])).item())
        losses = mean_losses(totals, self.job.loss)
        record = {
            "epoch": len(self.history) + 1,
            "step": self.stepper.step,
            "samples": samples,
            "train_seconds": round(train_s, 3),
            "samples_per_s": round(samples / train_s, 1),
            "learning_rate": learning_rate(self.job.training, self.stepper.step, self.history),
            **{f"train_{name}": value for name, value in losses.items()},
            **{f"valid_{name}": value for name, value in valid.items()},
            "seconds": round(time.perf_counter() - began, 3),
        }
        self._require_monitor(record)
        self.history.append(record)
        return record

    def report(self, record: dict[str, Any]) -> None:
        """Hand the epoch's figures, and from rank 0 a checkpoint, to Ray Train; every rank must call it."""
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if self.rank == 0:
                state = {"model": self.ranker.state_dict(), "history": self.history, **self.stepper.state_dict()}
                torch.save(state, Path(folder) / CHECKPOINT_FILE)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(record, checkpoint=checkpoint)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the workers, in place."""
        if self.world > 1:
            dist.all_reduce(tensor, dist.ReduceOp.SUM)
        return tensor

    def max(self, tensor: Tensor) -> Tensor:
        """Largest value over the workers, element by element, in place."""
        if self.world > 1:
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor

    def _train(self) -> tuple[list[list[float]], int]:
        epoch = len(self.history)
        torch.manual_seed(_seed(self.job.seed, epoch, self.rank))
        rng = np.random.default_rng([self.job.seed, epoch, self.rank])
        turns = np.random.default_rng([self.job.seed, epoch])
        self.model.train()
        samples = 0
        parts = iter(self.users)
        while (part := self._next_part(parts)) is not None:
            users, steps = part
            samples += len(users.impressions["time_us"])
            batches = batch_users(users, self.job.training.users_per_batch, rng, turns)
            for _ in range(steps):
                self._step(users, next(batches, None))
        totals = self.sum(self.stepper.drain())
        samples = int(self.sum(self._tensor([samples])).item())
        if not samples:
            raise TrainingError("the training period has no impressions; move preprocess.valid_fraction")
        return totals.tolist(), samples

    def _next_part(self, parts: Any) -> tuple[EncodedUsers, int] | None:
        """This rank's next users and the steps all ranks will take for theirs; None when no rank has any left."""
        part = next(parts, None)
        mine = -(-len(part.train) // self.job.training.users_per_batch) if part else -1
        steps = int(self.max(self._tensor([mine])).item())
        if part:
            self._idle = nobody(part.train)
        return None if steps < 0 else (part.train if part else self._idle.take(np.empty(0, np.int64)), steps)

    def _step(self, users: EncodedUsers, chosen: np.ndarray | None) -> None:
        arrays = collate(users, chosen) if chosen is not None else collate(self._idle, np.zeros(1, np.int64))
        rate = learning_rate(self.job.training, self.stepper.step, self.history)
        self.stepper(UserBatch.from_numpy(arrays).to(self.device), rate)

    def _validate(self) -> dict[str, Any]:
        totals = torch.zeros(2, len(TASKS), dtype=torch.float64, device=self.device)
        evaluation = Evaluation()
        for part in self.users:
            if len(part.valid):
                totals += self._validate_part(part.valid, evaluation)
        if not self.sum(totals).isfinite().all():
            raise TrainingError("the scores of the validation period are not finite; lower training.learning_rate")
        metrics = self._merge(evaluation).compute()
        if not metrics["n"]:
            raise TrainingError("the validation period has no impressions; raise preprocess.valid_fraction")
        losses = mean_losses(totals.tolist(), self.job.loss)
        return {**losses, **{name: metrics[name] for name in _VALID_METRICS}}

    def _validate_part(self, users: EncodedUsers, evaluation: Evaluation) -> Tensor:
        scores = {name: np.zeros(len(users.impressions["time_us"])) for name in SCORES}
        totals = torch.zeros(2, len(TASKS), dtype=torch.float64, device=self.device)
        for batch, predictions in forward_batches(
            self.ranker, users, 4 * self.job.training.users_per_batch, self.device
        ):
            put_scores(scores, batch, predictions)
            terms = loss_terms(predictions, batch, self.job.loss, self.scales)
            totals += torch.stack([torch.stack([terms[task][side] for task in TASKS]) for side in (0, 1)])
        if any(not np.isfinite(values).all() for values in scores.values()):
            return torch.full_like(totals, float("nan"))
        evaluation.update(prediction_columns(users, scores))
        return totals

    def _merge(self, evaluation: Evaluation) -> Evaluation:
        if self.world == 1:
            return evaluation
        states: list[Any] = [None] * self.world
        dist.all_gather_object(states, evaluation)
        merged = Evaluation()
        for state in states:
            merged.merge(state)
        return merged

    def _require_monitor(self, record: dict[str, Any]) -> None:
        monitor = self.job.training.monitor
        if record[monitor] is None:
            raise TrainingError(
                f"{monitor} is undefined on the validation period (one class only); set another training.monitor or "
                "raise preprocess.valid_fraction"
            )

    def _restore(self) -> None:
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / CHECKPOINT_FILE, map_location=self.device, weights_only=True)
        self.ranker.load_state_dict(state["model"])
        self.stepper.load_state_dict(state)
        self.history = list(state["history"])

    def _tensor(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
