"""Where refused records go: JSON lines with the reason, in files of bounded size."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rosa_ray.errors import StreamError

MAX_RAW_BYTES = 2048
"""Of a record that is kept beside its reason."""


@dataclass(frozen=True)
class DeadLetter:
    """One refused record.

    Attributes:
        reason: of `rosa_ray.records.REASONS`.
        detail: what exactly was wrong, in one line.
        stream, offset: where it stood; for HTTP `http` and its position in the body.
        raw: the record as it came; None keeps it out of the file.
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
    """Appends to `NAME.jsonl` in a directory; a full file becomes `NAME.1.jsonl` in place of the one before.

    A letter may stand twice when its consumer was killed before it could note its position.

    Args:
        directory: made when the first letter is written.
        max_bytes: of both files together.
    """

    def __init__(self, directory: str | Path, name: str = "records", max_bytes: int = 64_000_000) -> None:
        self._path = Path(directory) / f"{name}.jsonl"
        self._max_bytes = max_bytes

    def write(self, letters: Iterable[DeadLetter]) -> None:
        """Append letters.

        Raises:
            StreamError: the directory cannot be written.
        """
        now = datetime.now(UTC)
        lines = b"".join([letter.to_json(now) for letter in letters])
        if not lines:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as handle:
                handle.write(lines)
                full = handle.tell() > self._max_bytes // 2
            if full:
                os.replace(self._path, self._path.with_suffix(".1.jsonl"))
        except OSError as error:
            raise StreamError(f"dead letters {self._path}: cannot be written: {error.strerror or error}") from error
