"""Pairs are what two histories of one impression predict, and λ opens where a fresh score is worth its price."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.bundle import open_bundle
from rosa_ray.calibration import Calibration, CalibrationConfig, Curve
from rosa_ray.errors import ConfigError
from rosa_ray.features import EncodedUsers, Split
from rosa_ray.inference import predict
from rosa_ray.models import LossConfig, build_ranker, ranker_settings
from rosa_ray.models.gate import HISTORY_INPUTS, Gate, GateConfig
from rosa_ray.run_dir import DataDir
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.gate import LEAST_PRICE, best_threshold, fit_gate, fit_run_gate, held_out
from rosa_ray.training.gate_pairs import GatePairs, draw_cuts, events_before, history_inputs, replay_pairs
from rosa_ray.training.gate_report import PairTensors, gate_report
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.trainer import make_bundle
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tests.described import described
from tests.tiny_users import tiny_rows, tiny_state, tiny_users, write_data_dir

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 6, "hidden": (16,), "dropout": 0.0}
CONTEXT = 12
CALIBRATING = CalibrationConfig()
CALIBRATION = Calibration(ctr=Curve((-3.0, 3.0), (-4.0, 2.0)))
NEW = 8.0


def toy_pairs(pairs: int = 4000, online_gain: bool = True, seed: int = 0) -> GatePairs:
    """Half of the pairs lack nothing. Of the others the online score knows the click, the offline score half of it."""
    rng = np.random.default_rng(seed)
    new = rng.random(pairs) < 0.5
    p_on = np.where(rng.random((pairs, 1)) < 0.5, 0.6, 0.1) * np.array([1.0, 0.2])
    label = (rng.random((pairs, 1)) < p_on).astype(np.float32)
    p_off = np.where(new[:, None] & online_gain, 0.35 * np.array([1.0, 0.2]), p_on)
    history = np.zeros((pairs, len(HISTORY_INPUTS)))
    history[:, HISTORY_INPUTS.index("events_since")] = new * NEW
    history[:, HISTORY_INPUTS.index("staleness_s")] = rng.uniform(60, 90_000, pairs)
    history[:, HISTORY_INPUTS.index("history_events")] = 50
    columns = (history, p_off, p_on, label, np.ones(pairs))
    return GatePairs(rng.integers(0, 400, pairs), *(values.astype(np.float32) for values in columns))


def toy_gain() -> float:
    """Expected gain where something is new, worked by hand: both heads' divergence of 0.35 from 0.6 or 0.1."""

    def divergence(p: float, q: float) -> float:
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    return sum((divergence(0.6 * c, 0.35 * c) + divergence(0.1 * c, 0.35 * c)) / 2 for c in (1.0, 0.2))


def moment(since: float) -> dict[str, float]:
    return dict.fromkeys(HISTORY_INPUTS, 0.0) | {"events_since": since, "staleness_s": 9000.0, "history_events": 50.0}


def test_the_gate_opens_where_the_online_score_is_better_and_closes_where_nothing_differs() -> None:
    fitted = fit_gate(toy_pairs(), GateTrainingConfig(encode_price=0.05, steps=200), seed=1)
    gate = fitted.gate
    for load in (0.0, 0.5, 1.0):
        assert gate.decide(moment(NEW), load).offline_weight < 0.2
    assert gate.decide(moment(0), 1.0).offline_weight == 1.0
    assert fitted.report["gain"]["mean"] == pytest.approx(toy_gain(), abs=3 * fitted.report["gain"]["standard_error"])
    by_load = {row["load"]: row for row in fitted.report["loads"]}
    assert by_load[1.0]["logloss"] == pytest.approx(fitted.report["logloss"]["online"], abs=2e-3)
    assert by_load[1.0]["calls"] == pytest.approx(fitted.report["calls_of_fresh"])


def test_a_price_above_the_gain_closes_the_gate_under_load_alone() -> None:
    gate = fit_gate(toy_pairs(), GateTrainingConfig(encode_price=4 * toy_gain(), steps=200), seed=1).gate
    assert gate.decide(moment(NEW), 0.0).offline_weight < 0.2
    assert gate.decide(moment(NEW), 1.0).offline_weight == 1.0


def test_where_both_scores_are_the_same_load_closes_the_gate() -> None:
    gate = fit_gate(toy_pairs(online_gain=False), GateTrainingConfig(encode_price=0.05, steps=200), seed=1).gate
    assert gate.offline_weight(moment(NEW), 1.0) > 0.9
    assert gate.decide(moment(NEW), 1.0).offline_weight == 1.0


def test_the_price_is_the_mean_gain_unless_given() -> None:
    fitted = fit_gate(toy_pairs(), GateTrainingConfig(steps=1), seed=1)
    assert fitted.report["encode_price"] == pytest.approx(toy_gain(), rel=0.3)
    useless = fit_gate(toy_pairs(online_gain=False), GateTrainingConfig(steps=1), seed=1)
    assert useless.report["encode_price"] == LEAST_PRICE


def test_the_same_seed_fits_the_same_gate() -> None:
    one, two = (fit_gate(toy_pairs(800), GateTrainingConfig(steps=40), seed=4).to_dict() for _ in range(2))
    assert one == two


def test_users_are_held_out_whole() -> None:
    keys = np.repeat(np.arange(10), 3)
    held = held_out(keys, 0.3, seed=0)
    assert len(np.unique(keys[held])) == 3
    assert not set(keys[held]) & set(keys[~held])
    assert held_out(np.array([1, 2]), 0.01, seed=0).sum() == 1


def test_cuts_are_daily_or_from_ten_minutes_to_seven_days() -> None:
    time_us = np.full(2000, 30 * DAY_US + 5 * HOUR_US)
    rng = np.random.default_rng(0)
    daily = draw_cuts(time_us, 1, 1.0, 0, rng)
    assert (daily == 30 * DAY_US).all()
    assert (draw_cuts(time_us, 1, 1.0, 8 * HOUR_US, rng) == 29 * DAY_US + 16 * HOUR_US).all()
    age_us = time_us[:, None] - draw_cuts(time_us, 2, 0.0, 0, rng)
    assert age_us.shape == (2000, 2)
    assert 10 * MINUTE_US <= age_us.min() < 12 * MINUTE_US
    assert 6 * DAY_US < age_us.max() <= 7 * DAY_US
    assert np.median(age_us) == pytest.approx(math.sqrt(10 * MINUTE_US * 7 * DAY_US), rel=0.2)


@pytest.fixture(scope="module")
def users() -> EncodedUsers:
    return tiny_users(users=25, per_user=12)[0].select(Split.VALID)


def naive(users: EncodedUsers, cut_us: np.ndarray) -> list[dict[str, float]]:
    """`HISTORY_INPUTS` of every impression, one event at a time."""
    found = []
    for user in range(len(users)):
        timeline = slice(users.event_offsets[user], users.event_offsets[user + 1])
        events = list(zip(users.events["time_us"][timeline], users.events["behavior"][timeline], strict=True))
        for row in range(users.impression_offsets[user], users.impression_offsets[user + 1]):
            t, c = users.impressions["time_us"][row], cut_us[row]
            past = [event for event in events if event[0] < t]
            kept, stored = past[-CONTEXT:], [event for event in past if event[0] < c]
            since = [event for event in kept if event[0] >= c]
            found.append(
                {
                    "events_since": len(since),
                    "actions_since": sum(behavior > 0 for _, behavior in since),
                    "staleness_s": (t - stored[-1][0]) / SECOND_US if stored else 0.0,
                    "idle_s": (t - past[-1][0]) / SECOND_US if past else 0.0,
                    "events_last_hour": sum(time >= t - HOUR_US for time, _ in kept),
                    "history_events": len(kept),
                }
            )
    return found


def test_history_inputs_are_counted_right(users: EncodedUsers) -> None:
    cut_us = users.impressions["time_us"] - 5 * DAY_US
    inputs = history_inputs(users, events_before(users, cut_us), CONTEXT)
    expected = [[row[name] for name in HISTORY_INPUTS] for row in naive(users, cut_us)]
    np.testing.assert_allclose(inputs, np.array(expected, np.float32), rtol=1e-6)


def test_the_offline_prediction_is_that_of_a_timeline_cut_off(users: EncodedUsers) -> None:
    torch.manual_seed(0)
    state = tiny_state(tiny_rows(users=25, per_user=12))
    ranker = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    nn.init.normal_(ranker.heads.ctr.weight)
    cut_us = users.impressions["time_us"][:, None] - np.array([[DAY_US, 4 * DAY_US]])
    pairs = replay_pairs(ranker, users, cut_us, CALIBRATION)
    online = CALIBRATION.apply(predict(ranker, users))
    start = 0
    for column in range(2):
        kept = np.flatnonzero(events_before(users, cut_us[:, column]))
        for place, row in enumerate(kept[:10]):
            alone = users.keep_impressions(np.arange(len(cut_us)) == row)
            before = alone.events["time_us"] < cut_us[row, column]
            cut = EncodedUsers(
                user_key=alone.user_key,
                event_offsets=np.array([0, before.sum()]),
                events={name: values[before] for name, values in alone.events.items()},
                impression_offsets=alone.impression_offsets,
                impressions={**alone.impressions, "visible": np.array([before.sum()])},
                dense=alone.dense,
            )
            offline = CALIBRATION.apply(predict(ranker, cut))
            np.testing.assert_allclose(pairs.p_off[start + place, 0], offline["p_ctr"][0], rtol=1e-5)
            np.testing.assert_allclose(pairs.p_on[start + place, 0], online["p_ctr"][row], rtol=1e-5)
        start += len(kept)
    assert len(pairs) == start


def test_publishing_a_run_fits_its_gate_into_the_bundle(tmp_path: Path) -> None:
    rows = tiny_rows(users=60, per_user=40)
    data_dir, state = write_data_dir(tmp_path / "data", rows), tiny_state(rows)
    job = TrainingJob(ranker_settings("rosa", SETTINGS), LossConfig(), TrainingConfig(workers=1), 3, data_dir)
    weights = job.build(state).state_dict()
    given = {"job": job, "state": state, "weights": weights, "best": {}, "config": {}, "calibration": CALIBRATING}
    make_bundle(str(tmp_path / "bundle"), gate=GateTrainingConfig(steps=20), **given)
    bundle = open_bundle(tmp_path / "bundle")
    gate = bundle.gate
    assert gate is not None
    assert 0 < gate.offline_weight(moment(2), 0.5) < 1
    assert json.loads(bundle.file("gate.json").read_text())["report"]["pairs"] > 0
    make_bundle(str(tmp_path / "bundle"), gate=GateTrainingConfig(enabled=False), **given)
    assert open_bundle(tmp_path / "bundle").gate is None


def test_a_ranker_without_states_and_a_period_without_pairs_have_no_gate(tmp_path: Path) -> None:
    rows = tiny_rows(users=5, per_user=4)
    state, layout = tiny_state(rows), DataDir(write_data_dir(tmp_path / "data", rows))
    for name, settings in (("wide_deep", {}), ("rosa", SETTINGS)):
        description = described(name, settings, state)
        weights = build_ranker(**description).state_dict()
        given = {"description": description, "weights": weights, "calibration": Calibration(), "state": state}
        assert fit_run_gate(GateTrainingConfig(), layout=layout, seed=0, **given) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"users": 0}, r"gate\.users is 0; it must be at least 1"),
        ({"daily_share": 1.5}, r"gate\.daily_share is 1\.5; it must be from 0 to 1"),
        ({"holdout": 1.0}, r"gate\.holdout is 1\.0; it must be above 0 and below 1"),
        ({"encode_price": -0.1}, r"gate\.encode_price is -0\.1; it must be 0 or more, or null"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GateTrainingConfig(**settings)


def test_a_pair_of_weight_three_counts_as_three_pairs() -> None:
    pairs = toy_pairs(600)
    weight = np.random.default_rng(1).integers(1, 4, len(pairs))
    heavy = replace(pairs, stands_for=weight.astype(np.float32))
    one, other = PairTensors.of(heavy), PairTensors.of(pairs.take(np.repeat(np.arange(len(pairs)), weight)))
    torch.manual_seed(0)
    gate = Gate(GateConfig(4))
    gate.standardize(one.history)
    found, expected = gate_report(gate, one), gate_report(gate, other)
    assert found["gain"]["mean"] == pytest.approx(expected["gain"]["mean"], rel=1e-4)
    assert found["logloss"] == pytest.approx(expected["logloss"], rel=1e-4)
    assert found["calls_of_fresh"] == pytest.approx(expected["calls_of_fresh"], rel=1e-4)
    for mine, theirs in zip(found["loads"], expected["loads"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    for mine, theirs in zip(found["buckets"], expected["buckets"], strict=True):
        assert mine["gain"]["mean"] == pytest.approx(theirs["gain"]["mean"], rel=1e-4)
    targets = one.target(1.0), other.target(1.0)
    assert best_threshold(gate, one, targets[0], 0.01) == best_threshold(gate, other, targets[1], 0.01)


def test_pairs_of_a_thinned_log_carry_what_they_stand_for() -> None:
    users, state = tiny_users(users=6)
    weight = np.where(users.impressions["click"] > 0, 1.0, 10.0)
    users = replace(users, impressions={**users.impressions, "weight": weight})
    ranker = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    cut_us = users.impressions["time_us"][:, None] - DAY_US
    pairs = replay_pairs(ranker, users, cut_us, Calibration())
    np.testing.assert_array_equal(pairs.stands_for, np.where(pairs.label[:, 0] > 0, 1.0, 10.0))
