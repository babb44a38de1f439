"""A comparison on Ray: trials side by side, a learning rate chosen per variant, and the document of what came out.

A trial that has finished is read, not run again, so a comparison that stopped goes on where it was.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import ray

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.settings.plain import to_plain
from rosa_ray.storage import read_json, write_json
from rosa_ray.studies.compare.config import StudyConfig
from rosa_ray.studies.compare.measure import measure_trial
from rosa_ray.studies.compare.summary import PAPER, TARGET_GAPS, summarise
from rosa_ray.studies.compare.variants import Variant
from rosa_ray.studies.compare.verdicts import ablation_verdicts, comparison_verdict
from rosa_ray.studies.pretraining import pretrain_trials
from rosa_ray.studies.schedule import TellProgress, run_trials
from rosa_ray.studies.trial import Trial, fit_trial, stale_trials
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.in_process import in_one_process
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig, pretrain_in_one_process
from rosa_ray.training.pretrained import pretrainable


@dataclass(frozen=True)
class Comparison:
    """What all trials share.

    Attributes:
        kind: `compare`, `ablate`, `weights` or `curve`; names the document.
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
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)

    def trial(self, variant: Variant, seed: int, learning_rate: float) -> Trial:
        """One trial of a variant, in one process with the batch of all workers; equal arguments name one directory."""
        training = replace(in_one_process(self.training), learning_rate=learning_rate, **variant.training)
        before = pretrain_in_one_process(self.pretrain, self.training.workers) if variant.pretrain else PretrainConfig()
        job = TrainingJob(
            variant.model, variant.loss, training, seed, self.data_dir, variant.not_shared, pretrain=before
        )
        name = f"{variant.name}-lr{learning_rate:g}-s{seed}"
        return Trial(
            job=pretrainable(job),
            calibration=self.calibration,
            evaluation=self.evaluation,
            log_dir=self.log_dir,
            directory=RunDir(self.run_dir).trial(name).root,
            run_dir=self.run_dir,
        )


def run_comparison(
    comparison: Comparison,
    variants: Sequence[Variant],
    champion: str,
    pairs: Sequence[tuple[str, str]],
    tell: TellProgress = print,
) -> dict[str, Any]:
    """Run all trials and write the document, see `RunDir.study`, into the run directory.

    Ray must be initialised.

    Args:
        pairs: names of the variants whose gaps are wanted, the first less the second.

    Returns:
        The document.

    Raises:
        TrainingError: a trial failed.
    """
    config, training = comparison.config, comparison.training
    seeds, shared = config.seeds, config.learning_rates or (training.learning_rate,)
    tries = [(variant, rate) for variant in variants for rate in variant.learning_rates or shared]
    if line := stale_trials([comparison.trial(variant, seed, rate) for variant, rate in tries for seed in seeds]):
        tell(line)
    first = [comparison.trial(variant, seeds[0], rate) for variant, rate in tries]
    each = {variant.name: (variant, rate) for variant, rate in tries}.values()
    before = [comparison.trial(variant, seed, rate) for variant, rate in each for seed in seeds]
    pretrain_trials(before, config.trials_at_once, tell)
    tried = run_trials(fit_trial, first, config.trials_at_once, tell)
    chosen = {
        variant.name: best_rate([result for (of, _), result in zip(tries, tried, strict=True) if of is variant])
        for variant in variants
    }
    picked = {v.name: [comparison.trial(v, seed, chosen[v.name]) for seed in seeds] for v in variants}
    measure = partial(measure_trial, latency_requests=config.latency_requests, candidates=config.candidates)
    run_trials(measure, [trial for each in picked.values() for trial in each], config.trials_at_once, tell)
    document = _document(comparison, variants, champion, pairs, picked)
    write_json(document, RunDir(comparison.run_dir).study(comparison.kind))
    return document


def best_rate(results: Sequence[Mapping[str, Any]]) -> float:
    """The learning rate with the best monitor on the validation period."""
    return float(max(results, key=lambda result: float(result["monitor_score"]))["learning_rate"])


def _document(
    comparison: Comparison,
    variants: Sequence[Variant],
    champion: str,
    pairs: Sequence[tuple[str, str]],
    picked: Mapping[str, Sequence[Trial]],
) -> dict[str, Any]:
    results = {name: [read_json(trial.place.result) for trial in trials] for name, trials in picked.items()}
    parts = len(list_user_files(DataDir(comparison.data_dir).users))
    files = {
        name: [[trial.place.predictions(n) for n in range(parts)] for trial in trials]
        for name, trials in picked.items()
    }
    report = read_json(DataDir(comparison.data_dir).report)
    document = {
        "kind": comparison.kind,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {int(ray.cluster_resources().get('CPU', 1))} CPUs",
        "command": comparison.command,
        "reference": variants[0].name,
        "champion": champion,
        "seeds": list(comparison.config.seeds),
        "score": comparison.evaluation.yardstick.kind,
        "training": asdict(comparison.training),
        "pretrain": to_plain(comparison.pretrain),
        "data": {
            **{name: report[name] for name in ("users", "events", "impressions", "start", "end", "splits")},
            "test_impressions": report["splits"]["test"]["impressions"],
            "source": comparison.log_dir,
        },
        **summarise(
            variants,
            results,
            files,
            log_dir=comparison.log_dir,
            ranking=comparison.evaluation.yardstick,
            reference=variants[0].name,
            pairs=pairs,
            replicates=comparison.config.replicates,
            targets=TARGET_GAPS if comparison.kind == "compare" else {},
        ),
        "paper": PAPER,
    }
    say = {"ablate": ablation_verdicts, "compare": comparison_verdict}.get(comparison.kind)
    return document | ({"verdicts": say(document)} if say else {})
