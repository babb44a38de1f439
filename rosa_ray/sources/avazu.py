"""Avazu (2014): clicks on mobile ads of eleven days, by the hour, with twenty-one categories and no users."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from rosa_ray.errors import InputError
from rosa_ray.schema import ADS, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.named import NamedLog, first_of_each, read_text
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceFile

CATEGORIES = (
    *("C1", "banner_pos", "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category"),
    *("device_id", "device_ip", "device_model", "device_conn_type"),
    *("C15", "C16", "C18", "C19", "C20", "C21"),
)
UNLABELLED = ("test", "sampleSubmission")
"""How files begin that say no clicks."""
COLUMNS = {
    "impressions": {"impression_id": "id", "ad_id": "C14", "request_time": "hour", "device": "device_type"},
    "ads": {"ad_id": "C14", "campaign_id": "C17"},
}


@dataclass(frozen=True)
class AvazuSource(NamedLog):
    """Reads `train.csv` or `train.gz` as impressions, and ads out of them.

    The publisher names no ad and no campaign. By convention `C14` is taken as the ad, and `C17` of its first row as
    the campaign. There are no users, costs and conversions. Times are hours, in UTC; the order within one is unknown.
    The other categories are columns of the request.
    """

    tables: ClassVar[tuple[str, ...]] = (IMPRESSIONS.name, ADS.name)
    features: ClassVar[Mapping[str, OwnKind]] = {f"request.{name}": "category" for name in CATEGORIES}

    def files(self) -> list[SourceFile]:
        """List the files of `config.path` that say clicks, as impressions and as ads."""
        found = find_files(self.config.path, IMPRESSIONS.name)
        logs = [file for file in found if not os.path.basename(file.path).startswith(UNLABELLED)]
        if not logs:
            raise InputError(f"{self.config.path}: no file with clicks is there, such as train.gz")
        return [*logs, *(replace(file, contract_name=ADS.name) for file in logs)]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns=COLUMNS, time_format="%y%m%d%H", time_zone="UTC")
        batches = read_text(config, file, own=self.own)
        yield from first_of_each(batches) if file.contract_name == ADS.name else batches


SOURCES = {"avazu": AvazuSource}
