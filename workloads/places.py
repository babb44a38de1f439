"""The places that a run's config names: what its jobs read, and where they write."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rosa_ray.config import RunConfig
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.run_dir import RunDir
from rosa_ray.schema import CONTRACTS, IMPRESSIONS
from rosa_ray.settings.plain import dump
from rosa_ray.sources import SourceConfig, beside, brings
from rosa_ray.storage import is_remote, write_bytes
from rosa_ray.store.config import StoreConfig
from rosa_ray.streaming.config import StreamConfig

if TYPE_CHECKING:
    from rosa_ray.serving.assembly import ServiceSettings
    from rosa_ray.streaming.assembly import StreamSettings


def record_config(config: RunConfig) -> RunDir:
    """Write the resolved config, which repeats the run, into the run directory; returns the directory.

    Raises:
        InputError: the run directory cannot be written.
    """
    run_dir = RunDir(config.run_dir)
    try:
        write_bytes(dump(config).encode(), run_dir.config)
    except InputError as error:
        raise InputError(f"run_dir '{run_dir.root}' cannot be written: {error}") from error
    return run_dir


def store_of(config: RunConfig) -> StoreConfig:
    """The store's settings, with its file inside the run where its path is relative.

    >>> store_of(RunConfig(run_dir="runs/demo", store=StoreConfig(path="store.db"))).path
    'runs/demo/store.db'

    Raises:
        ConfigError: the run is remote, and SQLite needs a disk.
    """
    store, run_dir = config.store, RunDir(config.run_dir)
    path = run_dir.inside(store.path)
    if store.kind != "sqlite":
        return store
    if is_remote(path):
        inside = "" if path == store.path else f", inside run_dir '{run_dir.root}'"
        raise ConfigError(
            f"store.path is '{store.path}'{inside}, but a SQLite file needs a local disk; "
            "give an absolute path, or store.kind=redis with store.url"
        )
    return replace(store, path=path)


def stream_of(config: RunConfig) -> StreamConfig:
    """The stream's settings, with its log and dead letters inside the run where their paths are relative.

    >>> stream_of(RunConfig(run_dir="runs/demo")).path
    'runs/demo/stream'
    """
    run_dir, stream = RunDir(config.run_dir), config.stream
    return replace(stream, path=run_dir.inside(stream.path), dead_letters=run_dir.inside(stream.dead_letters))


def service_settings(config: RunConfig) -> "ServiceSettings":
    """What the service needs to know of a run."""
    from rosa_ray.serving.assembly import ServiceSettings

    letters = config.serving.dead_letters or stream_of(config).dead_letters
    serving = replace(config.serving, dead_letters=letters)
    return ServiceSettings(
        RunDir(config.run_dir).bundle, store_of(config), serving, config.records, config.privacy
    ).absolute()


def stream_settings(config: RunConfig) -> "StreamSettings":
    """What a consumer of live records needs to know of a run."""
    from rosa_ray.streaming.assembly import StreamSettings

    bundle = RunDir(config.run_dir).bundle
    return StreamSettings(bundle, store_of(config), stream_of(config), config.privacy, config.records).absolute()


def require_bundle_behaviors(config: RunConfig) -> None:
    """Refuse a bundle of other behaviours than the config names.

    Raises:
        BundleError: the bundle is missing or damaged.
        ConfigError: the behaviours differ.
    """
    from rosa_ray.bundle import open_bundle
    from rosa_ray.features.config import same_behaviors
    from rosa_ray.features.state import read_feature_config

    bundle = RunDir(config.run_dir).bundle
    stored = open_bundle(bundle).features(read_feature_config)
    same_behaviors(config.features.behavior_names, stored.behavior_names, f"bundle {bundle} was trained with")


def source_of(config: RunConfig) -> SourceConfig:
    """The log that a run works on: the source's own where it brings impressions, else what `rosa simulate` wrote.

    Tables of users and items are the source's in any case.
    """
    if brings_impressions(config.source) or config.preprocess.without_impressions:
        return config.source
    path = RunDir(config.run_dir).log.root
    if config.source.users or config.source.items:
        return beside(config.source, "log", path)
    return SourceConfig(kind="log", path=path)


def log_of(config: RunConfig) -> SourceConfig:
    """The log to look at: the source's own where one is named, with impressions or without, else the run's."""
    source = config.source
    named = source.path or any(getattr(source, table) for table in CONTRACTS)
    return source if named else source_of(config)


def brings_impressions(source: SourceConfig) -> bool:
    """Tell a whole ad log from bare timelines, on which ad exposure has to be simulated."""
    return brings(source, IMPRESSIONS.name)
