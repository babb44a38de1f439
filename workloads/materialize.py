"""`rosa materialize`: encode every user and fill the online store."""

import numpy as np

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL
from workloads.places import record_config, require_bundle_behaviors, store_of


def run(config: RunConfig) -> int:
    """Fill the store from the run's data and bundle; the same command again goes on where it stopped."""
    from rosa_ray.data.materialize import materialize

    require_bundle_behaviors(config)
    run_dir = record_config(config)
    with connected(config.ray):
        result = materialize(run_dir.data.root, run_dir.bundle, store_of(config), config.materialize)
    what = "users, states alone since the data is live," if result.refit else "users"
    print(f"{result.store}: {result.users} {what} in {result.seconds:.1f} s")
    if result.missing_us is None:
        return 0
    print(
        f"{result.store}: live records from the end of the log, {_utc(result.version.as_of_us)}, to "
        f"{_utc(result.missing_us)} are older than store.journal_days and missing; load a newer log"
    )
    return EXIT_PARTIAL


def _utc(time_us: int) -> str:
    return f"{np.datetime64(time_us, 'us').astype('datetime64[s]')}Z"
