"""How s3fs is used here: retries, timeouts, and no cache of listings."""

import os
from collections.abc import Mapping
from typing import Any

import fsspec.config

ATTEMPTS = 4
"""Tries of a request that botocore holds to be worth repeating (throttling, 5xx, broken connections), with backoff."""

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60


def defaults(environment: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of s3fs where the user's own fsspec configuration says nothing.

    Listings are not cached: other processes write what this one looks for. `AWS_RETRY_MODE` and `AWS_MAX_ATTEMPTS` of
    the environment win.

    >>> defaults({"AWS_MAX_ATTEMPTS": "9"})["config_kwargs"]["retries"]
    {'mode': 'standard'}
    """
    retries: dict[str, Any] = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    for name, variable in (("mode", "AWS_RETRY_MODE"), ("total_max_attempts", "AWS_MAX_ATTEMPTS")):
        if variable in environment:
            del retries[name]
    timeouts = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S}
    return {"use_listings_cache": False, "config_kwargs": {"retries": retries, **timeouts}}


def use_defaults() -> None:
    """Make them fsspec's defaults for `s3://` in this process."""
    for protocol in ("s3", "s3a"):
        fsspec.config.conf[protocol] = {**defaults(os.environ), **fsspec.config.conf.get(protocol, {})}


def bucket_of(path: str) -> str:
    """Bucket of an S3 URL.

    >>> bucket_of("s3://logs/raw/a.csv")
    'logs'
    """
    return path.split("://", 1)[-1].split("/", 1)[0]


def is_s3(path: str) -> bool:
    """Whether a path is an S3 URL."""
    return path.startswith(("s3://", "s3a://"))
