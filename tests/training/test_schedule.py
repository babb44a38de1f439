import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.schedule import best_record, is_finished, learning_rate


def history(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": epoch, "valid_logloss": loss} for epoch, loss in enumerate(losses, start=1)]


def test_stops_after_patience_epochs_without_a_new_best() -> None:
    config = TrainingConfig(epochs=10, patience=2)
    runs = [history(3, 2), history(3, 2, 2.5), history(3, 2, 2.5, 2)]
    assert [is_finished(config, run) for run in runs] == [False, False, True]


def test_stops_when_all_epochs_are_done() -> None:
    assert is_finished(TrainingConfig(epochs=2), history(3, 2))
    assert not is_finished(TrainingConfig(epochs=3), history(3, 2))
    assert not is_finished(TrainingConfig(epochs=1), [])


def test_an_improvement_below_min_delta_is_none_for_patience_but_is_best() -> None:
    config = TrainingConfig(epochs=10, patience=2, min_delta=0.1)
    run = history(2.0, 1.95, 1.93)
    assert is_finished(config, run)
    assert best_record(config, run) == run[2]


def test_higher_is_better_for_auc() -> None:
    run = [{"epoch": 1, "valid_auc": 0.7}, {"epoch": 2, "valid_auc": 0.8}, {"epoch": 3, "valid_auc": 0.8}]
    assert best_record(TrainingConfig(monitor="valid_auc"), run) == run[1]


def test_the_log_loss_decides_where_the_monitor_is_undefined() -> None:
    config = TrainingConfig(epochs=9, patience=1, monitor="valid_auc")
    run = [{"valid_auc": None, **record} for record in history(0.3, 0.2, 0.25)]
    assert best_record(config, run) == run[1]
    assert [is_finished(config, run[:end]) for end in (2, 3)] == [False, True]


def test_warmup_then_constant() -> None:
    config = TrainingConfig(learning_rate=0.8, warmup_steps=4)
    assert [learning_rate(config, step, []) for step in (0, 1, 3, 99)] == pytest.approx([0.2, 0.4, 0.8, 0.8])


def test_plateau_halves_after_every_epoch_that_is_no_best() -> None:
    config = TrainingConfig(learning_rate=1.0, warmup_steps=0, schedule="plateau")
    rates = [learning_rate(config, 0, history(3, 2, 2.5, 1, 4)[:epochs]) for epochs in range(6)]
    assert rates == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25])


@pytest.mark.parametrize(
    ("field", "value"), [("workers", 0), ("learning_rate", float("nan")), ("warmup_steps", -1), ("monitor", "auc")]
)
def test_settings_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"training.{field} is "):
        TrainingConfig(**{field: value})


def test_evaluation_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.actors is 0"):
        EvaluationConfig(actors=0)
