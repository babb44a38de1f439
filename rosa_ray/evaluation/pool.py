"""A pool of actors over all user rows: scoring for evaluation and for calibration."""

from collections.abc import Callable
from typing import Any, Literal

import pyarrow as pa
import ray

from rosa_ray.data.user_rows import READ_CPUS, list_user_files, plan_shards, quiet, slices_dataset
from rosa_ray.run_dir import DataDir


def map_users(
    layout: DataDir,
    scorer: type[Callable[[pa.Table], pa.Table]],
    arguments: tuple[Any, ...],
    actors: int,
    use_gpu: bool | Literal["auto"],
) -> list[dict[str, Any]]:
    """Run every block of user rows through one of the actors; returns the rows of what they answer.

    Args:
        scorer: class of the actors, a callable from a block to a table.
        arguments: of its constructor.
        actors: processes.
        use_gpu: a GPU each; `auto` where the cluster has one for each.
    """
    slices = plan_shards(list_user_files(layout.users), 1)[0]
    with_gpu = ray.cluster_resources().get("GPU", 0) >= actors if use_gpu == "auto" else use_gpu
    answers = quiet(slices_dataset(slices)).map_batches(
        scorer,
        fn_constructor_args=arguments,
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1 - READ_CPUS,
        num_gpus=1 if with_gpu else None,
    )
    return answers.take_all()
