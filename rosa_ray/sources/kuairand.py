"""KuaiRand (Kuaishou): short videos shown to users, with depths of action, as events, impressions and ads."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import InputError
from rosa_ray.schema import ADS, EVENTS, IMPRESSIONS
from rosa_ray.sources.named import NamedLog, first_of_each, read_text
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceFile

ACTIONS = {"is_follow": "purchase", "long_view": "cart", "is_click": "click"}
"""File column -> behaviour of an event, strongest first; a row with none of them is a view."""

DURATION = "duration_ms"
_LENGTH, _ACTION = "length", "action"
COLUMNS = {
    "events": {
        "event_id": "#row",
        "item_id": "video_id",
        "behavior": _ACTION,
        "event_time": "time_ms",
        "category": _LENGTH,
    },
    "impressions": {
        "impression_id": "#row",
        "request_id": "#row",
        "ad_id": "video_id",
        "request_time": "time_ms",
        "bid": "=1",
        "cost": "=0",
        "click": "is_click",
        "conversion": "is_follow",
        "revenue": "is_follow",
    },
    "ads": {
        "ad_id": "video_id",
        "item_id": "video_id",
        "campaign_id": _LENGTH,
        "category": _LENGTH,
        "bid": "=1",
        "price": "=1",
    },
}


@dataclass(frozen=True)
class KuaiRandSource(NamedLog):
    """Reads `log_*.csv`, or a slice of one, three times: as events, as impressions and, video by video, as ads.

    A follow is a conversion worth 1, and the event `purchase`; a long view is the event `cart`. Bids are 1 and costs 0.
    Videos have no category here: their length, in doublings from 8 seconds, stands in. Propensities are not read.
    """

    tables: ClassVar[tuple[str, ...]] = (EVENTS.name, IMPRESSIONS.name, ADS.name)

    def files(self) -> list[SourceFile]:
        """List the logs once for each table."""
        found = find_files(self.config.path, EVENTS.name)
        logs = [file for file in found if not os.path.basename(file.path).startswith(("video_", "user_"))]
        if not logs:
            raise InputError(f"{self.config.path}: no log of KuaiRand is there")
        return [replace(file, contract_name=table.name) for table in (EVENTS, IMPRESSIONS, ADS) for file in logs]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns=COLUMNS, time_unit="ms")
        batches = read_text(config, file, derive=_derived, of=(*ACTIONS, DURATION), own=self.own)
        yield from first_of_each(batches) if file.contract_name == ADS.name else batches


def _derived(table: pa.Table) -> dict[str, pa.Array]:
    done = [pc.equal(table[name], "1") for name in ACTIONS]
    action = pa.array(["view"] * table.num_rows, pa.string())
    for marks, behavior in list(zip(done, ACTIONS.values(), strict=True))[::-1]:
        action = pc.if_else(pc.fill_null(marks, False), behavior, action)
    return {_ACTION: action, _LENGTH: _lengths(table[DURATION])}


def _lengths(duration_ms: pa.ChunkedArray) -> pa.Array:
    numbers = pc.if_else(pc.match_substring_regex(duration_ms, r"^\d+(\.\d+)?$"), duration_ms, None).cast(pa.float64())
    seconds = np.nan_to_num(numbers.to_numpy() / 1_000)
    doublings = np.clip(np.floor(np.log2(np.maximum(seconds, 1) / 8)) + 1, 0, 8).astype(int)
    names = np.array(["under 8 s", *(f"from {8 << at} s" for at in range(8))], object)
    return pa.array(np.where(seconds > 0, names[doublings], "unknown"), pa.string())


SOURCES = {"kuairand": KuaiRandSource}
