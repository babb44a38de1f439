"""An S3 endpoint in a process of its own, which may be paused: moto, for runs that lie on `s3://`."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rosa_ray.chaos import processes
from rosa_ray.chaos.case import NotHere
from rosa_ray.chaos.tcp_delay import free_port

BUCKET = "chaos"

_SERVER = """
import sys
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


class ObjectStore:
    """An endpoint with one empty bucket.

    Raises:
        NotHere: moto is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("moto") is None:
            raise NotHere("moto, which stands in for S3, is not installed")
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if not processes.wait_until(self._make_bucket, 30.0, 0.3):
            self.stop()
            raise NotHere("moto, which stands in for S3, did not start")

    @property
    def environment(self) -> dict[str, str]:
        """What points a process at it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",  # pragma: allowlist secret
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, folder: Path, name: str) -> None:
        """Upload all files of a folder below a name."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                key = f"{name}/{file.relative_to(folder).as_posix()}"
                self._client().put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())

    def pause(self) -> None:
        """SIGSTOP: connections are taken, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, paused or not."""
        self.process.kill()
        self.process.wait(10.0)

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        environment = self.environment
        return boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
            config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
        )

    def _make_bucket(self) -> bool:
        from botocore.exceptions import BotoCoreError

        try:
            self._client().create_bucket(Bucket=BUCKET)
        except BotoCoreError:
            return False
        return True
