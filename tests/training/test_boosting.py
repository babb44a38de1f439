import numpy as np
import pytest

from rosa_ray.models.boosted import Trees
from rosa_ray.models.tree_columns import Matrix
from rosa_ray.training.boosting import CLICKS, Rows, boost, log_loss


def rows_of(seed: int, count: int = 2000, weight: float = 1.0) -> Rows:
    """The label follows a number that may be missing, and an id."""
    rng = np.random.default_rng(seed)
    number, ids = rng.normal(size=count), rng.integers(0, 6, count)
    label = (rng.random(count) < 1 / (1 + np.exp(1 - number - (ids == 3)))).astype(float)
    number[rng.random(count) < 0.1] = np.nan
    values = np.stack([number, ids], axis=1).astype(np.float32)
    return Rows.of(Matrix(values, ("number", "kind"), ("kind",)), label, np.full(count, weight))


def fitted(train: Rows, valid: Rows, seed: int = 1, threads: int = 1) -> Trees:
    return boost(train, valid, 0.3, CLICKS, shrinkage=0.1, seed=seed, threads=threads)


def test_trees_learn_what_the_start_does_not_know() -> None:
    model, held_out = fitted(rows_of(0), rows_of(1)), rows_of(2)
    assert model.rounds > 5
    assert log_loss(model, held_out) < 0.95 * log_loss(Trees(model.start), held_out)


def test_a_fit_is_repeated_to_the_last_digit_and_a_seed_makes_another() -> None:
    train, valid, asked = rows_of(0), rows_of(1), rows_of(2).matrix.values
    one, again, other = (fitted(train, valid, seed).predict(asked) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.array_equal(one, fitted(train, valid, 1, threads=2).predict(asked))


def test_there_are_no_more_trees_than_asked_for() -> None:
    assert boost(rows_of(0), rows_of(1), 0.3, CLICKS, shrinkage=0.1, seed=1, most=3).rounds == 3


def test_a_kept_model_predicts_the_same() -> None:
    model = fitted(rows_of(0), rows_of(1))
    kept = Trees.from_state_dict(model.state_dict("click"), "click")
    assert kept == model
    assert np.array_equal(kept.predict(rows_of(2).matrix.values), model.predict(rows_of(2).matrix.values))


def test_where_trees_lower_no_validation_loss_there_are_none() -> None:
    """Labels of the validation rows are turned round."""
    train, valid = rows_of(0), rows_of(1)
    model = fitted(train, Rows.of(valid.matrix, 1 - valid.label, valid.weight))
    assert model.rounds == 0
    assert model.predict(valid.matrix.values) == pytest.approx(np.full(2000, 0.3))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_label_alone_fits_nothing(label: float) -> None:
    train = rows_of(0)
    assert fitted(Rows.of(train.matrix, np.full(2000, label), train.weight), rows_of(1)).rounds == 0


def test_rows_of_no_weight_are_left_out_and_without_validation_rows_nothing_is_fitted() -> None:
    none = rows_of(1, weight=0.0)
    assert not len(none.label)
    assert fitted(rows_of(0), none).rounds == 0
    assert not len(Trees(0.0).predict(none.matrix.values))


def test_a_weight_counts_as_so_many_rows_in_the_loss() -> None:
    rows, model = rows_of(0, count=4), Trees(1.0)
    times = np.array([1.0, 2.0, 3.0, 1.0])
    repeated = np.repeat(np.arange(4), times.astype(int))
    matrix = Matrix(rows.matrix.values[repeated], rows.matrix.names, rows.matrix.sets)
    weighted = Rows.of(rows.matrix, rows.label, times)
    assert log_loss(model, weighted) == pytest.approx(
        log_loss(model, Rows.of(matrix, rows.label[repeated], np.ones(7)))
    )
