"""Ali-CCP (Taobao, 2018): impressions with clicks and purchases, whose user fields lie in a second file."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import InputError
from rosa_ray.schema import ADS, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.column_forms import forms_of
from rosa_ray.sources.named import NamedLog, first_of_each, read_text
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.text_files import TextFile, TextForm

SKELETON, COMMON = "sample_skeleton", "common_features"
INDEX, FEATURES = "common_feature_index", "feature_list"
SKELETON_COLUMNS = ("sample_id", "click", "buy", INDEX, "feature_num", FEATURES)
COMMON_COLUMNS = (INDEX, "feature_num", FEATURES)
USER = "field_101"
USER_FIELDS = tuple(f"field_{at}" for at in (121, 122, 124, 125, 126, 127, 128, 129))
"""Fields of the user with one value each: profile, group, gender, age, two levels of spending, occupation, place."""
ROW_FIELDS = ("field_205", "field_206", "field_207", "field_301")
"""Fields of an impression with one value each: item, its category, its shop, and the context."""
UNKNOWN = "unknown"
"""Category or shop of an item whose row does not say it."""
COLUMNS = {
    "impressions": {
        "impression_id": "sample_id",
        "user_id": USER,
        "ad_id": "field_205",
        "request_time": "#row",
        "conversion": "buy",
    },
    "ads": {"ad_id": "field_205", "item_id": "field_205", "campaign_id": "field_207", "category": "field_206"},
}


@dataclass(frozen=True)
class AliCcpSource(NamedLog):
    """Reads `sample_skeleton_*.csv` as impressions, joined with the `common_features_*.csv` that lies beside it.

    Users are field 101, ads and items 205, their category 206. The shop, 207, stands in for the campaign. A purchase is
    a conversion. There are no times, prices and costs: rows lie a second apart in the order of the file, and the
    publisher does not say that this is the order of time.

    The fields of a user with one value, and the context 301, are columns of the request. Fields with many values, such
    as the user's history, are not read. Nor is what depends on user and item at once, or on the item alone.
    """

    tables: ClassVar[tuple[str, ...]] = (IMPRESSIONS.name, ADS.name)
    features: ClassVar[Mapping[str, OwnKind]] = {f"request.{name}": "category" for name in (*USER_FIELDS, "field_301")}

    def files(self) -> list[SourceFile]:
        """List the one file of impressions, and again as ads."""
        found = find_files(self.config.path, IMPRESSIONS.name)
        shown = [file for file in found if os.path.basename(file.path).startswith(SKELETON)]
        if len(shown) != 1:
            names = ", ".join(file.name for file in shown) or "none"
            raise InputError(
                f"{self.config.path}: one {SKELETON}_*.csv should be there, found {names}; "
                "its rows say no time, so those of two have no order"
            )
        return [*shown, *(replace(file, contract_name=ADS.name) for file in shown)]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream the impressions, or the ads out of them.

        The common fields that are used are held in memory: about 100 bytes for each row of their file.
        """
        config, form = self.known(columns=COLUMNS), TextForm(",", header=SKELETON_COLUMNS)
        if file.contract_name == ADS.name:
            yield from first_of_each(read_text(config, file, form, _row_fields, (FEATURES,), self.own))
            return
        used = {entry.file_column for entry in forms_of(config, file.contract_name, self.own).values()}
        common = _common(_beside(file.path), {USER, *USER_FIELDS} & used)
        yield from read_text(config, file, form, partial(_joined, common), (INDEX, FEATURES), self.own)


def _beside(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, name.replace(SKELETON, COMMON, 1))


def _common(path: str, names: Collection[str]) -> pa.Table:
    """Some fields of a file of common features, and its index; equal values are stored once."""
    tables = []
    for batch in TextFile(path, TextForm(",", header=COMMON_COLUMNS)).stream([INDEX, FEATURES]):
        fields = {name: values.dictionary_encode() for name, values in _fields(batch.table, sorted(names)).items()}
        tables.append(pa.table({INDEX: batch.table[INDEX], **fields}))
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _joined(common: pa.Table, table: pa.Table) -> dict[str, pa.ChunkedArray]:
    at = pc.index_in(table[INDEX], value_set=common[INDEX].combine_chunks())
    names = [name for name in common.column_names if name != INDEX]
    return _row_fields(table) | {name: common[name].take(at).cast(pa.string()) for name in names}


def _row_fields(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    found = _fields(table, ROW_FIELDS)
    return found | {name: pc.fill_null(found[name], UNKNOWN) for name in ("field_206", "field_207")}


def _fields(table: pa.Table, names: Collection[str]) -> dict[str, pa.ChunkedArray]:
    """The ids of fields in lists such as `205<2>ID<3>VALUE<1>…`, where <n> is the byte n; null where absent."""
    lists = pc.split_pattern(table[FEATURES], "\x01").combine_chunks()
    numbers = "|".join(name.removeprefix("field_") for name in names)
    rows, texts = pc.list_parent_indices(lists), lists.flatten()
    wanted = pc.match_substring_regex(texts, rf"^(?:{numbers})\x02")
    rows, texts = rows.filter(wanted), texts.filter(wanted)
    return {name: _ids(rows, texts, name.removeprefix("field_"), len(table)) for name in names}


def _ids(rows: pa.Array, texts: pa.Array, number: str, count: int) -> pa.ChunkedArray:
    """The first id of one field in each of `count` rows."""
    own = pc.starts_with(texts, f"{number}\x02")
    rows, texts = rows.filter(own), texts.filter(own)
    ids = pc.struct_field(pc.extract_regex(texts, r"\x02(?P<id>[^\x03]+)"), "id")
    return pa.chunked_array([ids.take(pc.index_in(pa.array(np.arange(count)), value_set=rows))], pa.string())


SOURCES = {"ali_ccp": AliCcpSource}
