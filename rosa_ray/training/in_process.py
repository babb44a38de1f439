"""Training in one process, without Ray: what the trials of studies and sweeps run."""

import copy
import io
from dataclasses import replace
from typing import Any

import fsspec
import pyarrow as pa
import torch

from rosa_ray.storage import exists, write_bytes
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.loop import Worker
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.schedule import best_record


class InProcessTrainer:
    """Trains a job as one worker of `rosa train` by itself, and keeps the weights of the best epoch.

    Args:
        tables: user rows, block by block.
    """

    def __init__(self, job: TrainingJob, tables: list[pa.Table], device: str = "cpu") -> None:
        self._job, self._worker = job, Worker(job, tables, Ranks(device))
        self.best_weights: dict[str, torch.Tensor] = {}

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch."""
        return self._worker.history

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing new."""
        return self._worker.finished

    def run_epoch(self) -> dict[str, Any]:
        """Train and validate once; returns the epoch's record."""
        record = self._worker.run_epoch()
        if best_record(self._job.training, self.history) is record:
            self.best_weights = copy.deepcopy(self._worker.state_dict()["model"])
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
