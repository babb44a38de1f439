"""Processes of a tree that was started here: found by what they call themselves, and ended by their ids."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

from rosa_ray.chaos.case import Short

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def below(pid: int) -> list[psutil.Process]:
    """The processes that one started, and those that these started; empty where it is gone."""
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        return found
    except psutil.NoSuchProcess:
        return []


def called(processes: Iterable[psutil.Process], *names: str) -> list[psutil.Process]:
    """Those whose title or program holds one of the names."""
    found = []
    for process in processes:
        with suppress(*GONE):
            title = " ".join([process.name(), *process.cmdline()])
            if any(name in title for name in names) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def require(processes: list[psutil.Process], name: str) -> list[psutil.Process]:
    """The same, or the end of the case where there are none.

    Raises:
        Short: there is no such process.
    """
    if not processes:
        raise Short(f"there is no process '{name}' to end")
    return processes


def end_all(processes: Iterable[psutil.Process], patience_s: float = 10.0) -> None:
    """Kill processes and wait until they are gone."""
    alive = list(processes)
    for process in alive:
        with suppress(*GONE):
            process.kill()
    psutil.wait_procs(alive, timeout=patience_s)


def end_tree(pid: int, patience_s: float = 10.0) -> None:
    """Kill a process and all below it."""
    found = below(pid)
    with suppress(psutil.NoSuchProcess):
        found.append(psutil.Process(pid))
    end_all(found, patience_s)


def interrupt(pid: int) -> None:
    """Ask a process to end in order, as Ctrl-C does."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)


def wait_until(condition: Callable[[], bool], limit_s: float, step_s: float = 0.1) -> bool:
    """Ask again and again until something holds; False where it does not in time."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(step_s)
    return True


def listening(processes: Iterable[psutil.Process]) -> list[tuple[str, str, int]]:
    """Addresses that processes listen on: the program, the address, the port."""
    found = []
    for process in processes:
        with suppress(*GONE):
            name = process.name()
            held = process.net_connections("tcp")
            found += [(name, one.laddr.ip, one.laddr.port) for one in held if one.status == psutil.CONN_LISTEN]
    return sorted(set(found))
