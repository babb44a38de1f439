"""One search for all fields gives what each vocabulary gives by itself."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.features.common_table import CommonTable
from rosa_ray.features.vocabulary import Vocabulary

keys = st.integers(-(2**63), 2**63 - 1)
fields = st.lists(st.tuples(st.sets(keys.filter(bool), max_size=5), st.integers(1, 4)), min_size=1, max_size=4)


@given(fields, st.lists(keys, max_size=5))
def test_rows_are_those_of_the_vocabularies_one_behind_another(known, asked):
    vocabularies = [Vocabulary(np.array(sorted(of), np.int64), oov) for of, oov in known]
    every = [0, *asked, *(key for of, _ in known for key in of)]
    matrix = np.repeat(np.array(every, np.int64)[:, None], len(known), axis=1)
    found = CommonTable.of(vocabularies).lookup(matrix)
    start = 0
    for place, vocabulary in enumerate(vocabularies):
        np.testing.assert_array_equal(found[:, place], start + vocabulary.lookup(matrix[:, place]))
        start += vocabulary.size


def test_an_unseen_key_that_mixes_to_one_of_another_field_is_unseen():
    first, second = Vocabulary(np.array([5]), 3), Vocabulary(np.array([8]), 3)
    table = CommonTable.of([first, second])
    other = (np.uint64(8) ^ table.salts[1] ^ table.salts[0]).astype(np.int64)
    assert table.lookup(np.array([[other, 8]])).tolist() == [[int(first.lookup(np.array([other]))[0]), first.size + 4]]
