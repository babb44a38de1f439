"""What a process does once before it trains: its threads, and freed memory that it keeps.

A step of training takes and frees arrays of many megabytes. glibc gives those back to the system at once, and takes
them anew, page by page, in the next step. `benchmarks/kept_memory.py` measures what that costs.
"""

import ctypes
import sys

import torch

KEPT_BYTES = 1 << 30
"""Freed memory that the process may keep at the top of its heap."""

SMALL_BYTES = 32 << 20
"""Arrays up to this size come from the heap, and not each from the system: the most that every glibc takes."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of settings in glibc's `malloc.h`, see mallopt(3)."""


def prepare_process(threads: int) -> None:
    """Give torch its threads, and let the process keep the memory that it frees, where the C library can."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory; returns whether it does. Other C libraries are left as they are."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, SMALL_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, KEPT_BYTES))
