"""Local copies of remote bundles: damaged ones are fetched again, and those that nobody uses any more go."""

import os
import shutil
import time
import uuid
from pathlib import Path

COPIES = 5
"""Copies that stay whether they are used or not."""
UNUSED_S = 24 * 3600
"""Further copies, and what broken-off fetches left, go once they were not opened for this long."""


def mark_used(copy: Path) -> None:
    """Note that a copy is opened now."""
    try:
        os.utime(copy)
    except OSError:  # it belongs to the cache of another user, or was removed this moment
        return


def discard(copy: Path) -> None:
    """Remove a copy, at once for whoever opens it next."""
    aside = copy.with_name(f".gone-{uuid.uuid4().hex}")
    try:
        copy.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def prune(folder: Path, now_s: float | None = None) -> None:
    """Remove copies that were not opened for long, but for the last few.

    Args:
        now_s: the clock, seconds since 1970.
    """
    oldest_s = (time.time() if now_s is None else now_s) - UNUSED_S
    used = {path: path.stat().st_mtime for path in folder.iterdir() if path.is_dir()}
    copies = sorted((path for path in used if not path.name.startswith(".")), key=lambda path: used[path])
    for path in [*copies[:-COPIES], *(path for path in used if path.name.startswith("."))]:
        if used[path] < oldest_s:
            shutil.rmtree(path, ignore_errors=True)
