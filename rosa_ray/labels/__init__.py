"""Labels of impressions: joined from logs of their own, and known at a moment."""

from rosa_ray.labels.attribution import Fate, Joined, attribute
from rosa_ray.labels.config import LabelsConfig
from rosa_ray.labels.maturity import DelayCurve, Maturity, count_delays, forget_late
from rosa_ray.labels.ripeness import ripe_shares

__all__ = [
    "DelayCurve",
    "Fate",
    "Joined",
    "LabelsConfig",
    "Maturity",
    "attribute",
    "count_delays",
    "forget_late",
    "ripe_shares",
]
