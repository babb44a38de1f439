"""`rosa tune`: search task weights and other settings for the best held-out return, and register the winner."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.run_dir import RunDir
from rosa_ray.settings.compose import compose
from rosa_ray.settings.layers import Layer
from rosa_ray.settings.plain import redacted, to_plain
from rosa_ray.storage import absolute, exists
from workloads.places import record_config, source_of
from workloads.studies import prepare

if TYPE_CHECKING:
    from rosa_ray.studies.sweep.space import TrialSettings

TABLE_WIDTH = 150


def run(config: RunConfig) -> int:
    """Make the data where it is missing, run what is left of the sweep and print its tables."""
    from rosa_ray.studies.sweep.sweep import Sweep, require_local, run_sweep
    from rosa_ray.studies.sweep.tables import sweep_summary, sweep_tables

    require_local(config.run_dir)
    run_dir = RunDir(absolute(config.run_dir))
    sweep = Sweep(
        config=config.tune,
        settle=settle(config, run_dir),
        configured=configured(config, config.tune.space),
        tracking=config.tracking,
        seed=config.seed,
        command=f"rosa tune {RunDir(config.run_dir).config}",
        log_dir=absolute(source_of(config).path),
        run_dir=run_dir.root,
    )
    sweep.check()
    record_config(config)
    with connected(config.ray):
        prepare(config, run_dir)
        document = run_sweep(sweep, lambda line: print(line, flush=True))
    console = Console(width=max(Console().width, TABLE_WIDTH))
    for table in sweep_tables(document):
        console.print(table)
    print(sweep_summary(document))
    place = RunDir(config.run_dir).sweep
    print(f"{place.winner.bundle}: the winner; {place.document}: everything above as JSON")
    return 0


def settle(config: RunConfig, run_dir: RunDir) -> "Callable[[Mapping[str, Any]], TrialSettings]":
    """Return what lays parameters over the run's config."""
    from rosa_ray.studies.sweep.space import TrialSettings, nested
    from rosa_ray.training.job import TrainingJob

    whole = Layer("config", to_plain(config))

    def over(params: Mapping[str, Any]) -> TrialSettings:
        where = "tune.space " + ", ".join(f"{key}={value}" for key, value in params.items())
        one = compose(RunConfig, [whole, Layer(where, nested(params))])
        return TrialSettings(
            job=TrainingJob(one.model, one.loss, one.training, one.seed, run_dir.data.root, pretrain=one.pretrain),
            calibration=one.calibration,
            gate=one.gate,
            evaluation=one.evaluation.on(_totals(run_dir)),
            config=redacted(one),
        )

    return over


def _totals(run_dir: RunDir) -> Mapping[str, float]:
    """Of the training period; before there is data, those of a log that has all."""
    from rosa_ray.data.user_rows import read_feature_state

    if not exists(run_dir.data.spec):
        return {"revenue": 1.0, "cost": 1.0}
    return read_feature_state(run_dir.data.features).totals


def configured(config: RunConfig, space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run's own value of every searched key that it has."""
    found: dict[str, Any] = {}
    for key in space:
        value: Any = to_plain(config)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found |= {key: value} if value is not None else {}
    return found
