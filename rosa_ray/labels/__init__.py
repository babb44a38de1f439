"""Labels of impressions: joined from logs of their own, and known at a moment."""

from rosa_ray.labels.attribution import Fate, Joined, attribute
from rosa_ray.labels.config import LabelsConfig

__all__ = ["Fate", "Joined", "LabelsConfig", "attribute"]
