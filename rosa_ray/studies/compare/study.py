"""A study on Ray: trials run side by side as Ray tasks, a learning rate is chosen per variant, the rest follows.

A trial that has finished is read, not run again, so a study that stopped goes on where it was.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import ray

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.errors import RosaError, TrainingError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.storage import read_json, write_json
from rosa_ray.studies.compare.config import StudyConfig
from rosa_ray.studies.compare.paper import PAPER, TARGET_GAPS
from rosa_ray.studies.compare.summary import summarise
from rosa_ray.studies.compare.variants import Variant
from rosa_ray.studies.trial import Trial, fit_trial, run_trial
from rosa_ray.training.config import MONITORS, TrainingConfig
from rosa_ray.training.job import TrainingJob

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """What all trials share.

    Attributes:
        kind: `compare`, `ablate`, `weights` or `curve`; names the study's files.
        command: what repeats it.
        run_dir: absolute; trials go to `run_dir/trials`.
        log_dir: the log behind the data.
    """

    kind: str
    command: str
    config: StudyConfig
    training: TrainingConfig
    calibration: CalibrationConfig
    evaluation: EvaluationConfig
    data_dir: str
    log_dir: str
    run_dir: str

    def trial(self, variant: Variant, seed: int, learning_rate: float) -> Trial:
        """One trial of a variant, in one process with the batch of all workers; equal arguments name one directory."""
        together = self.training.users_per_batch * self.training.workers
        training = replace(
            self.training,
            learning_rate=learning_rate,
            workers=1,
            min_workers=None,
            users_per_batch=together,
            **variant.training,
        )
        settings = dict(variant.settings)
        job = TrainingJob(variant.model, settings, variant.loss, training, seed, self.data_dir)
        name = f"{variant.name}-lr{learning_rate:g}-s{seed}"
        return Trial(
            job=job,
            calibration=self.calibration,
            evaluation=self.evaluation,
            log_dir=self.log_dir,
            directory=RunDir(self.run_dir).trial(name).root,
            latency_requests=self.config.latency_requests,
            candidates=self.config.candidates,
        )


def run_study(
    study: Study,
    variants: Sequence[Variant],
    champion: str,
    pairs: Sequence[tuple[str, str]],
    progress: Progress = print,
) -> dict[str, Any]:
    """Run all trials of a study and write its document, `comparison.json` or `<kind>.json`, into the run directory.

    Ray must be initialised.

    Args:
        pairs: names of the variants whose gaps are wanted, the first less the second.

    Returns:
        The document.

    Raises:
        TrainingError: a trial failed.
    """
    seeds, rates = study.config.seeds, study.config.learning_rates or (study.training.learning_rate,)
    first = [study.trial(variant, seeds[0], rate) for variant in variants for rate in rates]
    tried = run_trials(fit_trial, first, study.config.trials_at_once, progress)
    chosen = {
        variant.name: best_rate(study.training, [tried[at * len(rates) + k] for k in range(len(rates))])
        for at, variant in enumerate(variants)
    }
    picked = {v.name: [study.trial(v, seed, chosen[v.name]) for seed in seeds] for v in variants}
    run_trials(run_trial, [trial for each in picked.values() for trial in each], study.config.trials_at_once, progress)
    document = _document(study, variants, champion, pairs, picked)
    write_json(document, RunDir(study.run_dir).study(study.kind))
    return document


def best_rate(training: TrainingConfig, results: Sequence[Mapping[str, Any]]) -> float:
    """The learning rate with the best monitor on the validation period."""
    sign = 1.0 if MONITORS[training.monitor] == "max" else -1.0
    return float(max(results, key=lambda result: sign * result["monitor"])["learning_rate"])


def run_trials(
    work: Callable[[Trial], dict[str, Any]], trials: Sequence[Trial], at_once: int | None, progress: Progress
) -> list[dict[str, Any]]:
    """Do work on trials as Ray tasks, a CPU (and a GPU where there is one) each; returns their results in order.

    Raises:
        TrainingError: a trial failed; the message names it.
    """
    resources = ray.cluster_resources()
    limit = at_once or max(1, int(resources.get("GPU") or resources.get("CPU", 1)))
    task = ray.remote(num_cpus=1, num_gpus=1 if resources.get("GPU") else 0, max_retries=1)(_guarded)
    results: dict[int, dict[str, Any]] = {}
    running: dict[ray.ObjectRef, int] = {}
    waiting = list(range(len(trials)))
    while waiting or running:
        while waiting and len(running) < limit:
            at = waiting.pop(0)
            running[task.remote(work, trials[at])] = at
        done, _ = ray.wait(list(running), num_returns=1)
        at = running.pop(done[0])
        outcome = ray.get(done[0])
        name = trials[at].directory.rsplit("/", 1)[-1]
        if isinstance(outcome, RosaError):
            raise TrainingError(f"trial {name}: {outcome}")
        results[at] = outcome
        progress(_line(name, outcome, len(results), len(trials)))
    return [results[at] for at in range(len(trials))]


def _guarded(work: Callable[[Trial], dict[str, Any]], trial: Trial) -> dict[str, Any] | RosaError:
    try:
        return work(trial)
    except RosaError as error:
        return error


def _line(name: str, result: Mapping[str, Any], done: int, total: int) -> str:
    best = result["history"][result["best_epoch"] - 1]
    return (
        f"[{done}/{total}] {name}: epoch {result['best_epoch']} of {result['epochs']}, "
        f"{result['train_seconds']:.0f} s, valid AUC {best['valid_auc']:.4f}, log loss {best['valid_logloss']:.4f}"
    )


def _document(
    study: Study,
    variants: Sequence[Variant],
    champion: str,
    pairs: Sequence[tuple[str, str]],
    picked: Mapping[str, Sequence[Trial]],
) -> dict[str, Any]:
    results = {name: [read_json(trial.place.result) for trial in trials] for name, trials in picked.items()}
    parts = len(list_user_files(DataDir(study.data_dir).users))
    files = {
        name: [[trial.place.predictions(n) for n in range(parts)] for trial in trials]
        for name, trials in picked.items()
    }
    report = read_json(DataDir(study.data_dir).report)
    return {
        "kind": study.kind,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {int(ray.cluster_resources().get('CPU', 1))} CPUs",
        "command": study.command,
        "reference": variants[0].name,
        "champion": champion,
        "seeds": list(study.config.seeds),
        "score": study.evaluation.score,
        "training": asdict(study.training),
        "data": {
            **{name: report[name] for name in ("users", "events", "impressions", "start", "end", "splits")},
            "test_impressions": report["splits"]["test"]["impressions"],
            "source": study.log_dir,
        },
        **summarise(
            variants,
            results,
            files,
            log_dir=study.log_dir,
            kind=study.evaluation.score,
            reference=variants[0].name,
            pairs=pairs,
            replicates=study.config.replicates,
            targets=TARGET_GAPS if study.kind == "compare" else {},
        ),
        "paper": PAPER,
    }
