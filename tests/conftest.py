"""Fixtures that tests of several packages share: one Ray cluster for the whole run, and the real logs."""

import gc
import logging
import os
import resource
import threading

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before the first import of NumPy or torch

from collections.abc import Iterator
from pathlib import Path

import fastapi.dependencies.models
import pytest

from rosa_ray.cluster.connect import prepare_environment
from rosa_ray.cluster.token import require_token

prepare_environment()
require_token()
# One process opens many stores and services, each with handles of its own; common limits are 1,024.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_wanted = 65_536 if _hard == resource.RLIM_INFINITY else min(_hard, 65_536)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(_soft, _wanted), _hard))

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


MANY_THREADS = 30
"""More than a process of tests has by itself: services of tests that have ended are still there."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Let go of the services of a module once its tests have ended.

    FastAPI keeps the last four thousand endpoints in caches, and so every service that was asked. Each has a thread
    that asks its store for changes five times a second. Some hundred of them slow all later tests down tenfold.
    """
    if (nextitem is None or item.path != nextitem.path) and threading.active_count() > MANY_THREADS:
        for cached in vars(fastapi.dependencies.models).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()
        gc.collect()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray cluster of four logical CPUs, started once and shared by all integration tests."""
    import ray
    import ray.data  # its log goes to the stderr of now, and not to that of the first command under test

    from tests.fake_s3 import CLUSTER_PORT, s3_environment

    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_environment(CLUSTER_PORT).items():
            patch.setenv(name, value)
        ray.init(
            address="local", num_cpus=4, include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False
        )
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server of this run's own; stores in it tell themselves apart by their namespaces."""
    from tests.redis_server import redis_server

    with redis_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real logs beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real logs are not here: {SHARED_DATA} does not exist")
    return SHARED_DATA
