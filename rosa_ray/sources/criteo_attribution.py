"""Criteo Attribution (2017): thirty days of impressions with clicks, costs, and conversions of the last click."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema import ADS, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.columns import EPOCH_S
from rosa_ray.sources.named import NamedLog, first_of_each, read_text
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceFile

CATEGORIES = tuple(f"cat{at}" for at in range(1, 10))
_OF_LABELS = ("conversion", "conversion_timestamp", "attribution", "click", "click_pos", "click_nb", "cpo")
_SHOWN_AT, _CONVERTED, _CONVERTED_AT, _EARNED = "shown_at", "converted", "converted_at", "earned"
COLUMNS = {
    "impressions": {
        "impression_id": "#row",
        "user_id": "uid",
        "ad_id": "campaign",
        "request_time": _SHOWN_AT,
        "conversion": _CONVERTED,
        "conversion_time": _CONVERTED_AT,
        "revenue": _EARNED,
    },
    "ads": {"ad_id": "campaign", "campaign_id": "campaign"},
}


@dataclass(frozen=True)
class CriteoAttributionSource(NamedLog):
    """Reads `criteo_attribution_dataset.tsv.gz` as impressions, and its campaigns as ads.

    Times are seconds from the log's start, which stands at the beginning of 2000: hours and weekdays are of that clock.

    The log marks every impression of the thirty days before a conversion. Here the last click before it converts, and
    no other impression. Its revenue is `cpo`, what the advertiser pays for the order, where the log attributes the
    conversion to Criteo; else it is 0. It is not what the shop sold. Costs and `cpo` were transformed by the publisher.

    Categories `cat1` to `cat9` are columns of the request. `time_since_last_click` is not read.
    """

    tables: ClassVar[tuple[str, ...]] = (IMPRESSIONS.name, ADS.name)
    features: ClassVar[Mapping[str, OwnKind]] = {f"request.{name}": "category" for name in CATEGORIES}

    def files(self) -> list[SourceFile]:
        """List the files of `config.path` as impressions and as ads."""
        found = find_files(self.config.path, IMPRESSIONS.name)
        return [*found, *(replace(file, contract_name=ADS.name) for file in found)]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns=COLUMNS, time_unit="s")
        if file.contract_name == ADS.name:
            yield from first_of_each(read_text(config, file, own=self.own))
        else:
            yield from read_text(config, file, derive=_derived, of=("timestamp", *_OF_LABELS), own=self.own)


def _derived(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    last = pc.equal(_whole(table["click_pos"]), pc.subtract(_whole(table["click_nb"]), 1))
    converted = pc.and_(pc.and_(_is_one(table["click"]), _is_one(table["conversion"])), pc.fill_null(last, False))
    earned = pc.if_else(pc.and_(converted, _is_one(table["attribution"])), table["cpo"], "0")
    at = pc.if_else(converted, table["conversion_timestamp"], None)
    return {
        _SHOWN_AT: _since_1970(table["timestamp"]),
        _CONVERTED: pc.if_else(converted, "1", "0"),
        _CONVERTED_AT: _since_1970(pc.if_else(pc.equal(at, "-1"), None, at)),
        _EARNED: earned,
    }


def _is_one(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(texts, "1"), False)


def _whole(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers, null where a text is none."""
    return pc.if_else(pc.match_substring_regex(texts, r"^-?\d{1,9}$"), texts, None).cast(pa.int64())


def _since_1970(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    """Seconds of the log on the clock; what is no number stays to be set aside."""
    numbers = _whole(seconds)
    return pc.coalesce(pc.add(numbers, EPOCH_S).cast(pa.string()), seconds)


SOURCES = {"criteo_attribution": CriteoAttributionSource}
