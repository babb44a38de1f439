"""iPinYou (2013): impressions that a bidding platform bought, with the price paid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema import ADS, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.named import NamedLog, first_of_each, read_text
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.text_files import TextFile, TextForm

FILE_COLUMNS = (
    "click",
    "weekday",
    "hour",
    "bidid",
    "timestamp",
    "logtype",
    "ipinyouid",
    "useragent",
    "IP",
    "region",
    "city",
    "adexchange",
    "domain",
    "url",
    "urlid",
    "slotid",
    "slotwidth",
    "slotheight",
    "slotvisibility",
    "slotformat",
    "slotprice",
    "creative",
    "bidprice",
    "payprice",
    "keypage",
    "advertiser",
    "usertag",
)
"""Names as `make-ipinyou-data` writes them; files of one campaign (DRSA) have no header."""

FEN_PER_MILLE = 100_000
"""Fen for a thousand impressions in one yuan an impression."""

_BID, _PAID, _SLOT = "bid", "paid", "slot"
COLUMNS = {
    "impressions": {
        "impression_id": "#row",
        "request_id": "bidid",
        "user_id": "ipinyouid",
        "ad_id": "creative",
        "request_time": "timestamp",
        "device": "useragent",
        "region": "city",
        "bid": _BID,
        "cost": _PAID,
        "conversion": "=false",
        "revenue": "=0",
    },
    "ads": {
        "ad_id": "creative",
        "campaign_id": "advertiser",
        "category": _SLOT,
        "bid": _BID,
        "price": "=1",
        "valid_from": "timestamp",
    },
}


@dataclass(frozen=True)
class IPinYouSource(NamedLog):
    """Reads impressions joined with clicks (`train.log.txt` of make-ipinyou-data or DRSA), and ads out of them.

    Times are China's (UTC+8). Bid and price paid are fen for a thousand impressions there, and yuan for one here.
    There are no events and no conversions, and hardly a user is seen twice. An ad's bid is that of its first row in
    each file and holds from then on. Its category is the size of its slot.
    """

    tables: ClassVar[tuple[str, ...]] = (IMPRESSIONS.name, ADS.name)
    features: ClassVar[Mapping[str, OwnKind]] = {
        "request.adexchange": "category",
        "request.slotvisibility": "category",
        "request.slotformat": "category",
        "request.slotprice": "number",
    }

    def files(self) -> list[SourceFile]:
        """List the files of `config.path` as impressions and as ads."""
        found = find_files(self.config.path, IMPRESSIONS.name)
        return [*found, *(replace(file, contract_name=ADS.name) for file in found)]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns=COLUMNS, time_format="%Y%m%d%H%M%S%f", time_zone="Asia/Shanghai")
        batches = read_text(
            config, file, _form(file.path), _derived, ("bidprice", "payprice", "slotwidth", "slotheight"), self.own
        )
        yield from first_of_each(batches) if file.contract_name == ADS.name else batches


def _form(path: str) -> TextForm:
    first_line = TextFile(path, TextForm("\t")).names
    if "bidid" in first_line:
        return TextForm("\t")
    more = range(len(FILE_COLUMNS), len(first_line))
    return TextForm("\t", header=(*FILE_COLUMNS, *(f"column {at + 1}" for at in more)))


def _derived(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {
        _BID: _yuan(table["bidprice"]),
        _PAID: _yuan(table["payprice"]),
        _SLOT: pc.binary_join_element_wise(table["slotwidth"], table["slotheight"], "x"),
    }


def _yuan(fen: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers by unit; what is no number stays to be set aside."""
    numbers = pc.match_substring_regex(fen, r"^\d+(\.\d+)?$")
    scaled = pc.divide(pc.if_else(numbers, fen, None).cast(pa.float64()), FEN_PER_MILLE).cast(pa.string())
    return pc.if_else(pc.fill_null(numbers, False), scaled, fen)


SOURCES = {"ipinyou": IPinYouSource}
