"""Where refused records go: JSON lines with the reason, in files of bounded size."""

import fcntl
import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rosa_ray.errors import RosaError, StreamAwayError
from rosa_ray.storage import is_remote, remove_tree, write_bytes

MAX_RAW_BYTES = 16_384
"""Of a record that is kept beside its reason."""

OFF = "off"
"""Instead of a directory: nothing is kept."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """One refused record.

    Attributes:
        reason: of `rosa_ray.records.REASONS`.
        detail: what exactly was wrong, in one line.
        stream, offset: where it stood; for HTTP `http` and its position in the body.
        raw: the record as it came; None keeps it out of the file, and it cannot be sent again from there.
    """

    reason: str
    detail: str
    stream: str
    offset: int
    raw: bytes | None = None

    def to_json(self, now: datetime) -> bytes:
        """One line, the record cut to `MAX_RAW_BYTES` and broken UTF-8 replaced."""
        line = {
            "time": now.isoformat(timespec="seconds"),
            "reason": self.reason,
            "detail": self.detail,
            "stream": self.stream,
            "offset": self.offset,
        }
        if self.raw is not None:
            line["bytes"] = len(self.raw)
            line["record"] = self.raw[:MAX_RAW_BYTES].decode("utf-8", "replace")
        return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


class DeadLetters:
    """Keeps letters in a directory, or on an object store.

    A letter may stand twice when its consumer was killed before it could note its position. Processes may write the
    same file: they take turns.

    In a directory they are appended to `NAME.jsonl`. A full file becomes `NAME.1.jsonl` in place of the one before.
    On an object store each write is an object of its own, and a writer removes its oldest.

    Args:
        directory: made when the first letter is written; or a URL. `off` keeps no letters.
        max_bytes: of both files together, or of the objects of this writer.
    """

    def __init__(self, directory: str | Path, name: str = "records", max_bytes: int = 64_000_000) -> None:
        self._root, self._name, self._max_bytes = str(directory), name, max_bytes
        self._objects: deque[tuple[str, int]] = deque()

    def write(self, letters: Iterable[DeadLetter]) -> None:
        """Append letters.

        Raises:
            StreamAwayError: the directory cannot be written now; nothing was.
        """
        now = datetime.now(UTC)
        lines = b"".join([letter.to_json(now) for letter in letters])
        if not lines or self._root == OFF:
            return
        try:
            self._put(lines) if is_remote(self._root) else self._append(lines)
        except (OSError, RosaError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StreamAwayError(f"dead letters {self._root}: cannot be written: {reason}") from error

    def _append(self, lines: bytes) -> None:
        path = Path(self._root) / f"{self._name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(path.parent), path.open("ab", buffering=0) as handle:
            start = handle.tell()
            try:
                left = memoryview(lines)
                while left:
                    left = left[handle.write(left) :]
            except OSError:
                handle.truncate(start)
                raise
            if handle.tell() > self._max_bytes // 2:
                full = path.with_suffix(".1.jsonl")
                if full.exists():
                    logger.warning("dead letters %s: full, the oldest %d bytes are gone", path, full.stat().st_size)
                path.replace(full)

    def _put(self, lines: bytes) -> None:
        path = f"{self._root.rstrip('/')}/{self._name}-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"
        write_bytes(lines, path)
        self._objects.append((path, len(lines)))
        while sum(size for _, size in self._objects) > self._max_bytes:
            oldest, size = self._objects.popleft()
            logger.warning("dead letters %s: full, the oldest %d bytes are gone", self._root, size)
            remove_tree(oldest)


@contextmanager
def one_at_a_time(directory: Path) -> Iterator[None]:
    """Keep other processes from writing letters to a directory meanwhile."""
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
