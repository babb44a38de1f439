"""Keeps the HTTP proxy answering: a HAProxy that dies is started again at once, and one whose manager died goes on.

Ray starts HAProxy by this program, see `own_proxy`. It leaves a keeper behind, one for each node, and becomes HAProxy.
Ray replaces a dead HAProxy seconds later, together with the actor that manages it. Meanwhile the keeper's own HAProxy
answers, with the routes of the last config. Ray's next one takes the open port over from it.

The keeper ends with the Ray node, or with Serve. It needs the standard library alone.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

PIDS, LAST, KEPT, LOCK = "haproxy.pids", "last.cfg", "kept.cfg", "keeper.lock"
"""Beside the config: processes that Ray started, the last config with routes, the keeper's own config, its lock."""
RESTARTS = 100
"""A HAProxy that dies more often between two of Ray's is left alone."""
POLL_S = 0.2
UNCLAIMED_S = 30.0
"""What the keeper started ends after this time, where Ray's next HAProxy has not come."""


def prepare(config: Path, arguments: Sequence[str]) -> list[str]:
    """Return HAProxy's arguments, with those that let it take an open port over from a HAProxy that Ray has lost.

    A config without routes is one of a manager that has just started, or one after the last application was deleted. In
    the first case the routes known last stand in until it hears of them.

    Args:
        config: which HAProxy is about to read.
        arguments: as Ray gives them; with `-sf` they are of a reload.
    """
    folder, text = config.parent, config.read_text()
    last, is_reload = folder / LAST, "-sf" in arguments
    if "\n    use_backend " in text:
        _write(last, text)
    elif is_reload:
        last.unlink(missing_ok=True)
    elif last.exists() and door(last.read_text()) == door(text):
        _write(config, last.read_text())
    lost = [] if is_reload else lost_proxies(config)
    return [*arguments, *_take_over(folder, text, lost)]


def door(config: str) -> tuple[str, int] | None:
    r"""Address and port that a config listens on for requests.

    >>> door("frontend http_frontend\n    bind *:8000\n"), door("global\n")
    (('127.0.0.1', 8000), None)
    """
    found = re.search(r"\nfrontend http_frontend\n    bind (\S+):(\d+)", f"\n{config}")
    if found is None:
        return None
    return found[1].replace("*", "127.0.0.1"), int(found[2])


def lost_proxies(config: Path) -> list[int]:
    """Processes of HAProxy that read this config or the keeper's, and that no manager knows any more."""
    known = [pid for pid in read_pids(config.parent) if pid != os.getpid()]
    return [pid for pid in known if runs(pid, (config, config.parent / KEPT))]


def _take_over(folder: Path, config: str, lost: Sequence[int]) -> list[str]:
    if not lost:
        return []
    kept = folder / "kept.sock"
    admin = re.search(r"\n    stats socket (\S+)", config)
    sockets = [str(kept), *([admin[1]] if admin else [])]
    answering = next((path for path in sockets if _answers_on(path)), None)
    return ["-sf", *map(str, lost), *(["-x", answering] if answering else [])]


def _answers_on(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as asked, suppress(OSError):
        asked.settimeout(1)
        asked.connect(path)
        return True
    return False


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def read_pids(folder: Path) -> list[int]:
    """Processes of HAProxy that were started here, in order."""
    try:
        return [int(line) for line in (folder / PIDS).read_text().split()]
    except FileNotFoundError:
        return []


def note_pid(config: Path, pid: int) -> None:
    """Note a process of HAProxy; those that have ended are forgotten."""
    alive = [one for one in read_pids(config.parent) if runs(one, (config, config.parent / KEPT))]
    _write(config.parent / PIDS, "".join(f"{one}\n" for one in [*alive, pid]))


def runs(pid: int, configs: Iterable[Path]) -> bool:
    """Whether a process is a HAProxy that reads one of these configs, and has not ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(str(config).encode() in words for config in configs)


class Keeper:
    """Watches the HAProxy that Ray started last, and stands in for it.

    Args:
        config: of Ray's HAProxy.
        binary: HAProxy.
        raylet: process of the Ray node; the keeper ends with it.
    """

    def __init__(self, config: Path, binary: str, raylet: int) -> None:
        self.config, self.folder, self.binary, self.raylet = config, config.parent, binary, raylet
        self._started: list[subprocess.Popen[bytes]] = []
        self._stands_in, self._since_s, self._restarts = 0, 0.0, 0
        self._on_head = self._has_controller()

    def keep(self) -> None:
        """Watch until the Ray node or Serve has ended."""
        while self.folder.exists() and _is_alive(self.raylet):
            newest = read_pids(self.folder)[-1:]
            _wait_for_end([self.raylet, *newest], POLL_S)
            self._started = [one for one in self._started if one.poll() is None]
            if not self._stands() and not self._stand_in():
                break
            if self._stands_in and self._is_over():
                break
        self._end()

    def _stands(self) -> bool:
        """Whether the HAProxy that was started last still runs, Ray's or the keeper's own."""
        newest = read_pids(self.folder)[-1:]
        if newest and runs(newest[0], [self.config]):
            self._stands_in, self._restarts = 0, 0
            return True
        return not newest or (newest[0] == self._stands_in and runs(newest[0], [self.folder / KEPT]))

    def _stand_in(self) -> bool:
        """Start a HAProxy unless somebody listens; False where it is of no use any more."""
        self._on_head = self._on_head or self._has_controller()
        text = self._routes()
        address = door(text) if text else None
        if address is None or _listens(address):
            time.sleep(POLL_S)
            return True
        if self._restarts >= RESTARTS:
            return False
        self._restarts += 1
        _write(self.folder / KEPT, _own_config(text, self.folder))
        command = [self.binary, "-db", "-f", str(self.folder / KEPT), "-dR"]
        self._started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self._stands_in, self._since_s = self._started[-1].pid, time.monotonic()
        note_pid(self.config, self._stands_in)
        return True

    def _routes(self) -> str:
        for name in (LAST, self.config.name):
            with suppress(OSError):
                return (self.folder / name).read_text()
        return ""

    def _is_over(self) -> bool:
        """Whether nobody will come for what the keeper started: Serve has ended, or a manager does not return."""
        if time.monotonic() - self._since_s > UNCLAIMED_S:
            return True
        return self._on_head and not self._has_controller()

    def _has_controller(self) -> bool:
        return any(b"ray::ServeController" in words for words in _children(self.raylet))

    def _end(self) -> None:
        for pid in lost_proxies(self.config):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        (self.folder / LAST).unlink(missing_ok=True)


def _own_config(text: str, folder: Path) -> str:
    """A config whose admin socket is the keeper's own: Ray must not take its own HAProxy for alive."""
    return re.sub(r"(\n    stats socket )\S+", rf"\1{folder}/kept.sock", text, count=1)


def _listens(address: tuple[str, int]) -> bool:
    with suppress(OSError):
        socket.create_connection(address, timeout=1).close()
        return True
    return False


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(parent: int) -> Iterable[bytes]:
    """Command lines of the children of a process."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, IndexError):
                if int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    yield Path(f"/proc/{entry}/cmdline").read_bytes()


def _wait_for_end(pids: Iterable[int], timeout_s: float) -> None:
    """Wait until one of these processes has ended, or for a time."""
    opened = []
    poll = select.poll()
    for pid in pids:
        with suppress(OSError):
            opened.append(os.pidfd_open(pid))
            poll.register(opened[-1], select.POLLIN)
    try:
        poll.poll(1000 * timeout_s)
    finally:
        for one in opened:
            os.close(one)


def start_keeper(config: Path, binary: str, raylet: int) -> None:
    """Leave a keeper behind, which outlives this process and its group; one that is there already stays."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    if not os.fork():
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nothing, standard)
        os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, "--keep", str(config), binary, str(raylet)])
    os._exit(0)


def keep(config: Path, binary: str, raylet: int) -> None:
    """Be the keeper, unless there is one."""
    with (config.parent / LOCK).open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return
        Keeper(config, binary, raylet).keep()


def main(binary: str, arguments: Sequence[str]) -> None:
    """Become HAProxy, kept; without a Ray node to end with, just become HAProxy."""
    raylet = os.environ.get("RAY_RAYLET_PID", "")
    if "-f" in arguments and raylet.isdigit() and hasattr(os, "pidfd_open"):
        config = Path(arguments[arguments.index("-f") + 1])
        arguments = prepare(config, arguments)
        with suppress(PermissionError):
            os.setsid()
        note_pid(config, os.getpid())
        start_keeper(config, binary, int(raylet))
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    if sys.argv[1] == "--keep":
        keep(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main(sys.argv[1], sys.argv[2:])
