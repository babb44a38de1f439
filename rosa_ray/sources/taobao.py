"""Taobao UserBehavior (Alibaba Tianchi): what users did on a marketplace in nine days of 2017."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.sources.named import NamedLog, read_text
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.table_files import set_aside
from rosa_ray.sources.text_files import TextForm

FILE_COLUMNS = ("user_id", "item_id", "category", "behavior", "event_time")
BEHAVIORS_OF = {"pv": "view", "fav": "cart", "cart": "cart", "buy": "purchase"}
WINDOW_START = datetime(2017, 11, 24, 16, tzinfo=UTC)
WINDOW_END = datetime(2017, 12, 3, 16, tzinfo=UTC)


@dataclass(frozen=True)
class TaobaoSource(NamedLog):
    """Reads `UserBehavior.csv`, plain or compressed, as events.

    The file has no header: user, item, category, behaviour, unix seconds UTC. `pv` (item page view) is a view,
    `buy` a purchase. `fav` has no twin in the four behaviours and **counts as `cart`**: both put an item aside for
    later. There are no prices. Rows outside the published window, 25 November to 3 December 2017 in China time
    (UTC+8), are set aside. The file names no event: an id is the file's name and the row number.
    """

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns={"events": {"event_id": "#row"}}, behaviors=BEHAVIORS_OF, time_unit="s")
        start, end = (pa.scalar(moment, TIMESTAMP) for moment in (WINDOW_START, WINDOW_END))
        for batch in read_text(config, file, TextForm(header=FILE_COLUMNS), own=self.own):
            times = batch.table["event_time"]
            inside = pc.and_(pc.greater_equal(times, start), pc.less(times, end))
            yield set_aside(batch, inside, file.path, "event_time", "lie outside 2017-11-25 to 2017-12-03 (UTC+8)")


SOURCES = {"taobao": TaobaoSource}
