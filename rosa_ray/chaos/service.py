"""A service in processes of its own: `rosa serve` as a user starts it, and the doors through which it is changed."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from rosa_ray.chaos import processes
from rosa_ray.chaos.case import Short

READY = re.compile(r"(?P<url>http://\S+:\d+): model (?P<model>\S+), ready after")
START_LIMIT_S = 180.0
STOP_LIMIT_S = 45.0
_AUTH = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


class RosaProcess:
    """One call of the command line, its output kept in a file.

    Args:
        command: with its arguments.
        log: where its output goes.
        environment: variables beside those of this process.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command, self.log = tuple(command), log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **(environment or {})},
                start_new_session=True,
            )
        threading.Thread(target=self.process.wait, daemon=True).start()

    @property
    def text(self) -> str:
        """Its output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def last_line(self) -> str:
        """The last line of its output, cut."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else "no output"

    def tree(self) -> list[psutil.Process]:
        """The processes below it."""
        return processes.below(self.process.pid)

    def wait(self, limit_s: float) -> int | None:
        """Its exit code; None where it did not end in time."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(limit_s)
        return None

    def end(self, patience_s: float = STOP_LIMIT_S) -> None:
        """Ask it to end, and kill what is left of it."""
        left = self.tree()
        if self.running:
            processes.interrupt(self.process.pid)
            self.wait(patience_s)
        processes.end_tree(self.process.pid)
        processes.end_all([one for one in left if one.is_running()])


class Service(RosaProcess):
    """`rosa serve`, from its start until it is ended.

    Attributes:
        url: where it answers; empty before `wait_ready`.
        model_version: that it named when it was ready.
        seconds: from the start until it was ready.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(command, log, environment)
        self.url, self.model_version, self.seconds = "", "", 0.0

    def wait_ready(self, limit_s: float = START_LIMIT_S) -> "Service":
        """Wait until it says that it is ready.

        Raises:
            Short: it ended before, or was not ready in time.
        """
        began_s = time.monotonic()
        while (ready := READY.search(self.text)) is None:
            if not self.running:
                raise Short(f"the service did not start: {self.last_line()}")
            if time.monotonic() - began_s > limit_s:
                raise Short(f"the service was not ready after {limit_s:g} s: {self.last_line()}")
            time.sleep(0.1)
        self.url, self.model_version, self.seconds = ready["url"], ready["model"], time.monotonic() - began_s
        return self

    @property
    def port(self) -> int:
        """The port that it answers on."""
        return int(self.url.rpartition(":")[2])

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Processes of the replicas of a deployment.

        Raises:
            Short: there are none.
        """
        return processes.require(processes.called(self.tree(), f"ServeReplica:rosa:{deployment}"), deployment)

    def parts(self, *names: str) -> list[psutil.Process]:
        """Processes by their titles.

        Raises:
            Short: there are none.
        """
        return processes.require(processes.called(self.tree(), *names), names[0])

    @property
    def ray_address(self) -> str:
        """Address of its Ray cluster.

        Raises:
            Short: its Ray is not there.
        """
        for raylet in self.parts("raylet"):
            for argument in raylet.cmdline():
                if argument.startswith("--gcs-address="):
                    return str(argument.partition("=")[2])
        raise Short("the service's Ray has no address")

    @property
    def ray_logs(self) -> Path:
        """Directory of the logs of its Ray.

        Raises:
            Short: its Ray is not there.
        """
        for raylet in self.parts("raylet"):
            if found := re.search(r"(?P<session>/\S*/session_[^/\s]+)", " ".join(raylet.cmdline())):
                return Path(found["session"]) / "logs"
        raise Short("the service's Ray keeps no logs")

    @property
    def ray_environment(self) -> dict[str, str]:
        """What another command needs to be let into its Ray cluster, as its owner has it."""
        environment = self.parts("raylet")[0].environ()
        return {name: environment[name] for name in _AUTH if name in environment}

    def readiness(self, timeout_s: float = 5.0) -> tuple[int, str]:
        """Status and reason of `GET /readyz`; 0 where nobody answers."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=timeout_s, trust_env=False)
        except httpx.HTTPError as error:
            return 0, type(error).__name__
        with suppress(ValueError):
            return answer.status_code, str(answer.json().get("detail", ""))
        return answer.status_code, answer.text[:200]

    def is_whole(self, user_id: str) -> bool:
        """Whether it is ready, and ranks for a known user by its own model with all its parts."""
        body = {"user_id": user_id, "top_k": 1}
        try:
            answer = httpx.post(f"{self.url}/rank", json=body, timeout=5.0, trust_env=False)
        except httpx.HTTPError:
            return False
        if answer.status_code != 200 or not self.is_ready():
            return False
        told = answer.json()
        return not told["degraded"] and told["user_known"] and told["model_version"] == self.model_version

    def is_ready(self) -> bool:
        """Whether `GET /readyz` says so."""
        return self.readiness()[0] == 200
