"""`rosa evaluate`: measure the run's bundle on the test period."""

from rich.console import Console

from rosa_ray.config import RunConfig
from workloads.cluster import connected
from workloads.run_dir import RunDir, brings_impressions


def run(config: RunConfig) -> int:
    """Write predictions and metrics of the run, and print the metrics."""
    from rosa_ray.training.evaluate import evaluate, metrics_table

    run_dir = RunDir(config.run_dir)
    run_dir.record(config)
    log_dir = config.source.path if brings_impressions(config.source) else run_dir.log
    with connected(config.ray):
        metrics = evaluate(config=config.evaluation, data_dir=run_dir.data, log_dir=log_dir, run_dir=run_dir.root)
    Console().print(metrics_table(metrics))
    print(f"{run_dir.evaluation}/metrics.json: model {metrics['model_version']}")
    return 0


if __name__ == "__main__":
    from workloads.cli import run_as_job

    run_as_job("evaluate")
