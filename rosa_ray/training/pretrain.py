"""Pre-training on Ray Train: the events of a log teach the encoder and the tables before training begins."""

from collections.abc import Callable
from typing import Any

from rosa_ray.errors import ConfigError
from rosa_ray.run_dir import PretrainedDir, RunDir
from rosa_ray.settings import Tagged
from rosa_ray.storage import absolute, exists, read_json, remove_tree, write_json
from rosa_ray.tracking import Run, TrackingConfig, start_run
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.fit import OnEpoch, best_state, fit, outcome_of
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.pretrained import Document, adopt_start, place_of, read_result, write_result
from rosa_ray.training.schedule import EpochRecord

Tell = Callable[[str], None]
"""Takes a line for people."""

METRIC = "pretrain_"
"""Prefix of the figures of pre-training in MLflow, beside those of training."""


def pretrain_line(record: EpochRecord) -> str:
    """One line for people about an epoch; above it another where the epoch began at a checkpoint."""
    resumed = record.get("resumed_from_step")
    return ("" if resumed is None else f"resumed from the checkpoint at step {resumed}\n") + (
        f"events, epoch {record['epoch']:>2}  step {record['step']:>6}  {record['samples_per_s']:>8,.0f} events/s  "
        f"train loss {record['train_loss']:.4f}  held out {record['valid_loss']:.4f} "
        f"(without history {record['valid_blank_loss']:.4f})  {record['seconds']:.1f} s"
    )


def run_pretraining(
    job: TrainingJob, run_dir: str, run: Run, tell: Tell = lambda line: print(line, flush=True)
) -> Document | None:
    """Pre-train as `job.pretrain` says, or take what an equal pre-training left; returns its document.

    Where pre-training is off, returns None. Ray must be initialised. What was stopped goes on from its last epoch's
    checkpoint. `planned` gives the training that starts from the result.

    Args:
        run_dir: absolute; keeps the result and `pretrain.json`.
        run: takes the figures of every epoch.
        tell: takes lines for people.

    Raises:
        ConfigError: the model cannot be pre-trained.
        TrainingError: it diverged, kept failing, or there are no events.
        InputError: there is no preprocessed data, or nothing at `pretrain.start_from`.
    """
    if not job.pretrain.enabled:
        return None
    before = PretrainJob(job)
    place = place_of(before, run_dir)
    document = read_result(place) if job.training.resume else None
    if document is None:
        document = _fit(before, run_dir, place, lambda record: _follow(run, record, tell))
    else:
        tell(f"{place.root}: pre-trained before, taken as it is")
    write_json(document, RunDir(run_dir).pretrain)
    return document


def pretrain_alone(
    *,
    model: Tagged,
    pretrain: PretrainConfig,
    training: TrainingConfig,
    tracking: TrackingConfig,
    loss: Any,
    seed: int,
    data_dir: str,
    run_dir: str,
    config: dict[str, Any],
) -> Document:
    """Pre-train a ranker on preprocessed data, also on a log without impressions; returns the document.

    Arguments are those of `rosa_ray.training.trainer.train`.

    Raises:
        ConfigError: pre-training is off.
    """
    if not pretrain.enabled:
        raise ConfigError("pretrain.epochs is 0, so that there is nothing to do; set pretrain.epochs, such as 20")
    run_dir = absolute(run_dir)
    job = TrainingJob(model, loss, training, seed, absolute(data_dir), pretrain=pretrain)
    place = place_of(PretrainJob(job), run_dir)
    former = read_json(place.tracking)["mlflow_run_id"] if exists(place.tracking) else None
    with start_run(tracking, run_dir, f"{run_dir.rsplit('/', 1)[-1]} pretrain", run_id=former) as run:
        write_json({"mlflow_run_id": run.run_id}, place.tracking)
        run.log_params(config)
        document = run_pretraining(job, run_dir, run)
    assert document is not None
    return document


def _fit(job: PretrainJob, run_dir: str, place: PretrainedDir, on_epoch: OnEpoch) -> Document:
    if not job.job.pretrain.epochs:
        return adopt_start(job, place)
    name, checkpoints = f"events-{job.checkpoints}", RunDir(run_dir).checkpoints
    if not job.training.resume:
        remove_tree(f"{checkpoints}/{name}")
    result = fit(job, checkpoints, name, on_epoch)
    state, _ = best_state(job.training, result)
    return write_result(job, place, state, outcome_of(result)["history"])


def _follow(run: Run, record: EpochRecord, tell: Tell) -> None:
    run.log_metrics({f"{METRIC}{name}": value for name, value in record.items()}, step=record["epoch"])
    tell(pretrain_line(record))
