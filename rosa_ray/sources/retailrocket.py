"""RetailRocket: views, carts and transactions of a shop in 2015."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from rosa_ray.errors import InputError
from rosa_ray.sources.named import NamedLog, read_text
from rosa_ray.sources.protocol import RawBatch, SourceFile

COLUMNS = {
    "event_id": "#row",
    "user_id": "visitorid",
    "item_id": "itemid",
    "behavior": "event",
    "event_time": "timestamp",
}
BEHAVIORS_OF = {"addtocart": "cart", "transaction": "purchase"}


@dataclass(frozen=True)
class RetailRocketSource(NamedLog):
    """Reads `events.csv`, plain or compressed; the item properties beside it are passed over.

    Times are milliseconds UTC. There are no categories and no prices. The file names no event: an id is the file's
    name and the row number.
    """

    def files(self) -> list[SourceFile]:
        """List the files of `config.path` whose name begins with `events`."""
        files = [file for file in super().files() if os.path.basename(file.path).startswith("events")]
        if not files:
            raise InputError(f"{self.config.path}: no events.csv is there")
        return files

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns={"events": COLUMNS}, behaviors=BEHAVIORS_OF, time_unit="ms")
        yield from read_text(config, file, own=self.own)


SOURCES = {"retailrocket": RetailRocketSource}
