"""Criteo Display Advertising (2014): a click label, thirteen counts and twenty-six categories, and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa

from rosa_ray.schema import ADS, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.generic import require_one_file
from rosa_ray.sources.named import NamedLog, read_text
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.text_files import TextFile, TextForm

COUNTS = tuple(f"I{at}" for at in range(1, 14))
CATEGORIES = tuple(f"C{at}" for at in range(1, 27))
LABEL = "Label"
_AD = "ad"
COLUMNS = {
    "impressions": {
        "impression_id": "#row",
        "ad_id": f"={_AD}",
        "request_time": "#row",
        "click": LABEL,
    },
}


@dataclass(frozen=True)
class CriteoDisplaySource(NamedLog):
    """Reads `train.txt`, tab-separated without a header, or a table of the same columns with one.

    The log names no user, no ad and no time: every row is of one ad, and rows lie a second apart in their order, which
    is that of time. The counts and categories are columns of the request.
    """

    tables: ClassVar[tuple[str, ...]] = (IMPRESSIONS.name, ADS.name)
    features: ClassVar[Mapping[str, OwnKind]] = {
        **{f"request.{name}": "number" for name in COUNTS},
        **{f"request.{name}": "category" for name in CATEGORIES},
    }

    def files(self) -> list[SourceFile]:
        """List the files of `config.path` as impressions, and the first of them as the one ad."""
        found = find_files(self.config.path, IMPRESSIONS.name)
        require_one_file(found)
        return [*found, replace(found[0], contract_name=ADS.name)]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        if file.contract_name == ADS.name:
            yield RawBatch(pa.table({"ad_id": [_AD]}))
            return
        config = self.known(columns=COLUMNS)
        yield from read_text(config, file, _form(file.path), own=self.own)


def _form(path: str) -> TextForm:
    has_header = {name.strip().lower() for name in TextFile(path, TextForm()).names} >= {LABEL.lower(), "i1", "c1"}
    return TextForm() if has_header else TextForm("\t", header=(LABEL, *COUNTS, *CATEGORIES))


SOURCES = {"criteo_display": CriteoDisplaySource}
