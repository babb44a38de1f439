"""`rosa materialize`: encode every user and fill the online store."""

from rosa_ray.config import RunConfig
from workloads.cluster import connected
from workloads.run_dir import RunDir


def run(config: RunConfig) -> int:
    """Fill the store from the run's data and bundle; the same command again goes on where it stopped."""
    from rosa_ray.data.materialize import materialize

    run_dir = RunDir(config.run_dir)
    run_dir.record(config)
    store = run_dir.store(config.store)
    with connected(config.ray):
        result = materialize(run_dir.data, run_dir.bundle, store, config.materialize)
    print(f"{result.store}: {result.users} users in {result.seconds:.1f} s")
    return 0


if __name__ == "__main__":
    from workloads.cli import run_as_job

    run_as_job("materialize")
