"""What an epoch of pre-training on events costs beside one of training, in CPU seconds of one thread.

CPU seconds, unlike seconds, hardly depend on what else the machine does.

    rosa preprocess demo
    python benchmarks/pretrain_cost.py runs/demo/data
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from record import record, save

from rosa_ray.features import EncodedUsers, batch_users, collate
from rosa_ray.models import LossConfig, UserBatch, ranker_settings
from rosa_ray.storage import read_parquet
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.event_worker import build_worker
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.ranks import Ranks

USERS_PER_BATCH, STEPS, SEED = 16, 60, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data directory of a run")
    parser.add_argument("--model", default="rosa")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = [read_parquet(str(path)) for path in sorted((arguments.data / "users").glob("*.parquet"))]
    job = TrainingJob(
        ranker_settings(arguments.model, {}),
        LossConfig(),
        TrainingConfig(workers=1, users_per_batch=USERS_PER_BATCH),
        SEED,
        str(arguments.data),
        pretrain=PretrainConfig(epochs=1, users_per_batch=USERS_PER_BATCH),
    )
    found = {
        "pretrain": cost(PretrainJob(job), tables, lambda users: users.event_offsets),
        "train": cost(job, tables, lambda users: users.impression_offsets),
    }
    for name, figures in found.items():
        print(name, figures)
    save(record("pretrain_cost", model=arguments.model, steps=STEPS, **found), arguments.out)


def cost(
    job: TrainingJob | PretrainJob, tables: list[pa.Table], offsets: Callable[[EncodedUsers], np.ndarray]
) -> dict[str, Any]:
    """Samples of an epoch, how many a CPU second takes, and the CPU seconds of the epoch, by some of its steps.

    Args:
        offsets: says how many samples each user is.
    """
    worker, rng = build_worker(job, tables, Ranks()), np.random.default_rng(SEED)
    users = next(iter(worker.users.training(rng)))
    batches = list(batch_users(users, USERS_PER_BATCH, rng))[:STEPS]
    samples = np.diff(offsets(users))
    worker.model.train()
    began = time.process_time()
    for chosen in batches:
        worker.stepper(UserBatch.from_numpy(collate(users, chosen)), job.training.learning_rate)
        worker.averaged.update_parameters(worker.ranker)
    per_s = sum(int(samples[chosen].sum()) for chosen in batches) / (time.process_time() - began)
    return {
        "samples": int(samples.sum()),
        "samples_per_cpu_s": round(per_s),
        "cpu_s": round(int(samples.sum()) / per_s, 1),
    }


if __name__ == "__main__":
    main()
