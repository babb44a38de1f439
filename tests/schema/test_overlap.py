"""Ids of two tables that do not meet are compared in the ways they may be written."""

import pyarrow as pa
import pytest

from rosa_ray.schema.overlap import find_overlap


def ids(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def test_ids_that_meet_need_no_hint() -> None:
    found = find_overlap(ids("a", "b", "b", None, "c"), ids("b", "c", "d"))
    assert (found.ids, found.known, found.hint, found.examples) == (3, 2, "", None)


@pytest.mark.parametrize(
    ("left", "right", "hint"),
    [
        (("u1 ", "u2 "), ("u1", "u2"), "without spaces around them 2 would meet"),
        (("1007.0", "1008.0"), ("1007", "1008"), "without '.0' at their ends 2 would meet"),
        (("AbC1", "AbC2"), ("abc1", "abc2"), "ignoring case 2 would meet"),
        (("0012", "0013"), ("12", "13"), "without leading zeros 2 would meet"),
        (('"a"', '"b"'), ("a", "b"), "without quotes and brackets 2 would meet"),
        (("U-u0", "U-u1"), ("u0", "u1"), "without 'U-' in front 2 would meet"),
        (("7", "8"), ("user:7", "user:8"), "without 'user:' in front 2 would meet"),
        (("x7y", "x8y"), ("7-a", "8-a"), "by their digits alone 2 would meet"),
    ],
)
def test_the_way_of_writing_is_named(left: tuple[str, ...], right: tuple[str, ...], hint: str) -> None:
    found = find_overlap(ids(*left), ids(*right))
    assert (found.known, found.hint) == (0, hint)
    assert found.examples == (left[0], right[0])


def test_ids_without_digits_do_not_meet_by_their_digits() -> None:
    found = find_overlap(ids("alpha", "beta"), ids("gamma", "delta"))
    assert (found.hint, found.examples) == ("", ("alpha", "gamma"))


def test_nothing_meets_nothing() -> None:
    assert find_overlap(ids(), ids("a")).share is None
    assert find_overlap(ids("a"), ids()).known == 0
