"""Where a run keeps what its jobs hand to each other, and which log it reads."""

from dataclasses import dataclass, replace
from pathlib import Path

import fsspec

from rosa_ray.config import RunConfig, dump
from rosa_ray.errors import InputError
from rosa_ray.sources import SourceConfig
from rosa_ray.store.config import StoreConfig


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
        """
        return replace(config, path=config.path if Path(config.path).is_absolute() else self._below(config.path))

    def record(self, config: RunConfig) -> None:
        """Write the resolved config, which repeats the run.

        Raises:
            InputError: the run directory cannot be written.
        """
        try:
            with fsspec.open(self._below("config.yaml"), "w", auto_mkdir=True) as file:
                file.write(dump(config))
        except OSError as error:
            raise InputError(f"run_dir '{self.root}' cannot be written: {error.strerror or error}") from error

    def _below(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


def brings_impressions(source: SourceConfig) -> bool:
    """Tell a whole ad log from bare timelines, on which ad exposure has to be simulated."""
    return bool(source.impressions or (source.kind == "log" and source.path))
