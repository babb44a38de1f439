"""`rosa evaluate`: measure the run's bundle on the test period."""

from rich.console import Console

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from workloads.places import record_config, require_bundle_behaviors, source_of


def run(config: RunConfig, *, every: bool = False) -> int:
    """Write predictions and metrics of the run, and print the first metrics or every one."""
    from rosa_ray.evaluation.evaluate import evaluate, findings, metrics_table
    from rosa_ray.evaluation.off_policy_table import off_policy_table

    require_bundle_behaviors(config)
    run_dir = record_config(config)
    with connected(config.ray):
        metrics = evaluate(
            config=config.evaluation,
            data_dir=run_dir.data.root,
            log_dir=source_of(config).path,
            run_dir=run_dir.root,
        )
    Console().print(metrics_table(metrics, every=every))
    estimated = off_policy_table(metrics["test"]) if every else None
    if estimated is not None:
        Console().print(estimated)
    for line in findings(metrics, every=every):
        print(line)
    rest = "" if every else "; --all prints every metric"
    print(f"{run_dir.evaluation.metrics}: model {metrics['model_version']}{rest}")
    return 0
