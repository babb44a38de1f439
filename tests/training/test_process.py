import subprocess
import sys

import pytest
import torch

from rosa_ray.training.process import KEPT_BYTES, keep_freed_memory, prepare_process

FREED = """
import ctypes, torch
from rosa_ray.training.process import keep_freed_memory
if {keep}: assert keep_freed_memory()
def pages():
    return int(open("/proc/self/statm").read().split()[1])
small = [torch.ones(1 << 20) for _ in range(64)]  # 4 MB each
held = pages()
del small
print(pages() / held)
"""


def kept_share(keep: bool) -> float:
    """Memory of a fresh process after it has freed 256 MB, over that before."""
    command = [sys.executable, "-W", "ignore", "-c", FREED.format(keep=keep)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    assert KEPT_BYTES > 64 * 4 << 20
    assert kept_share(keep=True) > 0.95
    assert kept_share(keep=False) < 0.8


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_torch_gets_its_threads() -> None:
    before = torch.get_num_threads()
    try:
        prepare_process(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
