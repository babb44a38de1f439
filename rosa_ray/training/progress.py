"""Epoch records from the training controller to the driver: one appends JSON lines, the other follows the file.

Ray Train runs its callbacks in the controller process, which it places on the driver's machine, and `fit` blocks the
driver. Followed this way, progress and experiment tracking live in one process, the one the user started.
"""

import json
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.train.v2.api.callback import UserCallback

_POLL_S = 0.2


class EpochCallback(UserCallback):
    """Appends what rank 0 reports to a file.

    Args:
        path: of the file, on the driver's machine.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        with open(self._path, "a") as handle:
            handle.write(json.dumps(metrics[0]) + "\n")


class EpochFeed:
    """Calls back, on a thread of the driver, with every record that arrives; the last ones when it is left.

    >>> seen = []
    >>> with EpochFeed(seen.append) as feed:
    ...     EpochCallback(feed.path).after_report(None, [{"epoch": 1}], None)
    >>> seen
    [{'epoch': 1}]
    """

    def __init__(self, on_epoch: Callable[[dict[str, Any]], None]) -> None:
        self._on_epoch = on_epoch
        self._folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self._folder.name) / "epochs.jsonl")
        self._offset = 0
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "EpochFeed":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        self._read()
        self._folder.cleanup()

    def _follow(self) -> None:
        while not self._left.wait(_POLL_S):
            self._read()

    def _read(self) -> None:
        path = Path(self.path)
        if not path.exists():
            return
        with path.open() as handle:
            handle.seek(self._offset)
            while (line := handle.readline()).endswith("\n"):
                self._offset = handle.tell()
                self._on_epoch(json.loads(line))
