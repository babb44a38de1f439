"""Settings of the Ray cluster a job runs on."""

from typing import Annotated

from annotated_types import Ge, Unit

from rosa_ray.settings import section


@section("ray")
class RayConfig:
    """Which Ray cluster to use.

    >>> RayConfig(num_cpus=0)
    Traceback (most recent call last):
    rosa_ray.settings.fields.SettingError: ray.num_cpus is 0; it must be at least 1, or null
    """

    address: str = ""
    """`auto`, `host:port` or `ray://host:port`. `local` starts one for this command alone. Empty takes `RAY_ADDRESS`
    from the environment, as under `ray job submit`, and starts a local one without it."""
    num_cpus: Annotated[int, Ge(1)] | None = None
    """Logical CPUs of a local cluster. null takes the number of cores. Workers that mostly wait (serving replicas, a
    training driver) may share a core."""
    object_store_mb: Annotated[int, Ge(80), Unit("2^20 bytes")] | None = None
    """Shared memory of a local cluster. null leaves it to Ray."""
    dashboard: bool = False
    """Start the dashboard of a local cluster."""
