"""A clock that jumps: steps back are ridden out, the mending of a clock that was ahead is followed."""

import pickle

import pytest

from rosa_ray.records import RecordParser
from rosa_ray.records.clock import SteadyClock
from tests.streaming.test_consumer import ADS, event

HOUR_S = 3600.0
NOON_S = 1_769_860_800.0  # 2026-01-31T12:00:00Z


class Machine:
    """Its clock and its uptime."""

    def __init__(self) -> None:
        self.wall_s, self.up_s = NOON_S, 10.0

    def pass_by(self, seconds: float) -> None:
        self.wall_s += seconds
        self.up_s += seconds

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall_s, lambda: self.up_s)


@pytest.mark.parametrize("back_s", [1.0, 600.0, 23 * HOUR_S])
def test_a_step_back_is_ridden_out_until_the_clock_is_there_again(back_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock() == NOON_S * 1e6
    machine.pass_by(60)
    machine.wall_s -= back_s
    assert clock() == pytest.approx((NOON_S + 60) * 1e6)
    machine.pass_by(60)
    assert clock() == pytest.approx((NOON_S + 120) * 1e6)
    machine.wall_s = NOON_S + 130
    assert clock() == pytest.approx((NOON_S + 130) * 1e6)


def test_a_step_ahead_is_followed_and_so_is_its_mending_when_it_was_long() -> None:
    machine = Machine()
    clock = machine.clock()
    clock()
    machine.wall_s += 365 * 24 * HOUR_S
    assert clock() == pytest.approx(machine.wall_s * 1e6)
    machine.wall_s = NOON_S
    assert clock() == pytest.approx(NOON_S * 1e6)


def test_records_of_now_are_taken_while_the_clock_is_behind() -> None:
    machine = Machine()
    parser = RecordParser(ADS, now_us=machine.clock())
    now = event(1, event_time="2026-01-31T12:00:00Z")
    assert len(parser.parse_lines([now]).rows) == 1
    machine.wall_s -= HOUR_S
    assert len(parser.parse_lines([now]).rows) == 1
    (refused,) = parser.parse_lines([event(2, event_time="2026-01-31T12:06:00Z")]).refusals
    assert refused.reason == "future"


def test_a_parser_travels_to_other_processes_with_its_clock() -> None:
    assert isinstance(pickle.loads(pickle.dumps(RecordParser(ADS))).now_us, SteadyClock)
