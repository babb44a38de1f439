"""Materialisation: encode every user's timeline with a bundle's ranker and fill the online store, then activate.

Actors on Ray Data encode, on GPUs where there are some. One writer fills a generation of the store beside those that
are live: servers go on reading and writing throughout. Where a live generation holds this data already, as for a model
fitted anew on it, only the states of the model are written. A run that is broken off goes on where it stopped, file by
file; one that is repeated gives the same store.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import xxhash
from annotated_types import Ge

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.data.actor_pool import map_on_actors
from rosa_ray.data.counter_files import read_counters_file
from rosa_ray.data.own_join import ID_COLUMNS, table_paths
from rosa_ray.data.user_encoding import UserEncoder, state_block, timeline_block, with_events, with_user
from rosa_ray.data.user_rows import read_spec
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.features import FeatureState, counting_fingerprint
from rosa_ray.features.config import ADDED_LATER
from rosa_ray.features.own import ColumnConfigs, of_prefix
from rosa_ray.features.versions import Versions
from rosa_ray.inference import load_ranker
from rosa_ray.run_dir import DataDir
from rosa_ray.schema.own_columns import ENTITIES
from rosa_ray.settings import section
from rosa_ray.sources.paths import find_files
from rosa_ray.storage import read_parquet, readable
from rosa_ray.store import ApplyResult, LoadProgress, OnlineStore, StoreConfig, StoreVersion, open_store
from rosa_ray.store.config import DEFAULT_TIMELINE_EVENTS


@section("materialize")
class MaterializeConfig:
    """How the work is cut."""

    users_per_block: Annotated[int, Ge(1)] = 1024
    """Users encoded at a time."""
    users_per_batch: Annotated[int, Ge(1)] = 64
    """Users padded to one rectangle for the encoder."""
    actors: Annotated[int, Ge(0)] = 0
    """Encoder processes. 0 takes one per GPU, or one per CPU but the writer's."""


@dataclass(frozen=True)
class MaterializeResult:
    """What was written.

    Attributes:
        store: where it is.
        version: the data that the store holds, and `model_version` whose states.
        refit: the data was live already, so that only states were written.
        users: users with events that were written in this run; those of finished files of a broken-off run are not.
        resumed_files: input files that an earlier run had finished.
        replayed: what became of events that came in live since the log was written.
        missing_us: where live events of after the log fell out of the journal, the end of the gap; else None. A refit
            misses none: the data that is live has counted them.
    """

    store: str
    version: StoreVersion
    model_version: str
    refit: bool
    users: int
    resumed_files: int
    replayed: ApplyResult
    missing_us: int | None
    seconds: float


_FOOTER_END = 8
"""Bytes behind the footer of a Parquet file: its length, and the mark of the format."""

_THINGS = 5000
"""Users, items or ads whose columns are written at a time."""


@dataclass(frozen=True)
class _RowFile:
    """A Parquet file; `digest` is of its footer, which holds the sizes and ranges of all that is in it."""

    path: str
    rows: int
    size: int
    digest: str


def materialize(
    data_dir: str,
    bundle_dir: str,
    store_config: StoreConfig,
    config: MaterializeConfig | None = None,
    progress: Callable[[int], object] = lambda rows: None,
) -> MaterializeResult:
    """Fill the online store from preprocessed data and a bundle. Ray must be initialised.

    Args:
        data_dir: what `preprocess` wrote, local or remote.
        store_config: the store; it is created where it is missing.
        progress: called with the number of user rows of every block that is written.

    Raises:
        InputError: the data is missing, damaged, or was computed with other feature settings than the bundle's.
        BundleError: the bundle is missing, damaged or of other features than this code's.
        StoreError: the store is locked, damaged, or another materialisation took over.
    """
    began, layout, config = time.perf_counter(), DataDir(data_dir), config or MaterializeConfig()
    bundle = open_bundle(bundle_dir)
    state = bundle.features(FeatureState.load)
    _require_same_features(layout, state)
    files = _user_files(layout)
    tables = {prefix: table_paths(layout, prefix) for prefix in ENTITIES if of_prefix(prefix, state.config.columns)}
    others = [layout.counters, *(path for paths in tables.values() for path in paths)]
    version, model = _version(layout, state, files, others), bundle.model_version
    encoder = _encoder(bundle, state, version.as_of_us, store_config, config)
    store = open_store(store_config, state.config, model, user_key_id=state.user_key_id, create=True)
    try:
        progress_made = store.begin_load(version, model, encoder.context_events)
        todo = _to_do(files, progress_made, encoder)
        load, users = _Load(version, model, progress_made.is_live), 0
        for rows, written in _write_users(store, load, encoder, todo, _encoded(encoder, todo, config)):
            users += written
            progress(rows)
        if not load.refit:
            store.load_counters(version, read_counters_file(layout.counters))
            load_things(store, version, tables, state.config.columns)
        replayed, info = store.activate(version, model), store.info()
    finally:
        store.close()
    return MaterializeResult(
        store=info.location,
        version=version,
        model_version=model,
        refit=load.refit,
        users=users,
        resumed_files=len(files) - len(todo),
        replayed=replayed,
        missing_us=info.journal_from_us if not load.refit and info.journal_from_us > version.as_of_us else None,
        seconds=time.perf_counter() - began,
    )


def load_things(
    store: OnlineStore, version: StoreVersion, tables: Mapping[str, Sequence[str]], configs: ColumnConfigs
) -> None:
    """Put what is known of users, items and ads into the version being loaded.

    Args:
        tables: files by the prefix of their columns; all rows of a user, item or ad are in one.
        configs: all declared columns.

    Raises:
        InputError: a table is missing or damaged.
    """
    for prefix, paths in tables.items():
        for path in paths:
            versions = Versions.of(read_parquet(path), ID_COLUMNS[prefix], of_prefix(prefix, configs))
            keys, packed = versions.packed()
            for start in range(0, len(keys), _THINGS):
                store.load_columns(version, prefix, keys[start : start + _THINGS], packed[start : start + _THINGS])


def encode_file(encoder: UserEncoder, path: str, users_per_block: int, device: str = "cpu") -> Iterator[pa.Table]:
    """Encode one file of user rows block by block; column `part` of each block is the path.

    Raises:
        InputError: the file is missing or damaged, or its rows have no event ids.
    """
    with readable(path, "a Parquet file of user rows"), fsspec.open(path, "rb") as handle:
        parquet = pq.ParquetFile(handle, page_checksum_verification=True)
        _require_columns(parquet.schema_arrow, path, encoder.columns)
        for batch in parquet.iter_batches(users_per_block, columns=list(encoder.columns)):
            encoded = encoder(pa.Table.from_batches([batch]), device)
            yield encoded.append_column("part", pa.array([path] * encoded.num_rows, pa.string()))


class _FileEncoder:
    """What an actor does: encodes the files it is given."""

    def __init__(self, encoder: UserEncoder, users_per_block: int, device: str) -> None:
        if encoder.ranker is not None:
            encoder.ranker.to(device)
        self._encoder, self._users_per_block, self._device = encoder, users_per_block, device

    def __call__(self, path: str) -> Iterator[pa.Table]:
        return encode_file(self._encoder, path, self._users_per_block, self._device)


@dataclass(frozen=True)
class _Load:
    """What is written: data and the states of a model, or with `refit` the states alone."""

    version: StoreVersion
    model: str
    refit: bool


def _to_do(files: list[_RowFile], made: LoadProgress, encoder: UserEncoder) -> list[_RowFile]:
    """Files to encode: none where the data is live and the model has no states to add."""
    if made.is_live and not encoder.window:
        return []
    return [file for file in files if file.path not in made.done]


def _write_users(
    store: OnlineStore, load: _Load, encoder: UserEncoder, files: list[_RowFile], blocks: Iterator[pa.Table]
) -> Iterator[tuple[int, int]]:
    """Write encoded blocks; yields rows read and users written after each."""
    missing = {file.path: file.rows for file in files}
    for table in blocks:
        known = with_user(table)
        if not load.refit:
            store.load_users(load.version, timeline_block(known))
        users = with_events(known)
        states = state_block(users, encoder.window)
        if states is not None:
            store.write_states(load.version, load.model, states)
        for path, rows in Counter(table["part"].to_pylist()).items():
            missing[path] -= rows
            if not missing[path]:
                store.mark_loaded(load.version, load.model, [path])
        yield table.num_rows, users.num_rows


def _encoded(encoder: UserEncoder, files: list[_RowFile], config: MaterializeConfig) -> Iterator[pa.Table]:
    """Encode files side by side; those of several files come in any order."""
    if not files:
        return
    gpus = int(ray.cluster_resources().get("GPU", 0))
    actors = config.actors or gpus or max(int(ray.cluster_resources().get("CPU", 1)) - 1, 1)
    arguments = encoder, config.users_per_block, "cuda" if gpus else "cpu"
    paths = [file.path for file in files]
    for _, block in map_on_actors(_FileEncoder, arguments, paths, actors, "encoding users", use_gpu=bool(gpus)):
        yield block


def _encoder(
    bundle: Bundle, state: FeatureState, as_of_us: int, store: StoreConfig, config: MaterializeConfig
) -> UserEncoder:
    ranker = load_ranker(bundle.model, bundle.weights())
    needed = int(getattr(ranker, "context_events", DEFAULT_TIMELINE_EVENTS))
    if 0 < store.max_timeline_events < needed:
        raise ConfigError(
            f"store.max_timeline_events is {store.max_timeline_events}; model '{bundle.model['name']}' needs {needed} "
            "to compute its states again; give that or more, or 0"
        )
    return UserEncoder(
        ranker=ranker,
        state=state,
        context_events=store.max_timeline_events or needed,
        as_of_us=as_of_us,
        seen_from_us=as_of_us - store.horizon_us,
        users_per_batch=config.users_per_batch,
    )


def _version(layout: DataDir, state: FeatureState, files: list[_RowFile], others: list[str]) -> StoreVersion:
    """The data, whatever model was fitted to it: equal data is loaded once."""
    listing = "|".join(f"{file.path}:{file.size}:{file.rows}:{file.digest}" for file in (*files, *map(_sized, others)))
    end_us = int(read_spec(layout)["end_us"])
    source = xxhash.xxh64_hexdigest(f"{listing}|{end_us}".encode())
    return StoreVersion(counting_fingerprint(state.config, state.user_key_id), end_us, source)


def _require_same_features(layout: DataDir, state: FeatureState) -> None:
    unset = json.loads(json.dumps(ADDED_LATER))
    found = unset | read_spec(layout)["feature_config"]
    expected = unset | json.loads(json.dumps(state.config.definition()))
    if found != expected:
        names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        raise InputError(
            f"{layout.root}: was computed with other settings of features.{', features.'.join(names)} than the "
            "bundle's; run `rosa preprocess` with the bundle's settings, or train on this data"
        )


def _user_files(layout: DataDir) -> list[_RowFile]:
    return [_sized(file.path) for file in find_files(layout.users, "users")]


def _sized(path: str) -> _RowFile:
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        rows, size = pq.ParquetFile(handle).metadata.num_rows, handle.seek(0, 2)
        handle.seek(-_FOOTER_END, 2)
        length = int.from_bytes(handle.read(4), "little")
        handle.seek(-_FOOTER_END - length, 2)
        return _RowFile(path, rows, size, xxhash.xxh64_hexdigest(handle.read(length)))


def _require_columns(schema: pa.Schema, path: str, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing from the user rows; run `rosa preprocess` again")
