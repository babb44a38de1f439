"""Lists of texts and of numbers, as columns of lists or as texts that are parted by signs."""

import ast
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.sources.values import Marks, ValueForm, is_text, mapped, mask_of, nulled, read_numbers, texts_of

PART_SIGN = "|"
"""What parts the texts of a list."""

_JOINED = re.compile(r"""['"]\s+['"]""")
"""Texts with blanks between them, as NumPy prints them; Python would read them as one text."""


def read_text_lists(values: pa.ChunkedArray, form: ValueForm) -> tuple[pa.ChunkedArray, Marks]:
    """Read a column of lists of texts: lists, JSON lists, or texts parted by `|`; parts that say nothing are left out.

    >>> lists, marks = read_text_lists(pa.chunked_array([["sport | news|", '["a|b", "c"]', "", "[a"]]), ValueForm())
    >>> lists.to_pylist(), marks.tolist()
    ([['sport', 'news'], ['a|b', 'c'], None, None], [False, False, False, True])

    Raises:
        pa.ArrowInvalid: elements are lists or structs themselves.
    """
    whole = _in_one(values)
    if is_list(whole.type):
        return _texts_of_lists(whole, form), None
    texts = nulled(pc.utf8_trim_whitespace(texts_of(pa.chunked_array([whole]))), form.null_words).combine_chunks()
    bracketed = mask_of(pc.and_(pc.starts_with(texts, "["), pc.is_valid(texts)))
    if not bracketed.any():
        return _texts_of_lists(pc.split_pattern(texts, PART_SIGN), form), None
    unpacked = [_unpacked(text) for text in texts.filter(pa.array(bracketed)).to_pylist()]
    bad = np.zeros(len(texts), bool)
    bad[bracketed] = [parts is None for parts in unpacked]
    lists = pc.split_pattern(texts, PART_SIGN)
    place = np.where(bracketed, len(texts) + np.cumsum(bracketed) - 1, np.arange(len(texts)))
    lists = pa.concat_arrays([lists, pa.array(unpacked, lists.type)]).take(pa.array(place))
    return _texts_of_lists(lists, form), bad if bad.any() else None


def read_number_lists(values: pa.ChunkedArray, form: ValueForm) -> tuple[pa.ChunkedArray, Marks]:
    """Read a column of vectors: lists of numbers, or texts parted by `|`, comma or blanks, in brackets or not.

    A comma parts no numbers where it is their decimal sign. An empty list is null.

    >>> vectors, marks = read_number_lists(pa.chunked_array([["[0.5, 1]", "2|3", "", "4 x"]]), ValueForm())
    >>> vectors.to_pylist(), marks.tolist()
    ([[0.5, 1.0], [2.0, 3.0], None, None], [False, False, False, True])

    Raises:
        pa.ArrowInvalid: elements are no numbers, or values are plain ones.
    """
    whole = _in_one(values)
    if is_list(whole.type):
        return _numbers_of_lists(whole, form)
    if pa.types.is_null(whole.type):
        return pa.chunked_array([whole.cast(pa.list_(pa.float32()))]), None
    if not is_text(whole.type):
        raise pa.ArrowInvalid("a plain value is no list of numbers")
    texts = nulled(pa.chunked_array([pc.utf8_trim_whitespace(whole)]), form.null_words).combine_chunks()
    texts = pc.utf8_trim_whitespace(pc.replace_substring_regex(texts, r"^[\[(](.*)[\])]$", r"\1"))
    signs = PART_SIGN if form.decimal == "," else f"{PART_SIGN},"
    texts = pc.replace_substring_regex(texts, rf"\s*[{signs}]\s*|\s+", PART_SIGN)
    lists = pc.split_pattern(pc.if_else(pc.equal(texts, ""), None, texts), PART_SIGN)
    return _numbers_of_lists(lists, form)


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a column holds lists, of any layout."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _in_one(values: pa.ChunkedArray) -> pa.Array:
    """The column in one piece, its lists in the plain layout."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    return whole.cast(pa.list_(whole.type.value_type)) if is_list(whole.type) else whole


def _unpacked(text: str) -> list[str] | None:
    """The texts of a list as JSON or Python writes it; None where it is none."""
    try:
        parts = json.loads(text)
    except ValueError:
        if _JOINED.search(text):
            return None
        try:
            parts = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(parts, list) or any(isinstance(part, list | dict | tuple | set) for part in parts):
        return None
    return [str(part) for part in parts if part is not None]


def _texts_of_lists(lists: pa.ListArray, form: ValueForm) -> pa.ChunkedArray:
    elements = lists.flatten()
    if pa.types.is_nested(elements.type):
        raise pa.ArrowInvalid("its lists hold no plain values")
    texts = pa.chunked_array([pc.utf8_trim_whitespace(texts_of(pa.chunked_array([elements])).combine_chunks())])
    texts = mapped(texts, form.mapping) if form.mapping else texts
    texts = nulled(texts, tuple({"", *form.null_words})).combine_chunks()
    known = texts.is_valid().to_numpy(zero_copy_only=False)
    counts = np.bincount(_owners(lists)[known], minlength=len(lists))
    return pa.chunked_array([_lists(counts, lists.is_null(), texts.drop_null())])


def _numbers_of_lists(lists: pa.ListArray, form: ValueForm) -> tuple[pa.ChunkedArray, Marks]:
    elements = pa.chunked_array([lists.flatten()])
    if pa.types.is_nested(elements.type):
        raise pa.ArrowInvalid("its lists hold no plain values")
    numbers, odd = read_numbers(elements, replace(form, null_words=()), pa.float32())
    numbers = pa.concat_arrays(numbers.chunks) if numbers.num_chunks else pa.array([], pa.float32())
    bad = np.zeros(len(lists), bool)
    if odd is not None:
        bad[_owners(lists)[odd]] = True
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    vectors = _lists(counts, pc.or_(pa.array(bad | (counts == 0)), lists.is_null()), numbers)
    return pa.chunked_array([vectors]), bad if bad.any() else None


def _owners(lists: pa.ListArray) -> np.ndarray:
    """Of each element the place of its list."""
    return np.repeat(np.arange(len(lists)), pc.fill_null(pc.list_value_length(lists), 0).to_numpy())


def _lists(counts: np.ndarray, null: pa.Array, elements: pa.Array) -> pa.ListArray:
    """Lists of so many elements each, one behind the other; of null lists none is read."""
    offsets = pa.array(np.r_[0, np.cumsum(counts)], pa.int32())
    return pa.ListArray.from_arrays(offsets, elements, mask=null)
