"""What crosses are made of: ids and times that every impression has, by the names that a config calls them."""

from collections.abc import Mapping, Sequence

from rosa_ray.features.views import ID_KEYS, key_column
from rosa_ray.schema.own_columns import REQUEST

AD_ID, POSITION = "ad_id", "position"
"""Names of the ad's id and of the slot as token fields."""

MOST_SLOTS = 64
"""Slots 0 to 63 are tokens of their own; those beyond share one."""

CLOCK = ("hour", "weekday")
"""Parts that are read off the clock of the market at the request."""

_CROSSED = ("category", "number")


def part_column(part: str) -> str:
    """The impression column that a part is read from, or the name of `CLOCK`.

    >>> part_column("ad.campaign_id"), part_column("request.hour"), part_column("request.placement")
    ('campaign_key', 'hour', 'request.placement')
    """
    moment = part.removeprefix(REQUEST)
    return moment if moment in CLOCK else key_column(part)


def cross_name(parts: Sequence[str]) -> str:
    """What a cross is called, in vocabularies and everywhere.

    >>> cross_name(["request.placement", "ad.campaign_id"])
    'request.placement*ad.campaign_id'
    """
    return "*".join(parts)


def wrong_cross(crosses: Sequence[Sequence[str]], kinds: Mapping[str, str]) -> str:
    """Say which cross cannot be computed, or would be there twice; empty where all are right.

    Args:
        kinds: types of the declared columns, by name.

    >>> wrong_cross([["hour", "request.hour"]], {})
    "has 'hour*request.hour', which names one part twice"
    """
    seen: dict[frozenset[str], str] = {}
    for parts in crosses:
        name = cross_name(parts)
        if problem := next(filter(None, (_problem(part, kinds) for part in parts)), None):
            return f"has '{name}', but {problem}"
        meant = frozenset(map(part_column, parts))
        if len(meant) < len(parts):
            return f"has '{name}', which names one part twice"
        if meant in seen:
            return f"has '{name}', which is the same as '{seen[meant]}'"
        if name in kinds or name in ID_KEYS:
            return f"has '{name}', which has a vocabulary of its own; cross it with another part"
        seen[meant] = name
    return ""


def _problem(part: str, kinds: Mapping[str, str]) -> str:
    column = part_column(part)
    if column == ID_KEYS["user_id"]:
        return f"a model must not know users by name; count by '{part}' in features.counters instead"
    if column in CLOCK or column in ID_KEYS.values():
        return ""
    kind = kinds.get(part)
    if kind is None:
        known = ", ".join((*(name for name in ID_KEYS if name != "user_id"), *CLOCK))
        return f"'{part}' is neither a declared column nor one of {known}"
    return "" if kind in _CROSSED else f"'{part}' is of type {kind}; only {' and '.join(_CROSSED)} can be crossed"
