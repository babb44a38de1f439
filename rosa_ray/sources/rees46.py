"""REES46 multi-category shop: views, carts and purchases with prices."""

from collections.abc import Iterator
from dataclasses import dataclass

from rosa_ray.sources.named import NamedLog, read_text
from rosa_ray.sources.protocol import RawBatch, SourceFile

COLUMNS = {"event_id": "#row", "item_id": "product_id", "behavior": "event_type", "category": "category_id"}


@dataclass(frozen=True)
class Rees46Source(NamedLog):
    """Reads the monthly files, plain or compressed, as events.

    They have a header, times such as `2019-10-01 00:00:00 UTC` and prices in USD. `remove_from_cart` undoes a cart.
    Such rows are set aside where `features.behaviors` does not name it. The files name no event: an id is the file's
    name and the row number.
    """

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        yield from read_text(self.known(columns={"events": COLUMNS}), file, own=self.own)


SOURCES = {"rees46": Rees46Source}
