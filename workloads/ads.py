"""`rosa ads`: records of ads, from the online store or from files, as a table that preprocessing reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from rosa_ray.config import RunConfig
from rosa_ray.data.ad_records import FoldedAds, fold_ads
from rosa_ray.errors import EXIT_PARTIAL, InputError
from rosa_ray.features import AdTable
from rosa_ray.features.ad_changes import AdChange
from rosa_ray.features.own import own_columns
from rosa_ray.records import RecordParser, Refusal
from rosa_ray.schema import ADS
from rosa_ray.schema.own_columns import contract_with
from rosa_ray.sources import open_source
from rosa_ray.storage import write_parquet
from rosa_ray.store import open_store
from rosa_ray.streaming.log_layout import require_files
from workloads.places import source_of, store_of

_CHUNK = 1000


@dataclass(frozen=True)
class AdsOptions:
    """What to fold, and where to.

    Attributes:
        out: the table to write.
        files: JSON lines with records; the online store where there are none.
    """

    out: str
    files: tuple[str, ...] = ()


def run(config: RunConfig, options: AdsOptions) -> int:
    """Write the ads of the source with what records tell of them.

    Returns:
        0, or `EXIT_PARTIAL` when records were refused or ads lack what the contract needs.

    Raises:
        InputError: the source or a file cannot be read.
        StoreError: the store cannot be read.
    """
    refused: list[tuple[str, Refusal]] = []
    changes = [*_of_files(config, options.files, refused)] if options.files else [*_of_store(config)]
    ads = read_ads(config)
    folded = fold_ads(changes, ads, config.features.columns)
    write_parquet(folded.table, options.out)
    _print(options.out, changes, ads, folded)
    for file, refusal in refused[:1]:
        print(f"refused {len(refused)} records; the first is line {refusal.index + 1} of {file}: {refusal.detail}")
    return EXIT_PARTIAL if refused or folded.incomplete else 0


def read_ads(config: RunConfig) -> pa.Table:
    """Rows of the ads that the source of a run names, under their contract; those that break it are left out."""
    own = own_columns(config.features.columns)
    contract, source = contract_with(ADS.name, own), open_source(source_of(config), own=own)
    files = [file for file in source.files() if file.contract_name == ADS.name]
    tables = [contract.check(batch.table, file.path)[0] for file in files for batch in source.read(file)]
    return pa.concat_tables([contract.schema.empty_table(), *tables])


def _of_store(config: RunConfig) -> Iterator[AdChange]:
    store, last = open_store(store_of(config), config.features), 0
    try:
        while (read := store.read_ads(last, _CHUNK)).changes:
            yield from read.changes
            last = read.last
    finally:
        store.close()


def _of_files(config: RunConfig, files: tuple[str, ...], refused: list[tuple[str, Refusal]]) -> Iterator[AdChange]:
    """Changes that JSON lines tell; records of other kinds are passed over."""
    nothing = AdTable.from_table(ADS.schema.empty_table())
    parser = RecordParser(nothing, time_form=config.records.time_form, features=config.features)
    for file in require_files(files):
        try:
            lines = {at: line for at, line in enumerate(Path(file).read_bytes().splitlines()) if b'"ad"' in line}
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
        parsed, places = parser.parse_lines([*lines.values()]), [*lines]
        refused += [(file, replace(refusal, index=places[refusal.index])) for refusal in parsed.refusals]
        yield from parsed.ads


def _print(out: str, changes: list[AdChange], ads: pa.Table, folded: FoldedAds) -> None:
    table = folded.table
    told = len({change.ad_id for change in changes})
    print(
        f"{out}: {len(set(table['ad_id'].to_pylist()))} ads in {table.num_rows} versions, from {ads.num_rows} rows of "
        f"the source and {len(set(changes))} records of {told} ads"
    )
    if folded.incomplete:
        print(
            f"left out {len(folded.incomplete)} ads without campaign_id, category, bid or price, such as "
            f"'{folded.incomplete[0]}'"
        )
