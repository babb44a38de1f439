"""What a model reads, input by input under the name a person knows, and how to take one away: by permuting it.

A permuted field keeps its values and loses whom they belong to. Everything else of an impression stays as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rosa_ray.features.counting import dense_names, dense_views
from rosa_ray.features.encoding import EncodedUsers, count_visible, gather_segments
from rosa_ray.features.fields import field_names
from rosa_ray.features.own import number_names, set_names, shared_names
from rosa_ray.features.own_inputs import GIVEN_VECTORS, OWN, OWN_SETS, SHARED, VECTOR_ROWS
from rosa_ray.features.state import FeatureState

HISTORY, OTHER, DENSE = "history", "other inputs", "dense"

Permute = Callable[[EncodedUsers, np.random.Generator], EncodedUsers]
"""Takes users and gives them with one input permuted among all of their impressions."""

Within = dict[str, tuple[int, ...]]
"""Columns of the inputs that hold several: of `DENSE`, and of `OWN` and such among the impressions."""

_IMPRESSION_FIELDS = {
    "item": ("item", "item_key"),
    "category": ("category", "category_key"),
    "campaign": ("campaign",),
    "device": ("device",),
    "region": ("region",),
    "time": ("hour", "weekday"),
}


@dataclass(frozen=True)
class Field:
    """One input.

    Attributes:
        permute: the same users, and labels, with this input exchanged between their impressions.
        columns: names among the impressions that the field moves.
        within: columns that it moves of inputs that hold several.
        moves_timelines: whether it touches events; else states of timelines stay what they are.
    """

    name: str
    permute: Permute
    columns: tuple[str, ...] = ()
    within: Within = field(default_factory=dict)
    moves_timelines: bool = False


def input_fields(state: FeatureState) -> list[Field]:
    """Every input of a model with these features, each in one field.

    Inputs that no field names are in one called `OTHER`, so that nothing a model reads is left out.
    """
    width = len(dense_names(state.config))
    found = [impression_field(name, columns) for name, columns in _IMPRESSION_FIELDS.items()]
    # The catalogue price is an input too: the value of a conversion starts from it.
    found.append(impression_field("bid", ("bid_bucket",), {DENSE: (2 * width,)}))
    found.append(impression_field("price", ("price_bucket", "log_price", "price"), {DENSE: (2 * width + 1,)}))
    found.append(Field(HISTORY, _exchange_timelines, moves_timelines=True))
    first = 0
    for view in dense_views(state.config):
        places = range(first, first + len(view.feature_names))
        found.append(impression_field(view.name, within={DENSE: (*places, *(width + at for at in places))}))
        first = places.stop
    declared = dict.fromkeys((*state.config.columns, *field_names(state.config)))
    found += [impression_field(name, within=_of_column(name, state)) for name in declared]
    return [*found, *_others(found, state)]


def impression_field(name: str, columns: tuple[str, ...] = (), within: Within | None = None) -> Field:
    """A field that is columns of the impressions; all of them are permuted together."""
    parts = within or {}

    def permute(users: EncodedUsers, rng: np.random.Generator) -> EncodedUsers:
        order = rng.permutation(len(users.dense))
        moved = {column: users.impressions[column][order] for column in columns}
        moved |= {part: _exchanged(users.impressions[part], order, at) for part, at in parts.items() if part != DENSE}
        dense = _exchanged(users.dense, order, parts.get(DENSE, ()))
        return replace(users, impressions={**users.impressions, **moved}, dense=dense)

    return Field(name, permute, columns, parts)


def _of_column(name: str, state: FeatureState) -> Within:
    """Where a declared column, a cross, the ad's id or the slot stands among the inputs."""
    columns, width = state.config.columns, len(dense_names(state.config))
    numbers = number_names(columns)
    listed = {
        OWN: field_names(state.config),
        OWN_SETS: set_names(columns),
        SHARED: shared_names(columns),
        VECTOR_ROWS: tuple(state.vectors),
    }
    found: Within = {part: (names.index(name),) for part, names in listed.items() if name in names}
    if name in numbers:
        at = 2 * width + 2 + numbers.index(name)
        found[DENSE] = (at, at + len(numbers))
    if name in state.given_vectors:
        before = sum(columns[other].size for other in state.given_vectors[: state.given_vectors.index(name)])
        found[GIVEN_VECTORS] = tuple(range(before, before + columns[name].size))
    return found


def _others(found: Iterable[Field], state: FeatureState) -> list[Field]:
    named: dict[str, set[int]] = {}
    for one in found:
        for part, places in one.within.items():
            named.setdefault(part, set()).update(places)
    widths = _widths(state.table_sizes)
    left = {part: tuple(at for at in range(wide) if at not in named.get(part, ())) for part, wide in widths.items()}
    left = {part: places for part, places in left.items() if places}
    return [impression_field(OTHER, within=left)] if left else []


def _widths(sizes: Mapping[str, int]) -> dict[str, int]:
    known = {DENSE: "dense", OWN: "own_fields", OWN_SETS: "own_sets", SHARED: "shared_fields"}
    return {part: sizes.get(name, 0) for part, name in known.items()}


def _exchanged(values: np.ndarray, order: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    if not at:
        return values
    moved = values.copy()
    moved[:, at] = values[order][:, at]
    return moved


def _exchange_timelines(users: EncodedUsers, rng: np.random.Generator) -> EncodedUsers:
    """Hand every user another one's whole timeline. Times stay: an impression sees what came before it, as always."""
    rows, offsets = gather_segments(users.event_offsets, rng.permutation(len(users)))
    handed = replace(users, event_offsets=offsets, events={name: values[rows] for name, values in users.events.items()})
    return replace(handed, impressions={**users.impressions, "visible": count_visible(handed)})
