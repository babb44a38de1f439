"""Training and pre-training in one process, without Ray: what the trials of studies and sweeps run."""

import copy
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fsspec
import pyarrow as pa
import torch

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.run_dir import PretrainedDir
from rosa_ray.storage import exists, remove_tree, write_bytes
from rosa_ray.training.boosted import with_trees
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.event_worker import EventWorker, build_worker
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.pretrained import adopt_start, place_of, planned, read_result, write_result
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.schedule import EpochRecord, best_record


class InProcessTrainer:
    """Trains a job as one worker of `rosa train` by itself, and keeps the weights of the best epoch.

    Args:
        job: of training, or of pre-training.
        tables: user rows, block by block.
    """

    def __init__(self, job: TrainingJob | PretrainJob, tables: list[pa.Table], device: str = "cpu") -> None:
        self._job, self._worker = job, build_worker(job, tables, Ranks(device))
        self.best_weights: dict[str, torch.Tensor] = {}

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch."""
        return self._worker.history

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing new."""
        return self._worker.finished

    @property
    def touched(self) -> tuple[str, ...]:
        """Names of the parameters that a pre-training trains; none of a training."""
        return self._worker.touched if isinstance(self._worker, EventWorker) else ()

    def run_epoch(self) -> dict[str, Any]:
        """Train and validate once, and fit trees after the last epoch; returns the epoch's record."""
        record = self._worker.run_epoch()
        if best_record(self._job.training, self.history) is record:
            self.best_weights = copy.deepcopy(self._worker.state_dict()["model"])
        if self.finished and isinstance(self._job, TrainingJob):
            state, device = read_feature_state(self._job.layout.features), self._worker.device
            self.best_weights, told = with_trees(
                self._job, self.best_weights, state, lambda context: self._worker.users, device
            )
            for head in told:
                record.update(head.record)
        return record

    def save(self, path: str, digest: str) -> None:
        """Write what `restore` needs to go on after the last epoch; `digest` says of which job it is."""
        save_tensors({"digest": digest, "worker": self._worker.state_dict(), "best": self.best_weights}, path)

    def restore(self, path: str, digest: str) -> None:
        """Go on from what `save` wrote of the same job, if there is such a file."""
        state = load_tensors(path) if exists(path) else {}
        if state.get("digest") == digest:
            self._worker.load_state_dict(state["worker"])
            self.best_weights = state["best"]


def pretrain_in_process(
    job: TrainingJob,
    tables: list[pa.Table],
    run_dir: str,
    device: str = "cpu",
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    code: str = "",
) -> TrainingJob:
    """Pre-train as `job.pretrain` says, or take what an equal pre-training left in the run.

    A pre-training that was stopped goes on after its last epoch. Returns the job that starts from the result, and the
    given one where pre-training is off.

    Args:
        tables: user rows, block by block.
        run_dir: keeps the result, see `RunDir.pretrained`.
        on_epoch: called with every finished epoch's record.
        code: see `PretrainJob`.

    Raises:
        ConfigError: the model cannot be pre-trained.
        TrainingError: it diverged, or there are no events.
    """
    if not job.pretrain.enabled:
        return job
    before = PretrainJob(job, code)
    place = place_of(before, run_dir)
    if read_result(place) is None:
        _pretrain(before, tables, place, device, on_epoch)
    return planned(job, run_dir, code)


def _pretrain(
    job: PretrainJob,
    tables: list[pa.Table],
    place: PretrainedDir,
    device: str,
    on_epoch: Callable[[EpochRecord], None],
) -> None:
    if not job.job.pretrain.epochs:
        adopt_start(job, place)
        return
    trainer = InProcessTrainer(job, tables, device)
    trainer.restore(place.state, job.digest)
    while not trainer.finished:
        on_epoch(trainer.run_epoch())
        trainer.save(place.state, job.digest)
    write_result(job, place, {"model": trainer.best_weights, "touched": trainer.touched}, trainer.history)
    remove_tree(place.state)


def in_one_process(training: TrainingConfig) -> TrainingConfig:
    """The same training for one process, which takes the batches of all workers together.

    >>> alone = in_one_process(TrainingConfig(workers=4, users_per_batch=8))
    >>> alone.workers, alone.users_per_batch
    (1, 32)
    """
    together = training.users_per_batch * training.workers
    return replace(training, workers=1, min_workers=None, users_per_batch=together)


def save_tensors(content: dict[str, Any], path: str) -> None:
    """Write tensors and plain values, local or remote; readers never see a part of it."""
    sink = io.BytesIO()
    torch.save(content, sink)
    write_bytes(sink.getvalue(), path)


def load_tensors(path: str) -> dict[str, Any]:
    """Read what `save_tensors` wrote, onto the CPU."""
    with fsspec.open(path, "rb") as handle:
        return dict(torch.load(handle, map_location="cpu", weights_only=True))


def process_device() -> str:
    """The GPU that this process was given, or the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"
