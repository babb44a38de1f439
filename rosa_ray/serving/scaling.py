"""How many replicas each deployment has, and how Ray Serve starts, watches, replaces and ends them."""

from dataclasses import replace
from typing import Any

from ray.serve.config import BackpressureConfig

from rosa_ray.serving.config import ServingConfig

SURGE_PERCENT = 50
"""Replicas of a new version that may start beside all of the old one's: one where there are two."""
HEALTH_CHECK_PERIOD_S = 1.0
"""A replica that died is replaced after a second; a check costs the ranking of eight ads."""
CONSTRUCTOR_TRIES = 3
"""A model that cannot be loaded three times is refused; a store of bundles may fail once."""
DRAIN_S = 20.0
"""A replica that is replaced finishes its requests in this time; they take less, see `request_timeout_ms`."""


def with_replicas(config: ServingConfig, cpus: float, one_lookup: bool) -> ServingConfig:
    """Settle how many replicas there are where the settings leave it open (0).

    Two stand in for each other while one is killed or replaced. Two are taken where a third has room, as replacing
    needs it.

    Args:
        cpus: logical CPUs of the cluster.
        one_lookup: the graph has one lookup whatever the others have.

    >>> with_replicas(ServingConfig(cpus_per_replica=0.5), cpus=2, one_lookup=True).min_replicas
    2
    >>> with_replicas(ServingConfig(fused=False, cpus_per_replica=0.5), cpus=2, one_lookup=True).min_replicas
    1
    """
    fewest = config.min_replicas or (2 if room_for(config, 2, one_lookup) <= cpus else 1)
    return replace(config, min_replicas=fewest, max_replicas=max(config.max_replicas, fewest))


def room_for(config: ServingConfig, replicas: int, one_lookup: bool) -> float:
    """Logical CPUs that so many replicas of each deployment need while one of each is replaced."""
    return standing_cpus(config, replicas, one_lookup) + (1 if config.fused else 3) * config.cpus_per_replica


def standing_cpus(config: ServingConfig, replicas: int, one_lookup: bool) -> float:
    """Logical CPUs that so many replicas of each deployment need.

    >>> graph = ServingConfig(fused=False, cpus_per_replica=0.5)
    >>> standing_cpus(graph, 2, one_lookup=True), standing_cpus(graph, 2, one_lookup=False)
    (2.5, 3.0)
    """
    deployments = 1 if config.fused else 3
    alone = 1 if one_lookup and not config.fused else 0
    return (replicas * (deployments - alone) + alone) * config.cpus_per_replica


def lacking_cpus(config: ServingConfig, cpus: float, one_lookup: bool) -> str:
    """What a cluster lacks for all replicas to start, in words; empty where it lacks nothing.

    Args:
        config: of `with_replicas`.
        cpus: logical CPUs of the cluster.
    """
    wanted = standing_cpus(config, config.min_replicas, one_lookup)
    if wanted <= cpus:
        return ""
    return (
        f"serving.min_replicas {config.min_replicas} needs {wanted:g} CPUs and the cluster has {cpus:g}: "
        "the service waits for a node; lower serving.min_replicas or serving.cpus_per_replica, or raise ray.num_cpus"
    )


def deployment_options(config: ServingConfig) -> dict[str, Any]:
    """What Ray Serve is told of a deployment, but its name."""
    return {**_scaled(config), **_limits(config)}


def _limits(config: ServingConfig) -> dict[str, Any]:
    return {
        "max_ongoing_requests": config.max_ongoing_requests,
        "max_queued_requests": config.max_queued_requests,
        "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=config.retry_after_s),
        "max_surge_percent": SURGE_PERCENT,
        "max_constructor_retry_count": CONSTRUCTOR_TRIES,
        "graceful_shutdown_timeout_s": DRAIN_S,
        "graceful_shutdown_wait_loop_s": 0.5,
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": 30.0,
        "ray_actor_options": {"num_cpus": config.cpus_per_replica},
    }


def _scaled(config: ServingConfig) -> dict[str, Any]:
    if config.min_replicas == config.max_replicas:
        return {"num_replicas": config.min_replicas}
    autoscaling = {
        "min_replicas": config.min_replicas,
        "max_replicas": config.max_replicas,
        "target_ongoing_requests": config.target_ongoing_requests,
        "upscale_delay_s": 5.0,
        "downscale_delay_s": 120.0,
    }
    return {"autoscaling_config": autoscaling}
