"""Ids of two tables that do not meet are compared in the ways they may be written."""

import pyarrow as pa
import pytest

from rosa_ray.schema.overlap import find_overlap

PLAIN = "without prefix, spaces, case, punctuation, '.0' and leading zeros"


def ids(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def test_ids_that_meet_need_no_hint() -> None:
    found = find_overlap(ids("a", "b", "b", None, "c"), ids("b", "c", "d"))
    assert (found.ids, found.known, found.hint, found.examples) == (3, 2, "", None)


@pytest.mark.parametrize(
    ("left", "right", "hint"),
    [
        (("u1 ", "u2 "), ("u1", "u2"), "more would meet without spaces around them"),
        (("1007.0", "1008.0"), ("1007", "1008"), "more would meet without '.0' at their ends"),
        (("AbC1", "AbC2"), ("abc1", "abc2"), "more would meet ignoring case"),
        (("0012", "0013"), ("12", "13"), "more would meet without leading zeros"),
        (('"a"', '"b"'), ("a", "b"), "more would meet without quotes and brackets"),
        (("U-u0", "U-u1"), ("u0", "u1"), "more would meet without 'U-' in front"),
        (("7", "8"), ("user:7", "user:8"), "more would meet without 'user:' in front"),
        (("x7y", "x8y"), ("7-a", "8-a"), "more would meet by their digits alone"),
        (("U1.0", "U10.0"), ("u1", "u10"), "more would meet without spaces, case, '.0' and leading zeros"),
        (("u0007", "u0018"), ("u7", "u18"), f"more would meet {PLAIN}"),
    ],
)
def test_the_way_of_writing_is_named(left: tuple[str, ...], right: tuple[str, ...], hint: str) -> None:
    found = find_overlap(ids(*left), ids(*right))
    assert (found.known, found.hint, found.would_meet) == (0, hint, 2)
    assert found.examples == (left[0], right[0])


def test_ids_without_digits_do_not_meet_by_their_digits() -> None:
    found = find_overlap(ids("alpha", "beta"), ids("gamma", "delta"))
    assert (found.hint, found.examples) == ("", ("alpha", "gamma"))


def test_the_way_that_pairs_most_ids_is_taken() -> None:
    found = find_overlap(ids("U1.0", "U2.0", "U3.0"), ids("u10", "u1", "u2", "u3"))
    assert (found.would_meet, found.examples) == (3, ("U1.0", "u1"))


def test_what_is_told_names_both_sides() -> None:
    assert find_overlap(ids("a"), ids("a")).told("left", "right") == ""
    assert find_overlap(ids("a"), ids("b")).told("left", "right") == (
        "the ids have nothing in common: left has ids like 'a', right like 'b'"
    )
    assert find_overlap(ids(), ids("a")).told("left", "right") == "left has no ids at all"
    assert find_overlap(ids("a"), ids()).told("left", "right") == "right has no ids at all"


def test_nothing_meets_nothing() -> None:
    assert find_overlap(ids(), ids("a")).share is None
    assert find_overlap(ids("a"), ids()).known == 0
