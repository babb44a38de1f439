"""`rosa compare`, `ablate`, `weights` and `curve`: train models or variants on the run's log and compare them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.errors import ConfigError
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import absolute, exists, is_remote
from workloads import preprocess, simulate
from workloads.places import brings_impressions, record_config, source_of

if TYPE_CHECKING:
    from rosa_ray.studies.compare.variants import Variant

TABLE_WIDTH = 150


def compare(config: RunConfig) -> int:
    """Set the configured model beside the baselines."""
    return run(config, "compare")


def ablate(config: RunConfig) -> int:
    """Set the configured model beside itself with one part taken away."""
    return run(config, "ablate")


def weights(config: RunConfig) -> int:
    """Set the configured model beside itself under other task weights."""
    return run(config, "weights")


def curve(config: RunConfig) -> int:
    """Train the configured model and the baselines on fewer users, and the model wider, deeper and longer."""
    return run(config, "curve")


def run(config: RunConfig, kind: str) -> int:
    """Make the data where it is missing, run the study and print its tables."""
    from rosa_ray.data.leakage.guard import guard
    from rosa_ray.data.user_rows import read_feature_state
    from rosa_ray.studies.compare.comparison import Comparison, run_comparison
    from rosa_ray.studies.compare.tables import comparison_tables

    if is_remote(config.run_dir):
        raise ConfigError(f"run_dir is '{config.run_dir}'; a study keeps its trials on a disk, give a local directory")
    run_dir = RunDir(absolute(config.run_dir))
    record_config(config)
    with connected(config.ray):
        prepare(config, run_dir)
        print("\n".join(guard(run_dir.data.root, config.leak_guard, config.source).lines()))
        comparison = Comparison(
            kind=kind,
            command=f"rosa {kind} {RunDir(config.run_dir).config}",
            config=config.study,
            training=config.training,
            pretrain=config.pretrain,
            calibration=config.calibration,
            evaluation=config.evaluation.on(read_feature_state(run_dir.data.features).totals),
            data_dir=run_dir.data.root,
            log_dir=absolute(source_of(config).path),
            run_dir=run_dir.root,
        )
        variants = _variants(config, kind)
        pairs = _pairs(kind, variants, config.model.name)
        document = run_comparison(comparison, variants, config.model.name, pairs, lambda line: print(line, flush=True))
    console = Console(width=max(Console().width, TABLE_WIDTH))
    for table in comparison_tables(document):
        console.print(table)
    place = RunDir(config.run_dir).study(kind)
    print(f"{place}: everything above as JSON; `rosa report {config.run_dir}` draws it")
    return 0


def _variants(config: RunConfig, kind: str) -> "list[Variant]":
    from rosa_ray.studies.compare.variants import ablation_variants, compare_variants, curve_variants, weight_variants

    model, loss, models = config.model, config.loss, config.study.models
    make: dict[str, Callable[[], list[Variant]]] = {
        "compare": lambda: compare_variants(models, model, loss),
        "ablate": lambda: ablation_variants(model, loss, config.pretrain.enabled),
        "weights": lambda: weight_variants(model, loss),
        "curve": lambda: curve_variants(models, model, loss, config.study.shares, config.training.epochs),
    }
    return make[kind]()


def _pairs(kind: str, variants: "list[Variant]", champion: str) -> list[tuple[str, str]]:
    from rosa_ray.studies.compare.variants import curve_pairs

    if kind == "curve":
        return curve_pairs(variants, champion)
    return [(champion, variant.name) for variant in variants if variant.name != champion]


def prepare(config: RunConfig, run_dir: RunDir) -> None:
    """Simulate and preprocess unless an earlier command did: studies of one run directory share its data.

    Raises:
        InputError: the data is of a log thinned otherwise.
        ConfigError: it was preprocessed with other behaviours.
    """
    from rosa_ray.data.user_rows import require_behaviors, require_keep_rate

    if exists(run_dir.data.spec):
        require_keep_rate(run_dir.data, config.preprocess.negative_keep_rate)
        require_behaviors(run_dir.data, config.features)
        return
    if not brings_impressions(config.source):
        simulate.run(config)
    preprocess.run(config)
