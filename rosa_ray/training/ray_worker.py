"""The training loop as a Ray Train worker: its rank, its shard, and a checkpoint after every epoch."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from torch import nn

from rosa_ray.data.user_rows import Slice, list_user_files, plan_shards
from rosa_ray.errors import ConfigError, InputError, TrainingError
from rosa_ray.training.event_worker import build_worker
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.loop import Worker
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.ranks import ProcessGroup, Ranks
from rosa_ray.training.shards import ShardTables

CHECKPOINT_FILE = "state.pt"


def train_worker(settings: dict[str, Any]) -> dict[str, Any]:
    """Train one `TrainingJob` or pre-train one `PretrainJob`, `settings["job"]`.

    Returns:
        `history`, one record per epoch; and `error`, None or why training cannot go on. An error that another try
        would meet again is returned, not raised, so that Ray does not try again.
    """
    job: TrainingJob | PretrainJob = settings["job"]
    torch.set_num_threads(job.training.threads_per_worker)
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        worker = build_worker(job, _shard(job), ray_ranks())
        _restore(worker)
        while not worker.finished:
            record = worker.run_epoch()
            _report(worker, record)
    except (ConfigError, InputError, TrainingError) as error:
        return {"history": [], "error": str(error)}
    return {"history": worker.history, "error": None}


class RayRanks(ProcessGroup):
    """The workers of a Ray Train run."""

    def wrap(self, ranker: nn.Module) -> nn.Module:
        options = {"gradient_as_bucket_view": True, "forward_sync_buffers": False}
        return ray.train.torch.prepare_model(ranker, parallel_strategy_kwargs=options)


def ray_ranks() -> Ranks:
    """This Ray Train worker among the others."""
    context = ray.train.get_context()
    world, device = context.get_world_size(), ray.train.torch.get_device()
    return RayRanks(context.get_world_rank(), world, device) if world > 1 else Ranks(device)


def _shard(job: TrainingJob | PretrainJob) -> ShardTables:
    """This worker's user rows."""
    context = ray.train.get_context()
    world, rank = context.get_world_size(), context.get_world_rank()

    def plan() -> list[Slice]:
        """The slices that `UserShards` gave this rank."""
        return plan_shards(list_user_files(job.layout.users), world)[rank]

    return ShardTables(ray.train.get_dataset_shard("users"), plan)


def _restore(worker: Worker) -> None:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return
    with checkpoint.as_directory() as folder:
        worker.load_state_dict(
            torch.load(Path(folder) / CHECKPOINT_FILE, map_location=worker.device, weights_only=True)
        )


def _report(worker: Worker, record: dict[str, Any]) -> None:
    """Hand the epoch's figures, and from rank 0 a checkpoint, to Ray Train; every rank must call it."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if worker.ranks.rank == 0:
            torch.save(worker.state_dict(), Path(folder) / CHECKPOINT_FILE)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(record, checkpoint=checkpoint)
