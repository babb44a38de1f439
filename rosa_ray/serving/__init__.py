"""The ranking service: `POST /rank` and `POST /events` on Ray Serve, or in one process without it."""

from rosa_ray.serving.config import ServingConfig

__all__ = ["ServingConfig"]
