"""Segments of a period's predictions, under names people know."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa

from rosa_ray.metrics.segments import ACTIVITY_NAMES, Segments, activity_segment, day_segment
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import MISSING_KEY, hash_ids
from rosa_ray.storage import read_json, read_parquet
from rosa_ray.units import DAY_US

_MISSING_NAME = "missing"


class SegmentNames:
    """Names of the keys that predictions hold: campaigns from the catalogue, devices from preprocessing.

    Attributes:
        devices, campaigns: key -> name.
    """

    def __init__(self, devices: Iterable[str], campaigns: Iterable[str]) -> None:
        self.devices, self.campaigns = _by_key(devices), _by_key(campaigns)

    @classmethod
    def read(cls, layout: DataDir) -> "SegmentNames":
        """Read the names beside preprocessed data; data of an earlier version has no device names."""
        fs, path = fsspec.core.url_to_fs(layout.names)
        devices = read_json(layout.names)["device"] if fs.exists(path) else []
        campaigns = read_parquet(layout.ads)["campaign_id"].unique().drop_null().to_pylist()
        return cls(devices, campaigns)

    def device(self, key: int) -> str:
        """Return a device's name, or its key in hexadecimal."""
        return self.devices.get(key, _hexadecimal(key))

    def campaign(self, key: int) -> str:
        """Return a campaign's id, or its key in hexadecimal."""
        return self.campaigns.get(key, _hexadecimal(key))


class PeriodSegments:
    """One period by device, campaign, activity of the user, and UTC day.

    Update with prediction columns file by file, then compute.
    """

    def __init__(self) -> None:
        self._device, self._campaign, self._activity, self._day = (Segments() for _ in range(4))

    def update(self, columns: dict[str, np.ndarray]) -> None:
        """Add labelled impressions."""
        self._device.update(columns["device_key"], columns)
        self._campaign.update(columns["campaign_key"], columns)
        self._activity.update(activity_segment(columns["visible_events"]), columns)
        self._day.update(day_segment(columns["time_us"]), columns)

    def compute(self, names: SegmentNames) -> dict[str, Any]:
        """Return attribute -> segment -> metrics, see `rosa_ray.metrics.segments.SegmentMetrics`."""
        return {
            "device": self._device.compute(names.device),
            "campaign": self._campaign.compute(names.campaign),
            "activity": self._activity.compute(ACTIVITY_NAMES.__getitem__),
            "day": self._day.compute(_day_name),
        }


def _by_key(names: Iterable[str]) -> dict[int, str]:
    listed = sorted(names)
    keys = hash_ids(pa.array(listed, pa.string())).tolist()
    return {MISSING_KEY: _MISSING_NAME, **dict(zip(keys, listed, strict=True))}


def _hexadecimal(key: int) -> str:
    return f"{key % 2**64:016x}"


def _day_name(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_US / 1e6, UTC).date().isoformat()
