"""Settings: declared once, field by field, and composed from YAML and `--set`. See `rosa_ray.settings.fields`."""

from rosa_ray.settings.bounds import Distinct, OneOf
from rosa_ray.settings.compose import compose, read
from rosa_ray.settings.fields import SettingError, Tagged, by_name, section, tagged, tagged_each, wrong
from rosa_ray.settings.layers import Layer
from rosa_ray.settings.load import load
from rosa_ray.settings.plain import dump, to_plain

__all__ = [
    "Distinct",
    "Layer",
    "OneOf",
    "SettingError",
    "Tagged",
    "by_name",
    "compose",
    "dump",
    "load",
    "read",
    "section",
    "tagged",
    "tagged_each",
    "to_plain",
    "wrong",
]
