"""`rosa serve`: answer `POST /rank` from the run's bundle and store until interrupted."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rosa_ray.config import RunConfig
from workloads.cluster import connected
from workloads.run_dir import RunDir
from workloads.signals import stop_signals

if TYPE_CHECKING:
    from rosa_ray.serving.parts import ServiceSettings


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
    from rosa_ray.serving.parts import ServiceSettings

    run_dir = RunDir(config.run_dir)
    letters = config.serving.dead_letters or run_dir.stream(config.stream).dead_letters
    serving = replace(config.serving, dead_letters=letters)
    return ServiceSettings(run_dir.bundle, run_dir.store(config.store), serving, config.privacy).absolute()


if __name__ == "__main__":
    from workloads.cli import run_as_job

    run_as_job("serve")
