"""The parity check of one run: its log through the offline and the live path, features and scores compared."""

import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.errors import InputError
from rosa_ray.features import FeatureState, UserRows, dense_names
from rosa_ray.features.config import same_behaviors
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.parity.features import Delivery, LoggedRequests, ParityReport, Request, check_parity
from rosa_ray.parity.live_path import LivePath
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.parity.scores import ScoreParity
from rosa_ray.run_dir import RunDir
from rosa_ray.schema import BEHAVIORS, MISSING_KEY
from rosa_ray.serving.model import ServedModel, load_model
from rosa_ray.serving.request_counters import asked_columns
from rosa_ray.sources.paths import find_files
from rosa_ray.storage import exists, read_parquet
from rosa_ray.store import StoreConfig

Answered = Callable[[int, Request, Any], object]
StepsDone = Callable[[int, int], object]

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


@dataclass(frozen=True)
class RunParity:
    """What was compared of a run; all of it was equal.

    Attributes:
        users: whose requests were compared.
        features: per request, expected cost among them.
        refused: live records by the reason they were refused for.
        restarts: of the consumer.
        scored_ads, worst_score: ads whose scores were compared and their largest relative difference; None without a
            model.
    """

    report: ParityReport
    users: int
    features: int
    refused: dict[str, int]
    restarts: int
    scored_ads: int | None
    worst_score: float | None


def check_run(
    run_dir: RunDir,
    log: RecordedLog,
    store: StoreConfig,
    options: ParityOptions,
    pseudonym: Callable[[str], str] | None = None,
    started: Callable[[int, int], StepsDone] = lambda records, requests: lambda *done: None,
    behaviors: Sequence[str] = BEHAVIORS,
) -> RunParity:
    """Compare every logged request of a run, in a scratch store of the configured kind.

    Args:
        started: called with the records and requests to come; returns what is called with those done since.
        behaviors: that the log was read with.

    Raises:
        ParityError: the first feature or score that differs.
        InputError: the run has no data, rows with weights, or a model of other features.
        ConfigError: its features have other behaviours.
    """
    rows, state = _read_rows(run_dir, options.users), read_feature_state(run_dir.data.features)
    same_behaviors(behaviors, state.config.behavior_names, f"{run_dir.data.root} was preprocessed with")
    _require_live(rows, run_dir)
    model, catalogue = _load_model(run_dir, state), LiveCatalogue(read_parquet(run_dir.data.ads))
    context = model.timeline_events if model else CONTEXT_EVENTS
    requests = LoggedRequests(rows, context, asked_columns(state.config))
    delivery = Delivery(chunk_us=store.horizon_us // 2, shuffle_seed=options.shuffle)
    scores = ScoreParity(model, rows, catalogue, len(requests), options.scores) if model and options.scores else None
    names = dense_names(state.config)
    progress = started(len(log) if options.shuffle is None else 2 * len(log), len(requests))
    with tempfile.TemporaryDirectory(prefix="rosa-parity-") as scratch:
        empty = _scratch_store(store, scratch, context + delivery.busiest(log))
        with LivePath(Path(scratch), empty, state, catalogue, context, options.kill, pseudonym) as live:
            answered: Answered = scores.score_if_sampled if scores else _ignore
            report = check_parity(log, requests, delivery, live.deliver, live.answer, names, answered, progress)
    ads, worst = scores.compare() if scores else (None, None)
    users = int((rows.user_key != MISSING_KEY).sum())
    return RunParity(
        report, users, len(names) + len(requests.own) + 1, dict(live.metrics.refused), live.restarts, ads, worst
    )


def _read_rows(run_dir: RunDir, users: int) -> UserRows:
    """User rows of all files, or of the first users by key, which is as good as random; without unknown ads."""
    tables = [read_parquet(file.path) for file in find_files(run_dir.data.users, "users")]
    table = pa.concat_tables([table.drop_columns(["event_id"]) for table in tables])
    if users:
        chosen = np.sort(table["user_key"].to_numpy())[:users]
        table = table.filter(pc.is_in(table["user_key"], pa.array(chosen)))
    return UserRows.from_table(table.combine_chunks()).of_known_ads()


def _require_live(rows: UserRows, run_dir: RunDir) -> None:
    """Refuse rows that no live record could have made."""
    if (rows.impressions["weight"] != 1).any():
        raise InputError(
            f"{run_dir.data.root}: its rows have weights, and live records have none, so that counters differ rightly; "
            "preprocess into another run_dir without weights and with preprocess.negative_keep_rate=1 to compare"
        )


def _load_model(run_dir: RunDir, state: FeatureState) -> ServedModel | None:
    """The run's model, if it has one.

    Raises:
        InputError: it was trained on other features than the run's data holds.
    """
    if not exists(run_dir.bundle):
        return None
    model = load_model(run_dir.bundle)
    if model.features.fingerprint != state.fingerprint:
        raise InputError(
            f"{run_dir.bundle}: was trained on features {model.features.fingerprint}, {run_dir.data.root} holds "
            f"{state.fingerprint}; train again, or preprocess with the bundle's settings"
        )
    return model


def _scratch_store(store: StoreConfig, scratch: str, timeline_events: int) -> StoreConfig:
    """An empty store of the same kind."""
    name = f"parity-{uuid.uuid4().hex}"
    return replace(
        store, path=f"{scratch}/store.db", namespace=name, max_timeline_events=timeline_events, user_ttl_days=0
    )


def _ignore(*_: object) -> None: ...
