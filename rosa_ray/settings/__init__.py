"""Settings: declared once, field by field, and composed from YAML and `--set`. See `rosa_ray.settings.fields`.

Here is what a declaration needs; `compose`, `load` and `plain` are for those who read and write whole configs.
"""

from rosa_ray.settings.bounds import Distinct, OneOf
from rosa_ray.settings.fields import SettingError, Tagged, by_name, section, tagged, tagged_each, wrong
from rosa_ray.settings.folder import Folder

__all__ = [
    "Distinct",
    "Folder",
    "OneOf",
    "SettingError",
    "Tagged",
    "by_name",
    "section",
    "tagged",
    "tagged_each",
    "wrong",
]
