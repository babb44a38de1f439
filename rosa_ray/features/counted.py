"""The part of a feature configuration that decides what an online store keeps: records are counted by it.

Models that were fitted apart, or that read other windows' rates, priors or vocabularies, share what is kept as long as
this part is the same.
"""

import json
from typing import Any

import xxhash

from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import ColumnConfigs, of_prefix
from rosa_ray.features.own_counters import part_columns
from rosa_ray.schema.own_columns import ENTITIES

_VERSION = 1
"""Raise it when the same settings count otherwise."""


def counted_definition(config: FeatureConfig) -> dict[str, Any]:
    """What decides which counters and versions of columns a store keeps, as JSON.

    These are the views with their keys and longest windows, width and units of a bucket, behaviours by their codes, the
    days in which conversions count, and the declared columns as they are packed. What is left out is read from them:
    smoothing, shorter windows, local time, crosses and all that is fitted.
    """
    views = {
        view.name: [view.log, [*view.key_columns], _longest_h(view.windows_hours)] for view in counted_views(config)
    }
    return {
        "version": _VERSION,
        "views": views,
        "bucket_minutes": config.bucket_minutes,
        "units_per_impression": config.units_per_impression,
        "conversion_days": config.conversion_days,
        "behaviors": [*config.behavior_names],
        "columns": {prefix: _packed(of_prefix(prefix, config.columns)) for prefix in ENTITIES},
    }


def counting_fingerprint(config: FeatureConfig, user_key_id: str = "") -> str:
    """Sixteen hex digits of `counted_definition`; models of equal ones share a store's counters, timelines and ids.

    Args:
        user_key_id: of the secret that user ids are made pseudonyms with; empty when they are plain.

    >>> counting_fingerprint(FeatureConfig(prior_ctr=0.5)) == counting_fingerprint(FeatureConfig())
    True
    >>> counting_fingerprint(FeatureConfig(bucket_minutes=30)) == counting_fingerprint(FeatureConfig())
    False
    """
    content = json.dumps([counted_definition(config), user_key_id], sort_keys=True)
    return xxhash.xxh64_hexdigest(content.encode())


def says_all(said: FeatureConfig, counted: FeatureConfig) -> bool:
    """Whether records that were read by one configuration tell all that another one counts by.

    They lack behaviours, declared columns and keys of own counters that the first does not know.

    >>> says_all(FeatureConfig(), FeatureConfig(bucket_minutes=30))
    True
    >>> says_all(FeatureConfig(), FeatureConfig(behaviors={"view": 0, "order": 1}))
    False
    """
    said_parts, parts = (set(part_columns(counted_views(config))) for config in (said, counted))
    said_columns, columns = (
        {tuple(map(str, column)) for prefix in ENTITIES for column in _packed(of_prefix(prefix, config.columns))}
        for config in (said, counted)
    )
    return {*counted.behavior_names} <= {*said.behavior_names} and parts <= said_parts and columns <= said_columns


def _longest_h(windows_hours: tuple[int | None, ...]) -> int:
    """The longest window but the whole past: how far back single buckets are read."""
    return max((hours for hours in windows_hours if hours is not None), default=0)


def _packed(configs: ColumnConfigs) -> list[list[object]]:
    """Columns of one prefix in the order and form of `rosa_ray.features.versions.layout`, and what null becomes."""
    return [
        [name, config.type, config.size, config.most if config.type == "categories" else 0, config.fill]
        for name, config in configs.items()
    ]
