"""Descriptions of models, as training writes them into bundles: every setting has its value."""

from collections.abc import Mapping
from typing import Any

from rosa_ray.features import FeatureState
from rosa_ray.models import ranker_settings
from rosa_ray.settings.plain import to_plain


def described(name: str, settings: Mapping[str, Any], state: FeatureState) -> dict[str, Any]:
    """The description of a ranker with some settings, the others at their defaults."""
    return {
        "name": name,
        "config": to_plain(ranker_settings(name, settings).settings),
        "sizes": state.table_sizes,
        "base_rates": state.base_rates,
    }
