"""What crosses are made of: ids and times that every impression has, by the names that a config calls them."""

from collections.abc import Mapping, Sequence

AD_ID, POSITION = "ad_id", "position"
"""Names of the ad's id and of the slot as token fields."""

MOST_SLOTS = 64
"""Slots 0 to 63 are tokens of their own; those beyond share one."""

CLOCK = ("hour", "weekday")
"""Parts that are read off the clock of the market at the request."""

_IDS = {
    "ad_id": ("ad_key", ("ad.",)),
    "item_id": ("item_key", ("ad.", "item.")),
    "campaign_id": ("campaign_key", ("ad.",)),
    "category": ("category_key", ("ad.", "item.")),
    "device": ("device_key", ("request.",)),
    "region": ("region_key", ("request.",)),
}

GIVEN_PARTS: Mapping[str, str] = {
    **{f"{prefix}{name}": column for name, (column, all_) in _IDS.items() for prefix in ("", *all_)},
    **{f"{prefix}{name}": name for name in CLOCK for prefix in ("", "request.")},
}
"""Parts that every log gives, with and without the prefix of what they are said of -> their impression column, or the
name of `CLOCK`."""

_USER = ("user_id", "user.user_id")
_CROSSED = ("category", "number")


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
        meant = frozenset(part if part in kinds else GIVEN_PARTS[part] for part in parts)
        if len(meant) < len(parts):
            return f"has '{name}', which names one part twice"
        if meant in seen:
            return f"has '{name}', which is the same as '{seen[meant]}'"
        if name in kinds or name in _IDS:
            return f"has '{name}', which has a vocabulary of its own; cross it with another part"
        seen[meant] = name
    return ""


def _problem(part: str, kinds: Mapping[str, str]) -> str:
    if part in kinds:
        kind = kinds[part]
        return "" if kind in _CROSSED else f"'{part}' is of type {kind}; only {' and '.join(_CROSSED)} can be crossed"
    if part in _USER:
        return f"a model must not know users by name; count by '{part}' in features.counters instead"
    known = ", ".join((*_IDS, *CLOCK))
    return "" if part in GIVEN_PARTS else f"'{part}' is neither a declared column nor one of {known}"
