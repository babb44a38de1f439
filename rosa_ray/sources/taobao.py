"""Taobao UserBehavior (Alibaba Tianchi): what users did on a marketplace in nine days of 2017."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ConfigError
from rosa_ray.schema import EVENTS
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.table_files import map_values, row_ids, set_aside, stream_csv, times_from_integers

FILE_COLUMNS = ("user_id", "item_id", "category", "behavior", "event_time")
BEHAVIORS_OF = {"pv": "view", "fav": "cart", "cart": "cart", "buy": "purchase"}
WINDOW_START = datetime(2017, 11, 24, 16, tzinfo=UTC)
WINDOW_END = datetime(2017, 12, 3, 16, tzinfo=UTC)


@dataclass(frozen=True)
class TaobaoSource:
    """Reads `UserBehavior.csv`, plain or `.csv.gz`, as events.

    The file has no header: user, item, category, behaviour, unix seconds UTC. `pv` (item page view) is a view,
    `buy` a purchase. `fav` has no twin in the four behaviours and **counts as `cart`**: both put an item aside for
    later. There are no prices. Rows outside the published window, 25 November to 3 December 2017 in China time
    (UTC+8), are set aside. The file names no event: an id is the file's name and the row number.
    """

    config: SourceConfig

    def __post_init__(self) -> None:
        if not self.config.path:
            raise ConfigError("source.path is empty; for kind 'taobao' give UserBehavior.csv, .csv.gz or a directory")

    def files(self) -> list[SourceFile]:
        """List the files of `config.path`, all of them events."""
        return find_files(self.config.path, EVENTS.name)

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        first_row = 0
        for batch in stream_csv(file.path, FILE_COLUMNS):
            yield self._to_events(batch, file, first_row)
            first_row += batch.table.num_rows

    def _to_events(self, batch: RawBatch, file: SourceFile, first_row: int) -> RawBatch:
        raw = batch.table
        times = times_from_integers(raw["event_time"], "s", "event_time", file.path)
        table = pa.table(
            {
                "event_id": row_ids(file, first_row, raw.num_rows),
                "user_id": raw["user_id"],
                "item_id": raw["item_id"],
                "behavior": map_values(raw["behavior"], BEHAVIORS_OF),
                "event_time": times,
                "category": raw["category"],
            }
        )
        inside = pc.and_(
            pc.greater_equal(times, pa.scalar(WINDOW_START, times.type)),
            pc.less(times, pa.scalar(WINDOW_END, times.type)),
        )
        reason = "lie outside 2017-11-25 to 2017-12-03 (UTC+8)"
        return set_aside(RawBatch(table, batch.rejected), inside, file.path, "event_time", reason)


SOURCES = {"taobao": TaobaoSource}
