"""`rosa rollout`: replace the model of a running service, or go back to one that served before."""

import os
from dataclasses import replace
from pathlib import Path

import typer

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.errors import ConfigError, ServingError
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import is_remote, read_json
from workloads.places import service_settings


def run(config: RunConfig, to: str, back: bool, timeout_s: float) -> int:
    """Roll out the run's newest model, the model `to`, or with `back` what served before.

    Raises:
        ConfigError: both `to` and `back` are given.
        BundleError, StoreError, ServingError: nothing was replaced, or the former model serves again.
    """
    if to and back:
        raise ConfigError("--to and --back are both given; give one of them")
    with connected(replace(config.ray, address=_address(config))):
        from rosa_ray.serving.deployed import former_settings
        from rosa_ray.serving.rollout import roll_out
        from rosa_ray.serving.server import APPLICATION

        settings = replace(service_settings(config), model_version=to)
        if back:
            former = former_settings(APPLICATION)
            if former is None:
                raise ServingError("nothing is known that served before; name a model with --to")
            settings = replace(former, instance="")
        done = roll_out(settings, timeout_s, typer.echo)
    if done.seconds:
        typer.echo(
            f"model {done.former} -> {done.model_version} in {done.seconds:.1f} s; of {done.asked} rankings meanwhile "
            f"{done.failed} failed, {done.degraded} lacked a part"
        )
    return 0


def _address(config: RunConfig) -> str:
    """The Ray cluster that is named, else that of the run's `rosa serve`, else this machine's."""
    if named := config.ray.address or os.environ.get("RAY_ADDRESS", ""):
        return named
    noted = RunDir(config.run_dir).service
    if is_remote(noted) or not Path(noted).is_file():
        return "auto"
    return str(read_json(noted)["ray_address"])
