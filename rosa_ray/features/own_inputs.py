"""What models read of declared columns and other token fields; nothing is paid for what is not declared."""

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.fields import field_keys, field_names
from rosa_ray.features.own import set_names, shared_names
from rosa_ray.features.state import FeatureState
from rosa_ray.schema import MISSING_KEY
from rosa_ray.schema.own_columns import AD, ITEM, prefix_of

OWN, OWN_SETS, SHARED = "own", "own_sets", "shared"
"""Names of the tokens among the inputs: of fields of one, of several, and of shared columns."""
VECTOR_ROWS, GIVEN_VECTORS = "vector_rows", "given_vectors"
"""Rows of the frozen vectors in their tables, and the numbers of vectors that come with the rows."""


def own_inputs(shown: Columns, state: FeatureState) -> dict[str, np.ndarray]:
    """Inputs of impressions, see `rosa_ray.features.EncodedUsers`; only those that there are."""
    columns, inputs = state.config.columns, _vector_rows({ITEM: shown["item_key"], AD: shown["ad_key"]}, state)
    if field_names(state.config):
        inputs[OWN] = own_rows(shown, state)
    if set_names(columns):
        inputs[OWN_SETS] = own_sets(shown, state)
    if shared_names(columns):
        inputs[SHARED] = _shared_rows(shown, state, len(shown["time_us"]))
    if state.given_vectors:
        scaled = [shown[name] / scale for name, scale in zip(state.given_vectors, state.vector_scale, strict=True)]
        inputs[GIVEN_VECTORS] = np.nan_to_num(np.concatenate(scaled, axis=1)).astype(np.float32)
    return inputs


def event_inputs(events: Columns, state: FeatureState) -> dict[str, np.ndarray]:
    """Inputs of events: shared columns, missing where the events lack them, and vectors of their items."""
    inputs = _vector_rows({ITEM: events["item_key"]}, state)
    if shared_names(state.config.columns):
        inputs[SHARED] = _shared_rows(events, state, len(events["time_us"]))
    return inputs


def own_rows(shown: Columns, state: FeatureState) -> np.ndarray:
    """Rows of fields of one token in their common table, int64 (n, K); `shown` as user rows hold it."""
    return state.fields_table.lookup(np.stack([*field_keys(shown, state.config).values()], axis=1))


def own_sets(shown: Columns, state: FeatureState) -> np.ndarray:
    """Rows of columns of several tokens, int64 (n, Ks, M), -1 behind the last of each.

    A list without a value is the column's one token for that.
    """
    names, starts = set_names(state.config.columns), state.set_starts
    most = max(state.config.columns[name].most for name in names)
    found = np.full((len(shown[names[0]]), len(names), most), -1)
    for place, name in enumerate(names):
        known = shown[name] != MISSING_KEY
        longest = max(int(known.any(axis=0).sum()), 1)
        known, keys = known[:, :longest], shown[name][:, :longest]
        known[:, 0] = True
        rows = starts[name] + state.vocabularies[name].lookup(keys)
        found[:, place, :longest] = np.where(known, rows, -1)
    return found


def _shared_rows(columns: Columns, state: FeatureState, count: int) -> np.ndarray:
    """Rows of shared columns in the table of history and ads, int64 (count, Ksh)."""
    rows, start = [], 0
    for name in shared_names(state.config.columns):
        keys = columns[name] if name in columns else np.full(count, MISSING_KEY)
        rows.append(start + state.vocabularies[name].lookup(keys))
        start += state.vocabularies[name].size
    return np.stack(rows, axis=1)


def _vector_rows(keys: Columns, state: FeatureState) -> dict[str, np.ndarray]:
    """Rows of the frozen vectors of things, by prefix of their columns."""
    found = [frozen.rows(keys[prefix_of(name)]) for name, frozen in state.vectors.items() if prefix_of(name) in keys]
    return {VECTOR_ROWS: np.stack(found, axis=1)} if found else {}
