"""The run that faults are tried on, copied aside: its bundle, its store and its config. The run itself is only read."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from rosa_ray.bundle import open_bundle
from rosa_ray.data.catalogue import ads_at
from rosa_ray.errors import InputError
from rosa_ray.features import AdTable
from rosa_ray.features.config import behaviors_of
from rosa_ray.run_dir import RunDir
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.serving.model import ServedModel, load_model
from rosa_ray.storage import read_json, read_parquet

MOST_USERS = 2000


@dataclass(frozen=True)
class RunCopy:
    """What every case starts from.

    Attributes:
        root: a directory that is thrown away.
        config: YAML of the run, its `run_dir` being `run`.
        settings: how the run is served, by a SQLite store.
        data: of the run itself, which is only read.
        rosa: how the command line is called, such as `("rosa",)`.
    """

    root: Path
    config: Path
    settings: ServiceSettings
    data: RunDir
    rosa: tuple[str, ...]

    @property
    def run(self) -> RunDir:
        """The copy."""
        return RunDir(str(self.root / "run"))

    @property
    def bundle(self) -> Path:
        """The copied bundle; no case changes it."""
        return Path(self.run.bundle)

    @property
    def store(self) -> Path:
        """The copied store; no case opens it to write."""
        return Path(self.run.inside("store.db"))

    @cached_property
    def model(self) -> ServedModel:
        """The bundle, loaded."""
        return load_model(self.bundle)

    @cached_property
    def ad_table(self) -> AdTable:
        """The ads of the bundle."""
        return AdTable.from_table(self.model.bundle.ads)

    @cached_property
    def ad_bids(self) -> np.ndarray:
        """Bids of the ads of the bundle, in the order of `ad_table`."""
        ads = self.model.bundle.ads
        bids: np.ndarray = ads["bid"].to_numpy()[AdTable.order(ads)]
        return bids

    @cached_property
    def user_ids(self) -> list[str]:
        """Users with events, which no ranking may take for unknown."""
        users = read_parquet(self.data.data.user_rows(0)).select(["user_id", "event_time_us"])
        lengths = np.diff(users["event_time_us"].combine_chunks().offsets.to_numpy())
        found: list[str] = users["user_id"].to_numpy()[lengths > 0][:MOST_USERS].tolist()
        if not found:
            raise InputError(f"{self.data.data.root}: no user has events; give a run with timelines")
        return found

    @cached_property
    def ads(self) -> pa.Table:
        """Ads that can be ranked now."""
        spec = read_json(self.data.data.spec)
        return ads_at(read_parquet(self.data.data.ads), spec["end_us"])

    @property
    def behaviors(self) -> Sequence[str]:
        """What events may say was done."""
        return behaviors_of(read_json(self.data.data.spec)["feature_config"])

    def served(self, store: Path, **serving: object) -> ServiceSettings:
        """The same settings on another SQLite file."""
        place = replace(self.settings.store, kind="sqlite", path=str(store))
        return replace(
            self.settings,
            bundle=str(self.bundle),
            store=place,
            serving=replace(self.settings.serving, **serving),  # type: ignore[arg-type]
        )


def copy_run(root: Path, run: RunDir, settings: ServiceSettings, config_text: str, rosa: Sequence[str]) -> RunCopy:
    """Copy a run aside.

    Args:
        root: where to; made.
        config_text: the resolved config, with `run_dir` set to `root/run`.

    Raises:
        BundleError: the run has no whole bundle.
        InputError: it has no data, or its store is no SQLite file.
    """
    if settings.store.kind != "sqlite" or not Path(settings.store.path).is_file():
        raise InputError(
            f"{run.root}: faults are tried on a copy of a SQLite store, and {settings.store.path} is none; "
            "run `rosa materialize` with store.kind=sqlite"
        )
    config = root / "chaos.yaml"
    root.mkdir(parents=True, exist_ok=True)
    config.write_text(config_text, encoding="utf-8")
    copy = RunCopy(root, config, settings, run, tuple(rosa))
    if not copy.bundle.exists():
        shutil.copytree(open_bundle(settings.bundle).path, copy.bundle)
    copy_store(Path(settings.store.path), copy.store)
    return copy


def copy_store(source: Path, target: Path) -> Path:
    """Copy a SQLite file as it is at one moment, also while it is written; returns the copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for name in (target, *side_files(target)):
        name.unlink(missing_ok=True)
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=WAL")
    return target


def side_files(store: Path) -> tuple[Path, Path]:
    """What SQLite keeps beside a file."""
    return store.with_name(f"{store.name}-wal"), store.with_name(f"{store.name}-shm")
