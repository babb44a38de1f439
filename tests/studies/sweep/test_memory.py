"""The searcher, ASHA and the memory, driven by hand as Ray Tune drives them, with trials that train nothing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.utils.util import flatten_dict

from rosa_ray.errors import ConfigError
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.studies.sweep.memory import SweepMemory
from rosa_ray.studies.sweep.searcher import TRIAL, SweepAsha, SweepSearcher
from rosa_ray.studies.sweep.space import Space

SPACE = {"loss.beta": {"log": (0.1, 5.0)}, "model.decay": {"choice": (True, False)}}
CONFIGURED = {"loss.beta": 1.0, "model.decay": True}
CONFIG = TuneConfig(space=SPACE, trials=4, objectives=("policy_roi", "calibration"), random_trials=2)


class Log:
    """Stands for `SweepLog`: remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def started(self, trial: Any, run_id: str | None) -> str:
        self.told.append(("again" if run_id else "started", trial.number))
        return run_id or f"run-{trial.number}"

    def epoch(self, trial: Any, record: Mapping[str, Any]) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda trial, *_: self.told.append((name, trial.number))


def session(run_dir: Path, config: TuneConfig = CONFIG, make: Any = None) -> tuple[SweepMemory, SweepSearcher, Log]:
    memory, log = SweepMemory(config, Space.parse(config.space), "one", str(run_dir), CONFIGURED, seed=7), Log()

    def trial(number: int, params: Mapping[str, Any]) -> Any:
        return SimpleNamespace(number=number, params=params, discard=lambda: None)

    return memory, SweepSearcher(config, memory, make or trial, log), log  # type: ignore[arg-type]


def record(epoch: int, auc: float = 0.7, roi: float | None = None, off: float = 0.1) -> dict[str, Any]:
    figures = {"policy_roi": roi, "calibration": off, "policy_value": "exact"}
    last = {"figures": figures, "best_epoch": epoch, "total_seconds": 1.0} if roi is not None else {}
    return flatten_dict({"epoch": epoch, "valid_auc": auc, **last})  # as Ray Tune hands results over


def drawn(searcher: SweepSearcher, trial_id: str) -> Any:
    return (searcher.suggest(trial_id) or {})[TRIAL]


def test_a_killed_sweep_goes_on_without_running_a_finished_trial_again(tmp_path: Path) -> None:
    _, searcher, _ = session(tmp_path)
    first, second, third = (drawn(searcher, name) for name in "abc")
    assert first.number == 0
    assert first.params == CONFIGURED
    searcher.on_trial_result("a", record(1))
    searcher.on_trial_complete("a", record(2, roi=1.5))
    searcher.on_trial_complete("b", record(1, auc=0.5))
    searcher.on_trial_result("c", record(1))

    memory, searcher, log = session(tmp_path)  # the first was killed here: c was under way
    assert [trial.state for trial in memory.trials()] == ["complete", "stopped", "running"]
    assert memory.remaining == 2
    again, new = drawn(searcher, "d"), drawn(searcher, "e")
    assert (again.number, again.params) == (third.number, third.params)
    assert new.number == 3
    assert new.params != second.params
    assert log.told == [("again", 2), ("started", 3)]
    searcher.on_trial_complete("d", record(2, roi=2.0))
    searcher.on_trial_complete("e", record(2, roi=1.0))
    assert memory.remaining == 0
    assert [trial.values for trial in memory.trials()][::2] == [
        {"policy_roi": 1.5, "calibration": 0.1},
        {"policy_roi": 2.0, "calibration": 0.1},
    ]
    assert memory.trials()[0].history == [(1, 0.7), (2, 0.7)]
    assert len(memory.sessions) == 2


def test_more_trials_are_added_to_a_finished_sweep_and_resume_off_starts_over(tmp_path: Path) -> None:
    few = TuneConfig(space=SPACE, trials=1, objectives=("policy_roi", "calibration"))
    _, searcher, _ = session(tmp_path, few)
    drawn(searcher, "a")
    searcher.on_trial_complete("a", record(1, roi=1.0))
    assert session(tmp_path, few)[0].remaining == 0
    assert session(tmp_path)[0].remaining == 3
    over = TuneConfig(space=SPACE, trials=4, objectives=("policy_roi", "calibration"), resume=False)
    assert session(tmp_path, over)[0].remaining == 4


def test_failures_are_told_apart_from_trials_that_are_stopped(tmp_path: Path) -> None:
    memory, searcher, _ = session(tmp_path)
    for name in "abcd":
        drawn(searcher, name)
    searcher.on_trial_complete("a", {"error": "training diverged"})
    searcher.on_trial_complete("b", error=True)
    searcher.on_trial_complete("c", {**record(2, roi=1.0), "figures/policy_roi": None})
    searcher.on_trial_complete("d", record(1))
    assert [trial.state for trial in memory.trials()] == ["failed", "failed", "failed", "stopped"]
    reasons = [trial.error for trial in memory.trials()[:3]]
    assert reasons[:2] == ["training diverged", "its process died"]
    assert "policy_roi undefined" in str(reasons[2])
    assert memory.remaining == 0
    assert memory.importance(0) == {"policy_roi": {}, "calibration": {}}


def test_a_draw_that_makes_no_config_is_drawn_again_and_does_not_count(tmp_path: Path) -> None:
    def odd_only(number: int, params: Mapping[str, Any]) -> Any:
        if number % 2 == 0:
            raise ConfigError("together they make no config")
        return SimpleNamespace(number=number, params=params)

    memory, searcher, _ = session(tmp_path, make=odd_only)
    assert [drawn(searcher, name).number for name in "ab"] == [1, 3]
    assert [trial.number for trial in memory.trials()] == [1, 3]
    assert memory.remaining == 4


def test_importance_finds_what_matters(tmp_path: Path) -> None:
    config = TuneConfig(space=SPACE, trials=10, objectives=("policy_roi",), random_trials=10)
    memory, searcher, _ = session(tmp_path, config)
    for at in range(10):
        trial = drawn(searcher, str(at))
        searcher.on_trial_complete(str(at), record(1, roi=trial.params["loss.beta"]))
    found = memory.importance(0)["policy_roi"]
    assert found["loss.beta"] > 0.8 > found["model.decay"]


def test_asha_stops_the_worst_but_never_the_configured_run_and_remembers_former_sessions() -> None:
    def rung(former: list[Any], number: int, auc: float) -> str:
        asha = SweepAsha(CONFIG, epochs=9, former=former)
        trial = SimpleNamespace(trial_id="x", config={TRIAL: SimpleNamespace(number=number)})
        asha.on_trial_add(None, trial)  # type: ignore[arg-type]
        return asha.on_trial_result(None, trial, {"epoch": 1, "valid_auc": auc})

    former = [
        SimpleNamespace(number=n, state="complete", history=[(1, auc), (2, auc)])
        for n, auc in enumerate((0.6, 0.7, 0.8))
    ]
    assert rung([], 5, 0.5) == TrialScheduler.CONTINUE  # nothing to compare with
    assert rung(former, 5, 0.5) == TrialScheduler.STOP
    assert rung(former, 5, 0.9) == TrialScheduler.CONTINUE
    assert rung(former, 0, 0.5) == TrialScheduler.CONTINUE
    assert rung([SimpleNamespace(**{**vars(one), "state": "running"}) for one in former], 5, 0.5) == "CONTINUE"


def test_a_database_that_cannot_be_opened_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tune\.storage 'nonsense': no database"):
        session(tmp_path, TuneConfig(space=SPACE, storage="nonsense"))


def test_a_sweep_of_other_settings_data_or_code_replaces_the_kept_one(tmp_path: Path) -> None:
    def memory(name: str, config: TuneConfig = CONFIG) -> SweepMemory:
        return SweepMemory(config, Space.parse(SPACE), name, str(tmp_path), CONFIGURED, seed=7)

    assert [memory(name).replaces for name in ("one", "one", "two", "two")] == [False, False, True, False]
    shared = replace(CONFIG, storage=f"sqlite:///{tmp_path}/shared.db")
    assert [memory(name, shared).replaces for name in ("one", "two")] == [False, False]
