"""One fit on Ray Train: resources, failures, checkpoints, and the epochs as they come."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import ray
import torch
from ray.train.torch import TorchConfig
from ray.train.v2.api.config import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.api.result import Result
from ray.train.v2.torch.torch_trainer import TorchTrainer

from rosa_ray.data.user_rows import list_user_files, plan_shards, slices_dataset
from rosa_ray.errors import RosaError, TrainingError
from rosa_ray.storage import arrow_filesystem
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.progress import EpochCallback, EpochFeed
from rosa_ray.training.ray_worker import CHECKPOINT_FILE, train_worker
from rosa_ray.training.schedule import EpochRecord, best_record
from rosa_ray.training.shards import UserShards

_CLUSTER_FAILURES = 3
_POLL_SECONDS = "0.5"

OnEpoch = Callable[[EpochRecord], None]


def fit(
    job: TrainingJob | PretrainJob,
    checkpoints: str,
    name: str,
    on_epoch: OnEpoch = lambda record: None,
    worker: Callable[[dict[str, Any]], Any] = train_worker,
) -> Result:
    """Run the workers to the end of training, with checkpoints under `checkpoints/name`.

    Args:
        worker: what every rank runs.

    Raises:
        TrainingError: see `train`.
    """
    files = list_user_files(job.layout.users)
    scaling = scaling_config(job.training, ray.cluster_resources(), sum(rows for _, rows in files))
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", _POLL_SECONDS)
    with EpochFeed(on_epoch) as feed, _own_interrupt_handler():
        trainer = TorchTrainer(
            worker,
            train_loop_config={"job": job},
            torch_config=TorchConfig(timeout_s=job.training.collective_timeout_s),
            scaling_config=scaling,
            datasets={"users": slices_dataset(plan_shards(files, 1)[0])},
            dataset_config=UserShards(files),
            run_config=_run_config(job.training, checkpoints, name, feed.path),
        )
        try:
            result = cast(Result, trainer.fit())
        except TrainingFailedError as error:
            raise TrainingError(f"training failed: {_cause(error)}") from error
    if reason := outcome_of(result)["error"]:
        raise TrainingError(reason)
    return result


def scaling_config(training: TrainingConfig, cluster: Mapping[str, float], users: int) -> ScalingConfig:
    """How many workers get which resources. There are no more workers than users.

    Args:
        cluster: total resources of the cluster.
        users: user rows to train on.

    Raises:
        TrainingError: there are fewer GPUs than asked for.
    """
    wanted = min(training.workers, max(users, 1))
    gpus = cluster.get("GPU", 0)
    fewest = min(training.min_workers or wanted, wanted)
    use_gpu = gpus >= fewest if training.use_gpu == "auto" else training.use_gpu
    if use_gpu and gpus < fewest:
        raise TrainingError(
            f"training.use_gpu is true with {fewest} workers but the cluster has {gpus:g} GPUs; set "
            "training.use_gpu=auto or fewer workers"
        )
    room = max(cluster.get("CPU", 1) - 1, 0.5) / wanted
    cpus = training.cpus_per_worker or min(1.0, room)
    resources = {"CPU": cpus, "GPU": 1} if use_gpu else {"CPU": cpus}
    workers = (fewest, wanted) if training.min_workers and fewest < wanted else wanted
    return ScalingConfig(num_workers=workers, use_gpu=use_gpu, resources_per_worker=resources)


def outcome_of(result: Result) -> dict[str, Any]:
    """What `train_worker` returned on rank 0."""
    return result.return_value or {"history": [], "error": "the workers ended without a result"}


def best_state(training: TrainingConfig, result: Result) -> tuple[dict[str, Any], dict[str, Any]]:
    """Checkpoint and record of the best epoch among the checkpoints kept.

    Raises:
        TrainingError: there is none.
    """
    kept = sorted(result.best_checkpoints or [], key=lambda pair: pair[1]["epoch"])
    best = best_record(training, [record for _, record in kept])
    if best is None:
        raise TrainingError(f"{result.path}: holds no checkpoint; train again with training.resume=false")
    checkpoint = next(checkpoint for checkpoint, record in kept if record is best)
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder) / CHECKPOINT_FILE, map_location="cpu", weights_only=True)
    return state, dict(best)


@contextmanager
def _own_interrupt_handler() -> Iterator[None]:
    """Take the handling of Ctrl-C back from Ray Train, which keeps it after training otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _run_config(training: TrainingConfig, storage: str, name: str, feed_path: str) -> RunConfig:
    file_system, path = arrow_filesystem(storage)
    return RunConfig(
        name=name,
        storage_path=path,
        storage_filesystem=file_system,
        failure_config=FailureConfig(max_failures=training.max_failures, controller_failure_limit=_CLUSTER_FAILURES),
        checkpoint_config=CheckpointConfig(
            num_to_keep=training.keep_checkpoints,
            checkpoint_score_attribute="monitor_score",
            checkpoint_score_order="max",
        ),
        callbacks=[EpochCallback(feed_path)],
        logging_config=LoggingConfig(log_level="WARNING"),
    )


def _cause(error: Exception) -> str:
    failures = getattr(error, "worker_failures", None) or {0: getattr(error, "controller_failure", error)}
    rank, failure = next(iter(failures.items()))
    cause = getattr(failure, "cause", None) or failure
    if isinstance(cause, RosaError):
        return str(cause)
    reason = (str(cause).strip() or type(cause).__name__).splitlines()[-1]
    return f"worker {rank}: {reason}"
