"""`rosa materialize`: encode every user and fill the online store."""

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from workloads.places import record_config, require_bundle_behaviors, store_of


def run(config: RunConfig) -> int:
    """Fill the store from the run's data and bundle; the same command again goes on where it stopped."""
    from rosa_ray.data.materialize import materialize

    require_bundle_behaviors(config)
    run_dir = record_config(config)
    with connected(config.ray):
        result = materialize(run_dir.data.root, run_dir.bundle, store_of(config), config.materialize)
    print(f"{result.store}: {result.users} users in {result.seconds:.1f} s")
    return 0
