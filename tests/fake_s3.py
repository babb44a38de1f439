"""An S3 endpoint on this machine, for tests that read or write `s3://`."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


CLUSTER_PORT = free_port()
"""Where the Ray cluster of the integration tests looks for S3: its processes keep the environment they started with."""


def s3_environment(port: int) -> dict[str, str]:
    """Variables that point a process at the server on a port."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",  # pragma: allowlist secret
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextmanager
def fake_s3(monkeypatch: pytest.MonkeyPatch, bucket: str, port: int = 0) -> Iterator[Any]:
    """Serve a new empty bucket with moto, point the environment at it, and yield its s3fs file system."""
    server_module = pytest.importorskip("moto.server", reason="moto stands in for S3")
    s3fs = pytest.importorskip("s3fs", reason="s3fs reads s3:// paths")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    for name, value in s3_environment(server.get_host_and_port()[1]).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    file_system = s3fs.S3FileSystem()
    if file_system.exists(bucket):
        file_system.rm(bucket, recursive=True)
    file_system.mkdir(bucket)
    try:
        yield file_system
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
