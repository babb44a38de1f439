"""`rosa parity`: replay a run's log through the offline and the live path, and require equal features and scores."""

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rosa_ray.config import RunConfig
from rosa_ray.data.parquet import read_parquet
from rosa_ray.data.partitions import Layout
from rosa_ray.errors import InputError
from rosa_ray.features import FeatureState, UserRows, dense_names
from rosa_ray.schema import open_pseudonyms
from rosa_ray.sources import open_source
from rosa_ray.sources.paths import list_files, readable
from rosa_ray.store import StoreConfig
from rosa_ray.streaming.parity import LoggedRequests, ParityReport, Replay, Request, check_parity
from rosa_ray.streaming.recorded import RecordedLog
from workloads.run_dir import RunDir, source_of

if TYPE_CHECKING:
    from rosa_ray.serving.model import ServedModel
    from workloads.live_path import LivePath
    from workloads.score_parity import ScoreParity

Taken = Callable[[int, Request, Any], object]

CONTEXT_EVENTS = 256
"""Events compared per request where there is no model that says how many it can use."""


@dataclass(frozen=True)
class ParityOptions:
    """What to compare, and how roughly the log is delivered.

    Attributes:
        users: compare the requests of so many users, 0 of all; records of all users are applied either way.
        shuffle: deliver records doubled and shuffled within pieces of the log, by this seed; None in order.
        kill: end the consumer at one in so many calls and start it again; 0 never.
        scores: requests whose scores are compared as well, where the run has a model.
    """

    users: int = 0
    shuffle: int | None = None
    kill: int = 0
    scores: int = 500


def run(config: RunConfig, options: ParityOptions) -> int:
    """Compare, and print what was compared.

    Raises:
        ParityError: the first feature or score that differs.
        InputError: the run has no log or no data.
    """
    from rosa_ray.serving.catalogue import Catalogue
    from workloads.live_path import LivePath
    from workloads.score_parity import ScoreParity

    began_s, run_dir = time.perf_counter(), RunDir(config.run_dir)
    layout, log = Layout(run_dir.data), RecordedLog.read(open_source(source_of(config)))
    rows, state = _read_rows(layout, options.users), _load_features(layout)
    model, catalogue = _load_model(run_dir, state), Catalogue.of(read_parquet(layout.ads))
    context = model.context_events if model else CONTEXT_EVENTS
    requests = LoggedRequests(rows, context)
    replayed = Replay(chunk_us=config.store.horizon_us // 2, shuffle_seed=options.shuffle)
    scores = ScoreParity(model, rows, len(requests), options.scores) if model and options.scores else None
    pseudonyms = open_pseudonyms(config.privacy)
    pseudonym = pseudonyms.of if pseudonyms else None
    with tempfile.TemporaryDirectory(prefix="rosa-parity-") as scratch:
        store = _scratch_store(config.store, scratch, context + replayed.busiest(log))
        with (
            LivePath(Path(scratch), store, state, catalogue, context, options.kill, pseudonym) as live,
            _bars() as bars,
        ):
            records = len(log) if options.shuffle is None else 2 * len(log)
            advance = _advance(bars, records, len(requests))
            names = dense_names(state.config)
            taken: Taken = scores.take if scores else _ignore
            report = check_parity(log, requests, replayed, live.deliver, live.answer, names, taken, advance)
    _print(report, len(rows), len(names), live, scores, time.perf_counter() - began_s)
    return 0


def _read_rows(layout: Layout, users: int) -> UserRows:
    """User rows of all files, or of the first users by key, which is as good as random."""
    tables = [read_parquet(file.path) for file in list_files(layout.users, "users")]
    table = pa.concat_tables([table.drop_columns(["event_id"]) for table in tables])
    if users:
        chosen = np.sort(table["user_key"].to_numpy())[:users]
        table = table.filter(pc.is_in(table["user_key"], pa.array(chosen)))
    return UserRows.from_table(table.combine_chunks())


def _load_model(run_dir: RunDir, state: FeatureState) -> "ServedModel | None":
    """The run's model, if it has one.

    Raises:
        InputError: it was trained on other features than the run's data holds.
    """
    from rosa_ray.serving.model import load_model

    fs, path = fsspec.core.url_to_fs(run_dir.bundle)
    if not fs.exists(path):
        return None
    model = load_model(run_dir.bundle)
    if model.features.fingerprint != state.fingerprint:
        raise InputError(
            f"{run_dir.bundle}: was trained on features {model.features.fingerprint}, {run_dir.data} holds "
            f"{state.fingerprint}; train again, or preprocess with the bundle's settings"
        )
    return model


def _load_features(layout: Layout) -> FeatureState:
    with tempfile.TemporaryDirectory() as folder, readable(layout.features, "fitted features"):
        fs, path = fsspec.core.url_to_fs(layout.features)
        fs.get(f"{path}/", f"{folder}/", recursive=True)
        return FeatureState.load(Path(folder))


def _scratch_store(store: StoreConfig, scratch: str, timeline_events: int) -> StoreConfig:
    """An empty store of the same kind."""
    name = f"parity-{uuid.uuid4().hex}"
    return replace(
        store, path=f"{scratch}/store.db", namespace=name, max_timeline_events=timeline_events, user_ttl_days=0
    )


@contextmanager
def _bars() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


def _advance(bars: Progress, records: int, requests: int) -> Callable[[int, int], None]:
    applied, asked = bars.add_task("records", total=records), bars.add_task("requests", total=requests)

    def advance(more_records: int, more_requests: int) -> None:
        bars.advance(applied, more_records)
        bars.advance(asked, more_requests)

    return advance


def _print(
    report: ParityReport, users: int, features: int, live: "LivePath", scores: "ScoreParity | None", seconds: float
) -> None:
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(live.metrics.refused.items())) or "none"
    print(
        f"{users} users, {report.requests} requests of {report.impressions} ads: all {features + 1} features and the "
        f"timelines equal bit for bit ({report.values} values)"
    )
    print(f"{report.records} records delivered, refused {refused}, {live.restarts} restarts of the consumer")
    if scores is not None:
        ads, worst = scores.compare()
        print(f"{ads} scores equal within {worst:.1e}")
    print(
        f"{seconds:.1f} s; {report.records / report.deliver_s:.0f} records/s folded, "
        f"{report.requests / report.answer_s:.0f} requests/s read"
    )


def _ignore(*_: object) -> None: ...


if __name__ == "__main__":
    from workloads.cli import run_as_job

    run_as_job("parity")
