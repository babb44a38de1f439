"""An S3 endpoint on this machine, for tests that read or write `s3://`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def fake_s3(monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator[Any]:
    """Serve a new empty bucket with moto, point the environment at it, and yield its s3fs file system."""
    server_module = pytest.importorskip("moto.server", reason="moto stands in for S3")
    s3fs = pytest.importorskip("s3fs", reason="s3fs reads s3:// paths")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.get_host_and_port()[1]}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
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
