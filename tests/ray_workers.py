"""Kills worker processes of the tests' own Ray cluster, as a machine that goes away does."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


def worker_pids(title: str) -> list[int]:
    """Processes that Ray runs for this test run whose title holds a text, such as the name of a task or an actor."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            name = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if name.startswith("ray::") and title in name:
            found.append(process.pid)
    return found


def kill_worker(pid: int) -> bool:
    """Kill one process without notice; False where it was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def killing_workers(title: str, most: int, pause_s: float = 0.0) -> Iterator[list[int]]:
    """Kill workers of that title, at most so many, one every `pause_s`; yields their pids."""
    killed: list[int] = []
    over = threading.Event()

    def hunt() -> None:
        while not over.is_set() and len(killed) < most:
            for pid in worker_pids(title)[:1]:
                if kill_worker(pid):
                    killed.append(pid)
                    over.wait(pause_s)
            time.sleep(0.01)

    hunter = threading.Thread(target=hunt, daemon=True)
    hunter.start()
    try:
        yield killed
    finally:
        over.set()
        hunter.join()
