"""REES46 multi-category shop: views, carts and purchases with prices."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from rosa_ray.sources.named import NamedLog, read_text
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.table_files import set_aside

COLUMNS = {"event_id": "#row", "item_id": "product_id", "behavior": "event_type", "category": "category_id"}
REMOVAL = "remove_from_cart"


@dataclass(frozen=True)
class Rees46Source(NamedLog):
    """Reads the monthly files, plain or compressed, as events.

    They have a header, times such as `2019-10-01 00:00:00 UTC` and prices in USD. `remove_from_cart` undoes a cart
    and is none of the four behaviours: such rows are set aside. The files name no event: an id is the file's name
    and the row number.
    """

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        for batch in read_text(self.known(columns={"events": COLUMNS}), file, own=self.own):
            kept = pc.not_equal(batch.table["behavior"], REMOVAL)
            yield set_aside(batch, kept, file.path, "behavior", f"are {REMOVAL}, which has no contract behaviour")


SOURCES = {"rees46": Rees46Source}
