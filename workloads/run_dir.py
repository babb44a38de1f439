"""Where a run keeps what its jobs hand to each other, and which log it reads."""

from dataclasses import dataclass, replace
from pathlib import Path

from rosa_ray.config import RunConfig
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.settings import dump
from rosa_ray.sources import SourceConfig
from rosa_ray.storage import is_remote, write_bytes
from rosa_ray.store.config import StoreConfig
from rosa_ray.streaming.config import StreamConfig


@dataclass(frozen=True)
class RunDir:
    """Paths of one run, local or remote.

    >>> RunDir("runs/demo/").log
    'runs/demo/log'
    """

    root: str

    @property
    def log(self) -> str:
        """What `rosa simulate` writes and `rosa preprocess` reads."""
        return self._below("log")

    @property
    def data(self) -> str:
        """What `rosa preprocess` writes."""
        return self._below("data")

    @property
    def bundle(self) -> str:
        """The trained model."""
        return self._below("bundle")

    @property
    def evaluation(self) -> str:
        """Metrics and predictions of the test period."""
        return self._below("evaluation")

    def store(self, config: StoreConfig) -> StoreConfig:
        """Return the store's settings with its file inside the run, where its path is relative.

        >>> RunDir("runs/demo").store(StoreConfig(path="store.db")).path
        'runs/demo/store.db'

        Raises:
            ConfigError: the run is remote, and SQLite needs a disk.
        """
        if config.kind != "sqlite" or Path(config.path).is_absolute():
            return config
        if is_remote(self.root):
            raise ConfigError(
                f"store.path is '{config.path}', inside run_dir '{self.root}', but a SQLite file needs a local disk; "
                "give an absolute path, or store.kind=redis with store.url"
            )
        return replace(config, path=self._below(config.path))

    def stream(self, config: StreamConfig) -> StreamConfig:
        """Return the stream's settings with its log and dead letters inside the run, where their paths are relative.

        >>> RunDir("runs/demo").stream(StreamConfig()).path
        'runs/demo/stream'
        """
        path, letters = (
            name if Path(name).is_absolute() else self._below(name) for name in (config.path, config.dead_letters)
        )
        return replace(config, path=path, dead_letters=letters)

    def record(self, config: RunConfig) -> None:
        """Write the resolved config, which repeats the run.

        Raises:
            InputError: the run directory cannot be written.
        """
        try:
            write_bytes(dump(config).encode(), self._below("config.yaml"))
        except InputError as error:
            raise InputError(f"run_dir '{self.root}' cannot be written: {error}") from error

    def _below(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


def source_of(config: RunConfig) -> SourceConfig:
    """The log that a run works on: the source's own where it brings impressions, else what `rosa simulate` wrote."""
    if brings_impressions(config.source):
        return config.source
    return SourceConfig(kind="log", path=RunDir(config.run_dir).log)


def brings_impressions(source: SourceConfig) -> bool:
    """Tell a whole ad log from bare timelines, on which ad exposure has to be simulated."""
    return bool(source.impressions or (source.kind == "log" and source.path))
