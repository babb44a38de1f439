"""How well states describe a user, how busy a replica is, and the rules that decide λ from both."""

import numpy as np
import pytest
import torch

from rosa_ray.errors import BundleError
from rosa_ray.features import EncodedUsers
from rosa_ray.models.gate import HISTORY_INPUTS, Gate
from rosa_ray.serving.messages import OfflineStates
from rosa_ray.serving.offline_weight import HALF_LIFE_S, Freshness, LoadMeter, check_rule, decide, freshness_of
from rosa_ray.training.gate_pairs import events_before, history_inputs
from rosa_ray.units import HOUR_US, MINUTE_US

NEW = Freshness(50, True, 3, False, 900.0, actions_since=1, idle_s=5.0, events_last_hour=4)


@pytest.mark.parametrize(
    ("rule", "freshness", "weight"),
    [
        ("offline", Freshness(5, False, 5, False, None), 1.0),
        ("online", Freshness(5, True, 0, False, 1.0), 0.0),
        ("fresh", Freshness(5, True, 0, False, 1.0), 1.0),
        ("fresh", Freshness(5, True, 1, False, 1.0), 0.0),
        ("fresh", Freshness(5, True, 0, True, 1.0), 0.0),
        ("fresh", Freshness(5, False, 5, False, None), 0.0),
        ("online", Freshness(0, False, 0, False, None), 1.0),
        ("learned", Freshness(0, False, 0, False, None), 1.0),
        ("learned", Freshness(5, False, 5, False, None), 0.0),
        ("learned", Freshness(5, True, 0, False, 1.0), 1.0),
    ],
)
def test_lambda_of_each_rule(rule: str, freshness: Freshness, weight: float) -> None:
    assert decide(rule, freshness, 0.5, Gate()).offline_weight == weight


def steep_gate() -> Gate:
    """λ = σ(8·load − log1p(events_since)); the free inputs do nothing."""
    gate = Gate()
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.fill_(-40.0 if parameter.ndim < 2 else 0.0)
        gate.free.bias.zero_()
        gate.pull.fill_(-40.0)
        gate.pull[0, 0] = torch.log(torch.expm1(torch.tensor(1.0)))
        gate.pull[2, 0] = 8.0
    return gate


def test_the_gate_weighs_events_against_load() -> None:
    gate = steep_gate()
    idle, busy = decide("learned", NEW, 0.0, gate), decide("learned", NEW, 1.0, gate)
    assert idle.gate == pytest.approx(1 / (1 + 4), rel=1e-3)
    assert idle.offline_weight == idle.gate
    assert idle.reason == "3 events since the stored states; λ 0.20 at load 0.00 is below the threshold 0.50"
    assert (busy.offline_weight, busy.cause) == (1.0, "gate")
    assert "reaches the threshold" in busy.reason
    assert busy.gate > 0.9


def test_a_late_event_counts_as_one_that_the_states_lack() -> None:
    late = Freshness(50, True, 0, True, 900.0, idle_s=900.0)
    decision = decide("learned", late, 0.0, steep_gate())
    assert decision.gate == pytest.approx(1 / (1 + 2), rel=1e-3)
    assert decision.reason.startswith("a late event changed the encoded history; λ 0.33")
    assert Freshness(2, True, 2, True, 1.0).gate_inputs["events_since"] == 2


def test_a_bundle_without_gate_cannot_follow_the_rule_learned() -> None:
    with pytest.raises(BundleError, match=r"bundle old: has no gate, which serving.rule=learned needs; train again"):
        check_rule("learned", False, "old")
    check_rule("learned", True, "new")
    check_rule("fresh", False, "old")
    with pytest.raises(BundleError, match="needs the gate of a bundle"):
        decide("learned", NEW, 0.0, None)


@pytest.mark.parametrize("seed", range(5))
def test_the_gate_reads_the_same_numbers_at_serving_as_in_training(seed: int) -> None:
    rng = np.random.default_rng(seed)
    context, window = 12, 6
    event_us = np.sort(rng.integers(0, 5 * HOUR_US, 40))
    behavior = rng.integers(0, 4, 40)
    time_us = rng.integers(2 * HOUR_US, 5 * HOUR_US, 8)
    cut_us = time_us - rng.integers(MINUTE_US, 90 * MINUTE_US, 8)
    visible = np.searchsorted(event_us, time_us)
    users = EncodedUsers(
        user_key=np.array([1]),
        event_offsets=np.array([0, 40]),
        events={"time_us": event_us, "behavior": behavior},
        impression_offsets=np.array([0, 8]),
        impressions={"time_us": time_us, "visible": visible},
        dense=np.zeros((8, 0), np.float32),
    )
    trained = history_inputs(users, events_before(users, cut_us), context)
    for row, (now_us, seen, encoded) in enumerate(zip(time_us, visible, events_before(users, cut_us), strict=True)):
        events = {"time_us": event_us[:seen][-context:], "behavior": behavior[:seen][-context:]}
        stored = {"time_us": event_us[:encoded][-window:]}
        states = OfflineStates("m", stored, np.zeros((min(encoded, window), 4)), False, int(seen - encoded))
        served = freshness_of(events, states, int(now_us)).gate_inputs
        assert [served[name] for name in HISTORY_INPUTS] == pytest.approx(trained[row].tolist(), rel=1e-6)


def test_states_that_all_lie_after_the_request_are_none() -> None:
    states = OfflineStates("m", {"time_us": np.empty(0, np.int64)}, np.empty((0, 4)), True, 0)
    events = {"time_us": np.array([5, 6]), "behavior": np.array([0, 2])}
    freshness = freshness_of(events, states, 10)
    assert (freshness.has_states, freshness.events_since, freshness.stale) == (False, 2, False)


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
