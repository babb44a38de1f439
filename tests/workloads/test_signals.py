"""An end that is asked for is told, and handlers are as they were afterwards."""

import os
import signal
import threading

import pytest

from workloads.signals import interrupted_by_sigterm, stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event_and_its_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_signals() as stopped:
        assert not stopped.is_set()
        os.kill(os.getpid(), number)
        assert stopped.wait(5)
    assert signal.getsignal(number) is before


def test_another_thread_gets_an_event_that_nothing_sets() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stop_signals() as stopped:
            seen.append(stopped.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_sigterm_interrupts_as_ctrl_c_does_and_is_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupted_by_sigterm(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
