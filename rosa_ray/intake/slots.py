"""What a log says of slots, and whether the config makes use of it."""

from collections.abc import Iterator

import numpy as np

from rosa_ray.features.config import FeatureConfig
from rosa_ray.intake.remarks import Remark
from rosa_ray.intake.scan import TableScan

_SETTING = "features.position"


def slot_remarks(shown: TableScan, features: FeatureConfig) -> Iterator[Remark]:
    """Remarks about `impressions.position`."""
    position = shown.kept.column("position").astype(np.float64)
    known = np.isfinite(position) & (position >= 0)
    slots = np.unique(position[known]).astype(np.int64).tolist()
    if not features.position:
        if len(slots) > 1:
            yield _unused(position, shown.kept.column("click"), slots)
    elif not slots:
        text = f"{_SETTING} is true, but no row says its slot"
        yield Remark("odd", "impressions", text, "name the column in source.columns.impressions.position")
    elif features.serving_position not in slots:
        text = f"features.serving_position is {features.serving_position}, which no row has; slots are {_span(slots)}"
        yield Remark("odd", "impressions", text, "take a slot that the log shows")


def _unused(position: np.ndarray, click: np.ndarray, slots: list[int]) -> Remark:
    first, last = (click[position == slot].mean() for slot in (slots[0], slots[-1]))
    text = f"rows say slots {_span(slots)}; {first:.2%} of slot {slots[0]} have a click, {last:.2%} of slot {slots[-1]}"
    return Remark("note", "impressions", text, f"{_SETTING}: true tells what the slot does from what the ad does")


def _span(slots: list[int]) -> str:
    return f"{slots[0]} to {slots[-1]}" if len(slots) > 1 else str(slots[0])
