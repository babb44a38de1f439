"""Load is what others take of the places, or what the encoder takes of its deadline, whichever is more."""

import pytest

from rosa_ray.serving.load import HALF_LIFE_S, LoadMeter


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> LoadMeter:
    return LoadMeter(max_ongoing=5, deadline_ms=200.0, now_s=clock)


def test_a_request_alone_meets_no_load(meter: LoadMeter) -> None:
    assert meter.load() == 0.0
    with meter.request():
        assert meter.load() == 0.0


def test_a_full_replica_is_load_one_and_more_is_no_more(meter: LoadMeter) -> None:
    with meter.request(), meter.request(), meter.request():
        assert meter.load() == pytest.approx(2 / 4)
        with meter.request(), meter.request():
            assert meter.load() == 1.0
            with meter.request():
                assert meter.load() == 1.0
    assert meter.load() == 0.0


def test_a_request_that_fails_frees_its_place(meter: LoadMeter) -> None:
    with pytest.raises(RuntimeError), meter.request():
        raise RuntimeError
    with meter.request():
        assert meter.load() == 0.0


def test_the_encoders_latency_is_a_mean_that_late_calls_drive_to_one(meter: LoadMeter) -> None:
    meter.encoded(100.0)
    assert meter.encoder_ms() == pytest.approx(0.2 * 100)
    meter.encoded(100.0)
    assert meter.encoder_ms() == pytest.approx(0.2 * 100 + 0.8 * 20)
    for _ in range(60):
        meter.encoded(200.0)
    assert meter.load() == pytest.approx(1.0, abs=1e-4)


def test_a_slow_encoder_is_forgotten_while_it_is_not_called(meter: LoadMeter, clock: Clock) -> None:
    for _ in range(60):
        meter.encoded(200.0)
    clock.now_s += HALF_LIFE_S
    assert meter.load() == pytest.approx(0.5, abs=1e-4)
    clock.now_s += 20 * HALF_LIFE_S
    assert meter.load() == pytest.approx(0.0, abs=1e-4)


def test_with_one_place_only_the_encoder_counts(clock: Clock) -> None:
    meter = LoadMeter(max_ongoing=1, deadline_ms=100.0, now_s=clock)
    with meter.request():
        assert meter.load() == 0.0
        meter.encoded(100.0)
        assert meter.load() == pytest.approx(0.2)
