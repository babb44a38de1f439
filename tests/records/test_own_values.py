"""Values of declared columns in JSON: what is taken, as a log takes it, and what is refused in one line."""

import numpy as np
import pytest

from rosa_ray.features.own import ColumnConfig
from rosa_ray.records import as_declared

CATEGORY, NUMBER = ColumnConfig(), ColumnConfig(type="number")
CATEGORIES, VECTOR = ColumnConfig(type="categories", most=2), ColumnConfig(type="vector", size=2)


@pytest.mark.parametrize(
    ("config", "value", "expected"),
    [
        (CATEGORY, "top", "top"),
        (CATEGORY, 7, "7"),
        (CATEGORY, 7.0, "7"),
        (CATEGORY, 0.5, "0.5"),
        (CATEGORY, False, "false"),
        (CATEGORY, "", None),
        (CATEGORY, "NULL", None),
        (NUMBER, 7, 7.0),
        (NUMBER, " 7.5 ", 7.5),
        (NUMBER, "NaN", None),
        (CATEGORIES, [], []),
        (CATEGORIES, ["a", 1, True, None, "c"], ["a", "1", "true", None, "c"]),
        (VECTOR, [1, "2.5"], [1.0, 2.5]),
        *((config, None, None) for config in (CATEGORY, NUMBER, CATEGORIES, VECTOR)),
    ],
)
def test_values_are_taken_as_a_log_takes_them(config: ColumnConfig, value: object, expected: object) -> None:
    assert as_declared(value, config) == expected


@pytest.mark.parametrize(
    ("config", "value", "reason"),
    [
        (CATEGORY, ["top"], "is no text; the column is declared as a category"),
        (CATEGORY, {"top": 1}, "is no text; the column is declared as a category"),
        (CATEGORY, float("nan"), "is not finite"),
        (CATEGORY, "\ud800", "holds text that is no Unicode"),
        (NUMBER, "cheap", "is no number; the column is declared as one"),
        (NUMBER, [1], "is no number; the column is declared as one"),
        (NUMBER, 10**400, "is no number; the column is declared as one"),
        (NUMBER, "inf", "is not finite"),
        (CATEGORIES, "a|b", "is no list of texts; the column is declared as categories"),
        (CATEGORIES, [["a"]], "is no list of texts; the column is declared as categories"),
        (VECTOR, 1, "is no list of 2 numbers; the column is declared as a vector"),
        (VECTOR, [1], "is no list of 2 numbers; the column is declared as a vector"),
        (VECTOR, [1, None], "is no list of 2 numbers; the column is declared as a vector"),
        (VECTOR, [1, 1e300], "holds a number that is not finite"),
    ],
)
def test_another_type_is_named_without_the_value(config: ColumnConfig, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason + "$"):
        as_declared(value, config)


def test_numbers_of_a_vector_are_those_of_a_log() -> None:
    assert np.array(as_declared([0.1, 2], VECTOR), np.float32).tobytes() == np.array([0.1, 2], np.float32).tobytes()
