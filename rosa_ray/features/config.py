"""Which features are computed, and how finely. Every field is part of the feature fingerprint."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

from rosa_ray.arrays import Ints
from rosa_ray.errors import ConfigError
from rosa_ray.features.clock import find_zone, to_local_us
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.own_counters import CounterConfig, check_counters
from rosa_ray.features.parts import MOST_SLOTS, wrong_cross
from rosa_ray.features.views import VIEWS
from rosa_ray.schema.behavior import BEHAVIORS, MOST_BEHAVIORS, by_strength
from rosa_ray.schema.own_columns import ITEM, REQUEST, TABLES_OF, prefix_of
from rosa_ray.settings import Distinct, OneOf, SettingError, section, wrong
from rosa_ray.units import HOUR_US

DEFAULT_BEHAVIORS: dict[str, int] = {name: code for code, name in enumerate(BEHAVIORS)}

Strength = Annotated[int, Ge(-1_000_000), Le(1_000_000)]

ADDED_LATER: dict[str, Any] = {
    "time_zone": "",
    "columns": {},
    "counters": (),
    "crosses": (),
    "ad_id": False,
    "position": False,
    "serving_position": 0,
    "units_per_impression": 1,
    "conversion_days": 0.0,
    "behaviors": DEFAULT_BEHAVIORS,
}
"""Settings that fitted features of earlier versions do not have -> what these mean by that."""

WEIGHTED_UNITS = 1000
"""Counters of a log with weights hold thousandths of an impression, a click or a conversion."""


@section("features")
class FeatureConfig:
    """Settings of the feature computation, the same offline and online.

    >>> FeatureConfig().bucket_minutes
    60
    """

    views: Annotated[tuple[Annotated[str, OneOf(VIEWS.keys)], ...], Distinct()] = (
        "user_events",
        "item_events",
        "category_events",
        "user_impressions",
        "ad_impressions",
        "campaign_impressions",
    )
    """Counter views whose readings become dense features; names from `rosa_ray.features.views.VIEWS`."""
    bucket_minutes: Annotated[int, Ge(1), Le(1440)] = 60
    """Width of a counter bucket in event time. A request reads whole closed buckets only. A day is the shortest
    window."""
    settle_minutes: Annotated[int, Ge(0)] = 5
    """A bucket closes this long after its end, so that records that come late are in."""
    utc_offset_hours: Annotated[int, Ge(-12), Le(14)] = 0
    """Shift from UTC to the market's local time, for hour of day and weekday."""
    time_zone: str = ""
    """The market's time zone instead of a shift in whole hours: a name with its summer time, such as `Europe/Berlin`,
    or a fixed offset, such as `+05:30`."""
    min_count: Annotated[int, Ge(1)] = 2
    """An id seen less often in the training period shares an out-of-vocabulary row."""
    item_oov_buckets: Annotated[int, Ge(1)] = 1024
    """Rows that unseen items are hashed into. Many rows keep unseen items distinct, so that the model can still
    recognise one it saw in the user's history."""
    oov_buckets: Annotated[int, Ge(1)] = 16
    """The same for category, campaign, device and region."""
    units_per_impression: Annotated[int, Ge(1)] = 1
    """Units in which counters count an impression of weight 1. Preprocessing takes 1000 instead of 1 where rows have
    other weights, so that counters stay whole numbers."""
    conversion_days: Annotated[float, Ge(0)] = 0.0
    """A conversion that comes later after its request counts in no counter; 0 counts all. Preprocessing takes
    `labels.attribution_days`, so that counters and labels agree."""
    money_buckets: Annotated[int, Ge(1)] = 16
    """Buckets that log bid and log price are cut into."""
    prior_impressions: Annotated[float, Gt(0)] = 20.0
    """Strength of the prior of smoothed rates, in impressions."""
    prior_ctr: Annotated[float, Gt(0), Lt(1)] = 0.03
    """Rate that a smoothed CTR starts from."""
    prior_cvr: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Rate that a smoothed CVR starts from, conversions per click."""

    # Mappings are no part of the hash, as they have none; configs that differ in them alone are still told apart.
    behaviors: Annotated[Mapping[str, Strength], MinLen(1), MaxLen(MOST_BEHAVIORS)] = field(
        default_factory=lambda: dict(DEFAULT_BEHAVIORS), hash=False
    )
    """What users do to items, by name, with its strength. Any names and any whole numbers do, no two alike. What counts
    is their order: the weakest is a mere look, such as `view`."""
    columns: Mapping[str, ColumnConfig] = field(default_factory=dict, hash=False)
    """Columns of your own that become features, by name. `request.NAME` is a column of impressions and candidates, and
    is given to `/rank` in `context.columns`. `user.NAME`, `item.NAME` and `ad.NAME` are columns of the users, items and
    ads, as of the request."""
    counters: tuple[CounterConfig, ...] = ()
    """Counters of your own, read as dense features behind those of `views`."""
    crosses: tuple[Annotated[tuple[str, ...], MinLen(1), MaxLen(4), Distinct()], ...] = ()
    """Combinations that are features, such as `[[request.placement, ad.campaign_id]]`. A part is a declared category or
    number, or one of `ad_id`, `item_id`, `campaign_id`, `category`, `device`, `region`, `hour` and `weekday`, also with
    its prefix. Where a part is missing, so is the cross."""
    ad_id: bool = False
    """Models also read which ad it is, beside its item, category and campaign."""
    position: bool = False
    """Training also reads the slot that an ad was shown in. Wherever a model scores, `serving_position` stands for
    it."""
    serving_position: Annotated[int, Ge(0), Lt(MOST_SLOTS)] = 0
    """The slot that scores are for, 0 at the top: of requests, evaluation and calibration alike."""

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            self._check_column(name, column)
        if fault := _fault_of_behaviors(self.behaviors):
            raise wrong(self, "behaviors", fault)
        check_counters(self.counters, self.columns, self.bucket_minutes)
        if problem := wrong_cross(self.crosses, {name: column.type for name, column in self.columns.items()}):
            raise SettingError("features", ("crosses",), problem)
        if not self.time_zone:
            return
        if self.utc_offset_hours:
            raise wrong(self, "utc_offset_hours", "it must be 0 where features.time_zone is given")
        try:
            find_zone(self.time_zone)
        except ValueError as error:
            right = "it must be a name such as Europe/Berlin or an offset such as +05:30"
            raise wrong(self, "time_zone", right) from error

    @property
    def behavior_names(self) -> tuple[str, ...]:
        """Behaviours in rising strength; the place of a name is its code.

        >>> FeatureConfig().behavior_names
        ('view', 'click', 'cart', 'purchase')
        """
        return by_strength(self.behaviors)

    def _check_column(self, name: str, column: ColumnConfig) -> None:
        prefix = prefix_of(name)
        if not prefix:
            raise wrong(self, "columns", f"'{name}' must begin with {', '.join(TABLES_OF)} and a name")
        if prefix == REQUEST and prefix_of(name.removeprefix(REQUEST)):
            raise wrong(self, "columns", f"'{name}' would be called as a column of another table; give another name")
        if column.shared and prefix != ITEM:
            raise wrong(self, "columns", f"'{name}' cannot be shared; only columns of items are of the history too")
        if column.clock == "static" and prefix == REQUEST:
            raise wrong(self, "columns", f"'{name}' cannot be static; it is given with each request")

    def local_us(self, time_us: Ints) -> Ints:
        """Return the market's local time, as microseconds since 1970 if its clock stood in UTC, (n,).

        >>> import numpy as np
        >>> FeatureConfig(utc_offset_hours=8).local_us(np.array([0])) // HOUR_US
        array([8])
        """
        if self.time_zone:
            return to_local_us(time_us, self.time_zone)
        return time_us + self.utc_offset_hours * HOUR_US

    def definition(self) -> dict[str, Any]:
        """Return what decides a feature's value, by setting; those of `ADDED_LATER` only where they are set.

        So features of a config that does not use a later setting keep their fingerprint. Of behaviours it is the
        order that decides.
        """
        plain = asdict(self) | {
            "columns": {name: column.definition() for name, column in self.columns.items()},
            "behaviors": {name: code for code, name in enumerate(self.behavior_names)},
        }
        return {name: value for name, value in plain.items() if name not in ADDED_LATER or value != ADDED_LATER[name]}


def config_of(definition: Mapping[str, Any]) -> FeatureConfig:
    """The configuration that `FeatureConfig.definition` was called of; what it leaves out has its default.

    >>> config_of(FeatureConfig(bucket_minutes=30).definition()).bucket_minutes
    30
    """
    columns = {name: ColumnConfig(**settings) for name, settings in definition.get("columns", {}).items()}
    counters = tuple(
        CounterConfig(settings["of"], tuple(settings["by"]), tuple(settings["windows_h"]))
        for settings in definition.get("counters", ())
    )
    crosses = tuple(tuple(parts) for parts in definition.get("crosses", ()))
    lists = {"views": tuple(definition["views"]), "columns": columns, "crosses": crosses, "counters": counters}
    return FeatureConfig(**{**definition, **lists})


def behaviors_of(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Behaviours of what `FeatureConfig.definition` returned, in rising strength.

    >>> behaviors_of(FeatureConfig(behaviors={"order": 9, "look": 0}).definition())
    ('look', 'order')
    """
    return by_strength(definition.get("behaviors", DEFAULT_BEHAVIORS))


def same_behaviors(configured: Sequence[str], names: Sequence[str], where: str) -> None:
    """Refuse a config whose behaviours are not those that something was made with.

    Args:
        configured: what the config names, in rising strength.
        names: what it has to name.
        where: what has them, with a verb.

    Raises:
        ConfigError: names or order differ.
    """
    if tuple(configured) != tuple(names):
        raise ConfigError(
            f"features.behaviors are {', '.join(configured)}; {where} {', '.join(names)}; name these, or "
            "preprocess and train again"
        )


def _fault_of_behaviors(behaviors: Mapping[str, int]) -> str:
    """What behaviours must be and are not; empty where they are right."""
    if any(not name or name != name.strip() for name in behaviors):
        return "each name must be a text without blanks around it"
    if len(set(behaviors.values())) < len(behaviors):
        return "each must have a strength of its own"
    return ""
