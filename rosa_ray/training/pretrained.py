"""The result of a pre-training on disk: written once per digest, read by every training and trial that shares it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.errors import ConfigError
from rosa_ray.features import collate
from rosa_ray.models import UserBatch, build_ranker
from rosa_ray.models.event_model import RANKER, EventModel
from rosa_ray.models.objectives import EventCounts, build_objective, can_be_pretrained, require_event_ranker
from rosa_ray.run_dir import DataDir, PretrainedDir, RunDir
from rosa_ray.settings.plain import to_plain
from rosa_ray.storage import absolute, exists, read_json, read_parquet, write_json
from rosa_ray.training.event_reader import encode_timelines
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.reader import idle_user
from rosa_ray.training.schedule import best_record
from rosa_ray.training.start_weights import read_start, write_start

Document = dict[str, Any]
"""What `pretrain.json` says: digest, epochs, best_epoch, loss, blank_loss, seconds, events_per_s, history, …"""


def place_of(job: PretrainJob, run_dir: str) -> PretrainedDir:
    """Where the result of a pre-training lies, in the run that it was for."""
    return RunDir(run_dir).pretrained(job.digest)


def read_result(place: PretrainedDir) -> Document | None:
    """The document of a finished pre-training; None where there is none."""
    return read_json(place.document) if exists(place.document) else None


def write_result(
    job: PretrainJob, place: PretrainedDir, state: Mapping[str, Any], history: list[dict[str, Any]]
) -> Document:
    """Keep the weights of the best epoch, and how they came about; returns the document.

    Args:
        state: as of `EventWorker.state_dict`, of the best epoch.
    """
    names = [f"{RANKER}{name}" for name in state["touched"]]
    weights = {name.removeprefix(RANKER): state["model"][name] for name in names}
    return _write(job, place, weights, history)


def adopt_start(job: PretrainJob, place: PretrainedDir) -> Document:
    """Take the weights of `pretrain.start_from` as they are, on this data's vocabularies; returns the document."""
    features = read_feature_state(job.layout.features)
    torch.manual_seed(job.seed)
    plain = job.build(features)
    ranker = require_event_ranker(plain, job.job.model.name)
    first = read_parquet(list_user_files(job.layout.users)[0][0]).slice(0, 1)
    idle = idle_user(encode_timelines(first, features, job.until_us))
    known = EventCounts(features.table_sizes, _no_counts(features.table_sizes))
    model = EventModel(ranker, {name: build_objective(name, ranker, known) for name in job.job.pretrain.objectives})
    touched = model.freeze_untouched(UserBatch.from_numpy(collate(idle, np.zeros(1, np.int64))))
    return _write(job, place, read_start(job.start).of(plain, features, set(touched)), [])


def planned(job: TrainingJob, run_dir: str, code: str = "") -> TrainingJob:
    """The training that will begin with the result; the given one where pre-training is off.

    Args:
        code: see `PretrainJob`.

    Raises:
        ConfigError: it would start from its own run.
    """
    if not job.pretrain.enabled:
        return job
    if job.pretrain.start_from and absolute(job.pretrain.start_from.rstrip("/")) == absolute(run_dir.rstrip("/")):
        raise ConfigError(f"pretrain.start_from is '{job.pretrain.start_from}', this very run; name another one")
    before = PretrainJob(job, code)
    return replace(job, start=place_of(before, run_dir).root, start_digest=before.digest)


def pretrainable(job: TrainingJob) -> TrainingJob:
    """The job; without pre-training where its ranker cannot learn from events alone.

    Raises:
        InputError: there is no preprocessed data.
    """
    if not job.pretrain.enabled or _can_be_pretrained(job.model.name, json.dumps(to_plain(job.model)), job.data_dir):
        return job
    return replace(job, pretrain=PretrainConfig())


@lru_cache
def _can_be_pretrained(name: str, settings: str, data_dir: str) -> bool:
    plain = {key: value for key, value in json.loads(settings).items() if key != "name"}
    state = read_feature_state(DataDir(data_dir).features)
    try:
        # Weights on this device take no memory: only the parts are looked at.
        with torch.device("meta"):
            return can_be_pretrained(build_ranker(name, plain, state.table_sizes, state.base_rates))
    except ConfigError:
        return False


def _no_counts(sizes: Mapping[str, int]) -> dict[str, Tensor]:
    return {name: torch.zeros(sizes[name], dtype=torch.int64) for name in ("item", "category")}


def _write(
    job: PretrainJob, place: PretrainedDir, weights: Mapping[str, Tensor], history: list[dict[str, Any]]
) -> Document:
    sha256 = write_start(weights, read_feature_state(job.layout.features), place)
    best = best_record(job.training, history) or {}
    seconds = sum(record["train_seconds"] for record in history)
    document = {
        "digest": job.digest,
        "sha256": sha256,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "started_from": job.start,
        "settings": to_plain(job.job.pretrain),
        "seed": job.seed,
        "until_us": job.until_us,
        "epochs": len(history),
        "best_epoch": best.get("epoch"),
        "loss": best.get("valid_loss"),
        "blank_loss": best.get("valid_blank_loss"),
        "popularity_loss": best.get("valid_popularity_loss"),
        "seconds": round(sum(record["seconds"] for record in history), 3),
        "events_per_s": round(sum(record["samples"] for record in history) / seconds, 1) if seconds else None,
        "history": history,
    }
    write_json(document, place.document)
    return document
