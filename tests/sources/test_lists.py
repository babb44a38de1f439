"""Lists of texts and of numbers, however a team writes them."""

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.sources.lists import read_number_lists, read_text_lists
from rosa_ray.sources.values import NULL_WORDS, ValueForm

FORM = ValueForm()


def column(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


def texts(values, kind=None, form=FORM):
    lists, bad = read_text_lists(column(values, kind), form)
    assert lists.type == pa.list_(pa.string())
    return lists.to_pylist(), [] if bad is None else np.flatnonzero(bad).tolist()


def numbers(values, kind=None, form=FORM):
    vectors, bad = read_number_lists(column(values, kind), form)
    assert vectors.type == pa.list_(pa.float32())
    return vectors.to_pylist(), [] if bad is None else np.flatnonzero(bad).tolist()


def test_texts_are_parted_stripped_and_empty_parts_dropped():
    assert texts(["sport| news |", "|", "", None, "one"]) == ([["sport", "news"], [], None, None, ["one"]], [])


def test_null_words_are_null_as_a_whole_and_as_a_part():
    form = ValueForm(null_words=("", "NULL", "?"))
    assert texts(["NULL", "a|?|b"], form=form) == ([None, ["a", "b"]], [])


def test_lists_of_json_and_of_python_keep_the_sign_inside():
    assert texts(['["a|b", "c", null]', "['d', 'e']", "[1, 2]", "[]"]) == (
        [["a|b", "c"], ["d", "e"], ["1", "2"], []],
        [],
    )


@pytest.mark.parametrize("text", ["[a, b", '[{"a": 1}]', '["a"', "['a' 'b']", "[[1]]"])
def test_a_bracketed_text_that_is_no_list_is_bad(text):
    assert texts(["x", text, "y|z"]) == ([["x"], None, ["y", "z"]], [1])


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string())])
def test_columns_of_lists_of_texts(kind):
    assert texts([["a ", None, ""], None, []], kind) == ([["a"], None, []], [])


def test_columns_of_lists_of_numbers_and_plain_numbers_become_texts():
    assert texts([[1, 2], None], pa.list_(pa.int64(), 2)) == ([["1", "2"], None], [])
    assert texts([7.0, None]) == ([["7"], None], [])


def test_values_are_mapped_part_by_part():
    form = ValueForm(mapping={"spt": "sport", "x": None})
    assert texts(["spt|news|x"], form=form)[0] == [["sport", "news"]]


def test_lists_within_lists_are_refused():
    with pytest.raises(pa.ArrowInvalid, match="no plain values"):
        texts([[["a"]]])


@pytest.mark.parametrize("text", ["0.5|1", "0.5,1", "0.5 1", "[0.5, 1]", "[0.5 1.]", "(0.5 ,  1)", " 0.5\t1e0 "])
def test_numbers_are_parted_by_any_of_the_signs(text):
    assert numbers([text]) == ([[0.5, 1.0]], [])


@pytest.mark.parametrize("text", ["0.5|x", "0.5||1", "1,,2", "a"])
def test_a_text_that_is_no_list_of_numbers_is_bad(text):
    assert numbers(["1 2", text]) == ([[1.0, 2.0], None], [1])


def test_a_decimal_comma_parts_no_numbers():
    assert numbers(["0,5|1,25", "0,5 1"], form=ValueForm(decimal=",")) == ([[0.5, 1.25], [0.5, 1.0]], [])


def test_empty_lists_and_null_words_are_vectors_that_are_not_known():
    assert numbers(["", "[]", "n/a", None], form=ValueForm(null_words=NULL_WORDS)) == ([None] * 4, [])
    assert numbers([[], None], pa.list_(pa.float64())) == ([None, None], [])
    assert numbers([None], pa.null()) == ([None], [])


def test_a_null_within_a_vector_stays_for_the_contract_to_judge():
    assert numbers([[1.5, None]], pa.list_(pa.float64())) == ([[1.5, None]], [])


def test_vectors_in_columns_of_lists():
    assert numbers([[1, 2]], pa.list_(pa.int64())) == ([[1.0, 2.0]], [])
    assert numbers([["1.5", "2"], ["x", "2"]], pa.list_(pa.string())) == ([[1.5, 2.0], None], [1])


def test_plain_numbers_are_no_vectors():
    with pytest.raises(pa.ArrowInvalid, match="no list of numbers"):
        numbers([1.5])
