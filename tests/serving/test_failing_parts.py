"""A part that fails is said in the log: at once, once a minute, and when it is well again."""

import pytest

from rosa_ray.errors import StoreError
from rosa_ray.serving.telemetry import Telemetry


def test_a_dead_store_is_said_once_a_minute_and_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, now_s = Telemetry(), [0.0]
    telemetry.now_s = lambda: now_s[0]  # type: ignore[method-assign]
    for second in range(150):
        now_s[0] = float(second)
        telemetry.failed("store", StoreError("gone"))
        telemetry.ranked(0.01, 10, 1.0, ["store"])
    assert caplog.messages == [
        "store unavailable: StoreError: gone; 1 failures so far",
        "store unavailable: StoreError: gone; 61 failures so far",
        "store unavailable: StoreError: gone; 121 failures so far",
    ]
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    telemetry.ranked(0.01, 10, 1.0, [])
    assert caplog.messages[3:] == ["store is well again after 150 failures"]
    telemetry.failed("store", StoreError("gone"))
    assert caplog.messages[4:] == ["store unavailable: StoreError: gone; 1 failures so far"]


def test_a_ranking_without_the_encoder_says_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    telemetry.failed("encoder", TimeoutError())
    telemetry.ranked(0.01, 10, 1.0, [])
    assert len(caplog.messages) == 1
    telemetry.ranked(0.01, 10, 0.0, [])
    assert caplog.messages[1:] == ["encoder is well again after 1 failures"]
