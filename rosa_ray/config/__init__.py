"""YAML and `--set a.b=value` become one frozen configuration; each component gets only its own part of it."""

from rosa_ray.cluster.config import RayConfig
from rosa_ray.config.compose import Tagged, compose, dump, to_plain
from rosa_ray.config.load import profile_names
from rosa_ray.config.root import RunConfig, load_config

__all__ = ["RayConfig", "RunConfig", "Tagged", "compose", "dump", "load_config", "profile_names", "to_plain"]
