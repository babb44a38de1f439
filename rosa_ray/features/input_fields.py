"""What a model reads, input by input under the name a person knows, and how to take one away: by permuting it.

A permuted field keeps its values and loses whom they belong to. Everything else of an impression stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rosa_ray.features.counting import dense_names
from rosa_ray.features.encoding import OWN, EncodedUsers, count_visible, gather_segments
from rosa_ray.features.own import number_names
from rosa_ray.features.state import FeatureState

HISTORY, OTHER = "history", "other inputs"

Permute = Callable[[EncodedUsers, np.random.Generator], EncodedUsers]
"""Takes users and gives them with one input permuted among all of their impressions."""

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
        own: columns of `own`, the tokens of declared columns, that it moves.
        dense: columns of the dense input that it moves, presence masks among them.
        moves_timelines: whether it touches events; else states of timelines stay what they are.
    """

    name: str
    permute: Permute
    columns: tuple[str, ...] = ()
    own: tuple[int, ...] = ()
    dense: tuple[int, ...] = ()
    moves_timelines: bool = False


def input_fields(state: FeatureState) -> list[Field]:
    """Every input of a model with these features, each in one field.

    Inputs that no field names are in one called `OTHER`, so that nothing a model reads is left out.
    """
    width = len(dense_names(state.config))
    numbers = list(number_names(state.config.columns))
    money = {
        name: impression_field(name, (f"{name}_bucket", *more), dense=(2 * width + at,))
        for at, (name, more) in enumerate({"bid": (), "price": ("price",)}.items())
    }
    views: dict[str, list[int]] = {}
    for at, name in enumerate(dense_names(state.config)):
        views.setdefault(name.rsplit(".", 2)[0], []).append(at)
    found = [impression_field(name, columns) for name, columns in _IMPRESSION_FIELDS.items()]
    found += [*money.values(), Field(HISTORY, _exchange_timelines, moves_timelines=True)]
    found += [impression_field(name, dense=(*at, *(width + column for column in at))) for name, at in views.items()]
    for at, name in enumerate(state.config.columns):
        places = [numbers.index(name)] if name in numbers else []
        dense = tuple(2 * width + 2 + part * len(numbers) + place for part in (0, 1) for place in places)
        found.append(impression_field(name, own=(at,), dense=dense))
    return [*found, *_others(found, state)]


def impression_field(
    name: str, columns: tuple[str, ...] = (), own: tuple[int, ...] = (), dense: tuple[int, ...] = ()
) -> Field:
    """A field that is columns of the impressions; all of them are permuted together."""

    def permute(users: EncodedUsers, rng: np.random.Generator) -> EncodedUsers:
        order = rng.permutation(len(users.dense))
        moved = {column: users.impressions[column][order] for column in columns}
        if own:
            moved[OWN] = _exchanged(users.impressions[OWN], order, own)
        return replace(users, impressions={**users.impressions, **moved}, dense=_exchanged(users.dense, order, dense))

    return Field(name, permute, columns, own, dense)


def _others(found: list[Field], state: FeatureState) -> list[Field]:
    sizes = state.table_sizes
    named = {kind: {at for field in found for at in getattr(field, kind)} for kind in ("own", "dense")}
    own = tuple(at for at in range(sizes.get("own_fields", 0)) if at not in named["own"])
    dense = tuple(at for at in range(sizes["dense"]) if at not in named["dense"])
    return [impression_field(OTHER, own=own, dense=dense)] if own or dense else []


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
