"""What a case works with that needs no running service: the copied run, a directory of its own, the command line."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rosa_ray.chaos.run_copy import RunCopy, copy_store
from rosa_ray.chaos.service import RosaProcess


@dataclass
class Bench:
    """Where one case is tried.

    Attributes:
        scratch: a directory of the case's own, empty.
        cleanups: called when the case has ended, however it ended; last first.
    """

    copy: RunCopy
    scratch: Path
    cleanups: list[Callable[[], object]] = field(default_factory=list)

    def store(self, name: str = "store.db") -> Path:
        """A copy of the run's store that the case may spoil."""
        return copy_store(self.copy.store, self.scratch / name)

    def command(self, verb: str, *options: str, **settings: object) -> list[str]:
        """A command of the copied run.

        Args:
            options: beside the config.
            settings: overrides, with `__` for the dot.
        """
        sets = [f"--set={name.replace('__', '.')}={_text(value)}" for name, value in settings.items()]
        return [*self.copy.rosa, verb, str(self.copy.config), *options, *sets]

    def start(self, command: Sequence[str], name: str, environment: Mapping[str, str] | None = None) -> RosaProcess:
        """Start a command; it is ended with the case at the latest."""
        process = RosaProcess(command, self.scratch / f"{name}.log", environment)
        self.cleanups.append(lambda: process.end(5.0))
        return process

    def run(
        self, command: Sequence[str], limit_s: float = 120.0, environment: Mapping[str, str] | None = None
    ) -> tuple[int | None, str]:
        """Run a command to its end; its exit code (None where it was cut off) and its output."""
        process = self.start(command, f"run-{len(self.cleanups)}", environment)
        code = process.wait(limit_s)
        process.end(5.0)
        return code, process.text

    def tidy(self) -> None:
        """Call the cleanups."""
        while self.cleanups:
            with suppress(Exception):
                self.cleanups.pop()()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def mount_tmpfs(place: Path, megabytes: int) -> str:
    """Mount a file system of a fixed size; the reason where this machine does not let us."""
    place.mkdir(parents=True, exist_ok=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place)]
    return _try(options)


def remount(place: Path, how: str) -> str:
    """Remount a file system, such as `ro`; the reason where that fails."""
    return _try(["mount", "-o", f"remount,{how}", str(place)])


def unmount(place: Path) -> None:
    """Unmount, also while something is open there."""
    _try(["umount", "-l", str(place)])


def _try(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
