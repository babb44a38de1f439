"""Numbers, labels and ids as files write them."""

from decimal import Decimal

import pyarrow as pa
import pytest

from rosa_ray.sources.values import (
    InexactIdError,
    ValueForm,
    are_float_ids,
    are_rounded_ids,
    mapped,
    number_remedy,
    read_flags,
    read_numbers,
    texts_of,
)


def column(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


def numbers_of(values, form=ValueForm(), target=pa.float64(), kind=None):  # noqa: B008
    numbers, bad = read_numbers(column(values, kind), form, target)
    assert numbers.type == target
    return [("bad" if bad is not None and bad[at] else number) for at, number in enumerate(numbers.to_pylist())]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5),
        (" 1.5 ", 1.5),
        ("+1.5", 1.5),
        ("-2", -2.0),
        (".5", 0.5),
        ("1.5e-3", 0.0015),
        ("inf", float("inf")),
        ("", None),
        *((word, None) for word in ("NULL", "null", "Null", r"\N", "NaN", "nan", "NA", "N/A", "n/a", "None", "none")),
        *((word, None) for word in ("nil", "<NA>", "-")),
        *((text, "bad") for text in ("$71.90", "71,90", "1.234,56", "1 234", "cheap", "1.2.3", "0x10", "12%")),
    ],
)
def test_a_number_in_text(text, number):
    assert numbers_of([text, "7", "cheap"])[0] == number


@pytest.mark.parametrize(
    ("form", "text", "number"),
    [
        (ValueForm(decimal=","), "71,90", 71.9),
        (ValueForm(decimal=","), "-1,5e-3", -0.0015),
        (ValueForm(decimal=","), "71.90", "bad"),
        (ValueForm(decimal=",", thousands="."), "1.234,56", 1234.56),
        (ValueForm(decimal=",", thousands="."), "12.345.678", 12345678.0),
        (ValueForm(decimal=",", thousands="."), "12.5", "bad"),
        (ValueForm(thousands=","), "1,234,567.5", 1234567.5),
        (ValueForm(thousands=","), "12,34,567", 1234567.0),
        (ValueForm(thousands=","), "12,34", "bad"),
        (ValueForm(thousands="'"), "1'234.5", 1234.5),
        (ValueForm(decimal=",", thousands=" "), "1\u202f234,5", 1234.5),
        (ValueForm(strip="$"), "$71.90", 71.9),
        (ValueForm(strip="$"), "-$ 71.90", -71.9),
        (ValueForm(strip="€", decimal=","), "71,90\u00a0€", 71.9),
        (ValueForm(strip="USD"), "USD 71.90", 71.9),
        (ValueForm(strip="[]"), "[71.90]", 71.9),
        (ValueForm(strip="$"), "$", "bad"),
        (ValueForm(null_words=("-1", "?")), "?", None),
        (ValueForm(null_words=("?",)), "NULL", "bad"),
    ],
)
def test_a_number_as_settings_say(form, text, number):
    assert numbers_of([text, "7"], form)[0] == number


def test_an_overflow_is_infinite_or_bad_and_spoils_no_other_value():
    assert numbers_of(["1", "1e999", "x", "2"])[::3] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("values", "kind", "numbers"),
    [
        ([1, None], pa.int64(), [1.0, None]),
        ([0.5, float("nan")], pa.float32(), [0.5, None]),
        ([Decimal("1.25"), None], pa.decimal128(9, 2), [1.25, None]),
        ([True, False], pa.bool_(), [1.0, 0.0]),
        ([None, None], pa.null(), [None, None]),
        ([2**60 + 1], pa.int64(), [float(2**60)]),
    ],
)
def test_a_typed_column_of_numbers(values, kind, numbers):
    assert numbers_of(values, kind=kind) == numbers


@pytest.mark.parametrize(
    ("values", "kind", "numbers"),
    [
        (["1", "1.0", "1.5", "99999999999", None, "x"], pa.string(), [1, 1, "bad", "bad", None, "bad"]),
        ([1.0, 1.5, 1e12, None], pa.float64(), [1, "bad", "bad", None]),
        ([1, 2**40], pa.int64(), [1, "bad"]),
        ([1, 2], pa.uint8(), [1, 2]),
    ],
)
def test_whole_numbers_are_whole(values, kind, numbers):
    assert numbers_of(values, target=pa.int32(), kind=kind) == numbers


def flags_of(values, kind=None, form=ValueForm()):  # noqa: B008
    flags, bad = read_flags(column(values, kind), form)
    return [("bad" if bad is not None and bad[at] else flag) for at, flag in enumerate(flags.to_pylist())]


def test_labels_in_text():
    yes, no = ["true", "T", "Yes", "y", "Y", "1", "1.0", " TRUE "], ["false", "F", "No", "n", "0", "0.0", "0.00"]
    assert flags_of(yes) == [True] * len(yes)
    assert flags_of(no) == [False] * len(no)
    assert flags_of(["", "NULL", None, "2", "maybe", "-1"]) == [None, None, None, "bad", "bad", "bad"]


@pytest.mark.parametrize(
    ("values", "kind", "flags"),
    [
        ([1, 0, 2, None], pa.int8(), [True, False, "bad", None]),
        ([1.0, 0.0, 0.5, float("nan")], pa.float64(), [True, False, "bad", None]),
        ([True, None], pa.bool_(), [True, None]),
        ([Decimal(1), Decimal(0)], pa.decimal128(3, 0), [True, False]),
        ([None], pa.null(), [None]),
    ],
)
def test_typed_labels(values, kind, flags):
    assert flags_of(values, kind) == flags


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([7, None], pa.int64(), ["7", None]),
        ([7.3e15, 7.0, None, float("nan")], pa.float64(), ["7300000000000000", "7", None, None]),
        ([2.0**53], pa.float64(), ["9007199254740992"]),
        ([1.5, -0.0], pa.float64(), ["1.5", "0"]),
        ([7.0], pa.float32(), ["7"]),
        ([Decimal(12)], pa.decimal128(20, 0), ["12"]),
        ([Decimal("12.00"), Decimal("12.50")], pa.decimal128(20, 2), ["12", "12.50"]),
        ([True], pa.bool_(), ["true"]),
        ([None], pa.null(), [None]),
        (["007"], pa.string(), ["007"]),
    ],
)
def test_ids_of_any_type_become_text(values, kind, texts):
    assert texts_of(column(values, kind)).to_pylist() == texts


def test_ids_of_a_dictionary():
    assert texts_of(pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()])).to_pylist() == ["a", "b", "a"]


@pytest.mark.parametrize(("kind", "value"), [(pa.float64(), 2.0**53 + 2), (pa.float32(), 2.0**24 + 2)])
def test_floats_too_large_to_be_exact_are_no_ids(kind, value):
    with pytest.raises(InexactIdError, match="hold no exact ids above") as caught:
        texts_of(column([1.0, value], kind))
    assert caught.value.at == 1


def test_ids_that_are_floats_throughout():
    assert are_float_ids(column(["1007.0", None, "1008.0"]))
    assert not are_float_ids(column(["1007.0", "1008"]))
    assert not are_float_ids(column(["1.5", "2.0"]))
    assert not are_float_ids(column([None], pa.string()))


def test_ids_whose_digits_a_spreadsheet_dropped():
    assert are_rounded_ids(column(["7.3E+15", "1.2e+16"]))
    assert not are_rounded_ids(column(["7.3E+15", "u1"]))
    assert not are_rounded_ids(column(["1e5a"]))


def test_values_may_mean_others_or_nothing():
    assert mapped(column(["1", "x", "", None]), {"1": "one", "x": None, "": "none"}).to_pylist() == [
        "one",
        None,
        "none",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("$71.90", 'source.strip: {ads.price: "$"}'),
        ("71.90 EUR", 'source.strip: {ads.price: "EUR"}'),
        ("71,90", "source.decimal: {ads.price: ','}"),
        ("0,388", "source.decimal: {ads.price: ','} reads it"),
        ("1,234", "source.decimal: {ads.price: ','} reads a fraction, source.thousands: {ads.price: ','} a thousand"),
        ("1,234.5", "source.thousands: {ads.price: ','}"),
        ("1.234,56", "source.thousands: {ads.price: '.'}"),
        ("cheap", "source.values: {ads: {price: {'cheap': 0}}}"),
    ],
)
def test_what_does_not_parse_names_the_setting_that_reads_it(text, remedy):
    assert remedy in number_remedy(text, "ads.price", ValueForm())
