"""`rosa serve`: answer `POST /rank` from the run's bundle and store until interrupted."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.run_dir import RunDir
from workloads.places import store_of, stream_of
from workloads.signals import stop_signals

if TYPE_CHECKING:
    from rosa_ray.serving.assembly import ServiceSettings


def run(config: RunConfig) -> int:
    """Serve until SIGINT or SIGTERM."""
    from rosa_ray.serving.server import running

    with connected(config.ray), running(settings_of(config)) as service, stop_signals() as stopped:
        print(f"{service.url}: model {service.model_version}, ready after {service.seconds:.1f} s; Ctrl-C stops it")
        print(f"{service.url}/docs: the interface, with examples", flush=True)
        stopped.wait()
    return 0


def settings_of(config: RunConfig) -> "ServiceSettings":
    """What the service needs to know of a run."""
    from rosa_ray.serving.assembly import ServiceSettings

    letters = config.serving.dead_letters or stream_of(config).dead_letters
    serving = replace(config.serving, dead_letters=letters)
    return ServiceSettings(RunDir(config.run_dir).bundle, store_of(config), serving, config.privacy).absolute()
