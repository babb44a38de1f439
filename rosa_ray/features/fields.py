"""Token fields: what models read of an impression as a row of a vocabulary, beside the ids that every log has.

They are the declared columns of one token, then crosses, then the ad's id, then the slot. All are computed from the
columns of an impression when it is encoded, offline and online. So nothing of a cross is stored.
"""

import numpy as np

from rosa_ray.arrays import Columns, Ints
from rosa_ray.features.clock import calendar
from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.own import interval_keys, number_matrix, number_names, token_names
from rosa_ray.features.parts import AD_ID, CLOCK, MOST_SLOTS, POSITION, cross_name, part_column
from rosa_ray.features.vocabulary import KeyCounts
from rosa_ray.schema import MISSING_KEY, derive_key

_CROSS, _SLOT, _MOMENT = 11, 12, 13


def field_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the token fields, which are those of their vocabularies, in the order in which models read them.

    >>> field_names(FeatureConfig(crosses=(("hour", "device"),), ad_id=True))
    ('hour*device', 'ad_id')
    """
    crosses = (cross_name(parts) for parts in config.crosses)
    more = [AD_ID] * config.ad_id + [POSITION] * config.position
    return (*token_names(config.columns), *crosses, *more)


def field_keys(columns: Columns, config: FeatureConfig) -> dict[str, Ints]:
    """Keys of the tokens of every field, int64 (n,), `MISSING_KEY` where nothing is known.

    Args:
        columns: `IMPRESSION_COLUMNS` and declared columns as user rows hold them, each (n,).
    """
    keys = _column_keys(columns, config)
    known = {**keys}
    for parts in config.crosses:
        keys[cross_name(parts)] = _mixed([_part(part_column(part), columns, known, config) for part in parts])
    if config.ad_id:
        keys[AD_ID] = columns["ad_key"]
    if config.position:
        keys[POSITION] = slot_keys(columns["position"])
    return keys


def _column_keys(columns: Columns, config: FeatureConfig) -> dict[str, Ints]:
    """Keys of declared columns of one token; those of all numbers are found at once."""
    numbers = number_names(config.columns)
    of_numbers: dict[str, Ints] = {}
    if numbers:
        matrix = interval_keys(number_matrix(columns, config.columns, len(columns[numbers[0]])))
        of_numbers = dict(zip(numbers, matrix.T, strict=True))
    return {name: of_numbers[name] if name in of_numbers else columns[name] for name in token_names(config.columns)}


def as_served(columns: Columns, config: FeatureConfig) -> Columns:
    """Impression columns as a request has them: no slot is known yet, so that all stand in the one that is agreed."""
    if not config.position:
        return columns
    return {**columns, "position": np.full_like(columns["position"], config.serving_position)}


def wrong_slot(counts: KeyCounts, config: FeatureConfig) -> str:
    """Say why the slot that scores are for cannot be learned; empty where it can.

    Args:
        counts: of the training period's slots, by their keys.
    """
    slots = np.arange(MOST_SLOTS + 1)
    seen = slots[np.isin(slot_keys(slots), counts.key[counts.count >= config.min_count])].tolist()
    if config.serving_position in seen:
        return ""
    if not seen:
        return "the training period says no slot; name its column in source.columns.impressions, or leave this off"
    return (
        f"features.serving_position is {config.serving_position}, a slot that the training period hardly shows; "
        f"take one of {', '.join(map(str, seen))}"
    )


def slot_keys(position: np.ndarray) -> Ints:
    """Keys of slots, 0 at the top; slots beyond `MOST_SLOTS` share one, and below 0 a slot is not known.

    >>> keys = slot_keys(np.array([-1, 0, 63, 64, 500]))
    >>> int(keys[0]), len(set(keys.tolist()))
    (0, 4)
    """
    slot = np.minimum(position, MOST_SLOTS).astype(np.int64)
    return np.where(slot < 0, MISSING_KEY, derive_key(slot, _SLOT))


def _part(column: str, columns: Columns, known: dict[str, Ints], config: FeatureConfig) -> Ints:
    """Keys of one part; those of the clock are computed once for all crosses and left in `known`."""
    if column in CLOCK and column not in known:
        moments = calendar(config.local_us(columns["time_us"]))
        known |= {name: derive_key(values, _MOMENT) for name, values in moments.items()}
    return known[column] if column in known else columns[column]


def _mixed(parts: list[Ints]) -> Ints:
    """Keys of combinations; one that lacks a part is missing."""
    mixed = parts[0]
    for part in parts[1:]:
        mixed = derive_key(mixed, _CROSS) ^ part
    return np.where(np.all([part != MISSING_KEY for part in parts], axis=0), mixed, MISSING_KEY)
