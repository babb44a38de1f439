"""Settings of the Ray cluster a job runs on."""

from dataclasses import dataclass

from rosa_ray.errors import ConfigError


@dataclass(frozen=True)
class RayConfig:
    """Which Ray cluster to use.

    Attributes:
        address: `auto`, `host:port` or `ray://host:port`; `local` starts one for this command alone; empty takes
            `RAY_ADDRESS` from the environment, as under `ray job submit`, and starts a local one without it.
        num_cpus: logical CPUs of a local cluster; None for the number of cores. Workers that mostly wait (serving
            replicas, a training driver) may share a core.
        object_store_mb: shared memory of a local cluster; None for Ray's choice.
        dashboard: start the dashboard of a local cluster.

    Raises:
        ConfigError: a size is not positive.

    >>> RayConfig(num_cpus=0)
    Traceback (most recent call last):
    rosa_ray.errors.ConfigError: ray.num_cpus is 0; it must be at least 1, or null for the number of cores
    """

    address: str = ""
    num_cpus: int | None = None
    object_store_mb: int | None = None
    dashboard: bool = False

    def __post_init__(self) -> None:
        if self.num_cpus is not None and self.num_cpus < 1:
            raise ConfigError(
                f"ray.num_cpus is {self.num_cpus}; it must be at least 1, or null for the number of cores"
            )
        if self.object_store_mb is not None and self.object_store_mb < 80:
            raise ConfigError(f"ray.object_store_mb is {self.object_store_mb}; it must be at least 80, or null")
