"""Trials side by side on a Ray cluster: one process each, as many at a time as there is room for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from rosa_ray.errors import RosaError, TrainingError
from rosa_ray.studies.trial import Record, Trial

TellProgress = Callable[[str], None]
"""Takes a line for people about what has just happened."""


def trials_at_once(cluster: Mapping[str, float], wanted: int | None) -> int:
    """How many trials train at the same time: one for each GPU, else for each CPU, and no more than wanted.

    Args:
        cluster: total resources of the cluster.

    >>> trials_at_once({"CPU": 2.0}, None), trials_at_once({"CPU": 16.0, "GPU": 4.0}, None)
    (2, 4)
    >>> trials_at_once({"CPU": 8.0}, 3), trials_at_once({}, None)
    (3, 1)
    """
    room = max(int(cluster.get("GPU") or cluster.get("CPU", 1)), 1)
    return min(room, wanted) if wanted else room


def gpus_per_trial(cluster: Mapping[str, float]) -> int:
    """GPUs that each trial gets beside its CPU: one where the cluster has any."""
    return 1 if cluster.get("GPU") else 0


def run_trials(
    work: Callable[[Trial], Record],
    trials: Sequence[Trial],
    wanted_at_once: int | None,
    tell: TellProgress,
    describe: Callable[[Record], str] | None = None,
) -> list[Record]:
    """Do work on trials as Ray tasks; returns their results in order.

    Ray must be initialised.

    Args:
        work: gives at least the figures of `TrialRun.fit`.
        wanted_at_once: see `trials_at_once`.
        describe: what to tell of a result; by default its best epoch.

    Raises:
        TrainingError: a trial failed; the message names it.
    """
    cluster = ray.cluster_resources()
    at_once = trials_at_once(cluster, wanted_at_once)
    task = ray.remote(num_cpus=1, num_gpus=gpus_per_trial(cluster), max_retries=1)(_guarded)
    results: dict[int, Record] = {}
    running: dict[ray.ObjectRef[Any], int] = {}
    waiting = list(range(len(trials)))
    while waiting or running:
        while waiting and len(running) < at_once:
            at = waiting.pop(0)
            running[task.remote(work, trials[at])] = at
        done, _ = ray.wait(list(running), num_returns=1)
        at = running.pop(done[0])
        outcome = ray.get(done[0])
        name = trials[at].directory.rsplit("/", 1)[-1]
        if isinstance(outcome, RosaError):
            raise TrainingError(f"trial {name}: {outcome}")
        results[at] = outcome
        tell(f"[{len(results)}/{len(trials)}] {name}: {(describe or _best_epoch)(outcome)}")
    return [results[at] for at in range(len(trials))]


def _guarded(work: Callable[[Trial], Record], trial: Trial) -> Record | RosaError:
    try:
        return work(trial)
    except RosaError as error:
        return error


def _best_epoch(result: Mapping[str, Any]) -> str:
    best = result["history"][result["best_epoch"] - 1]
    return (
        f"epoch {result['best_epoch']} of {result['epochs']}, {result['train_seconds']:.0f} s, "
        f"valid AUC {best['valid_auc']:.4f}, log loss {best['valid_logloss']:.4f}"
    )
