"""Settings: declared once, field by field, and composed from YAML and `--set`. See `rosa_ray.settings.fields`.

Here is what a declaration needs; `compose`, `load` and `plain` are for those who read and write whole configs.
"""

from rosa_ray.settings.bounds import Distinct, OneOf
from rosa_ray.settings.fields import SettingError, Tagged, by_name, section, tagged, tagged_each, wrong

__all__ = ["Distinct", "OneOf", "SettingError", "Tagged", "by_name", "section", "tagged", "tagged_each", "wrong"]
