"""Permutation importance of a run's bundle on Ray's actor pool: draw users, read them, score, write the document."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from rosa_ray.bundle import open_bundle
from rosa_ray.errors import InputError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.importance import (
    PermutationScorer,
    Readings,
    Scoring,
    heads_document,
    of_period,
    ordered,
    scorings,
)
from rosa_ray.evaluation.pool import actor_device, map_items, map_users
from rosa_ray.evaluation.predictions import list_predictions, read_predictions, users_of_impressions
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import EncodedUsers, FeatureState, Split, concat_users
from rosa_ray.features.input_fields import input_fields
from rosa_ray.inference import context_events
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.schema import MISSING_KEY
from rosa_ray.storage import absolute, read_parquet, write_json

Advance = Callable[[int, int], None]
"""Told how many scorings of how many are done."""


def measure_importance(
    *, config: EvaluationConfig, data_dir: str, run_dir: str, advance: Advance = lambda done, of: None
) -> dict[str, Any]:
    """Measure what each input is worth to the run's bundle, on a sample of the test period.

    Ray must be initialised, and `evaluate` must have written the predictions, which say whose impressions there are.
    Writes `evaluation/importance.json`.

    Returns:
        `model_version`, `repeats`, `replicates`, `level`, `seed`, `rows` and `users` of the sample, `of_rows` test
        impressions, `seconds`, and `heads`: see `heads_document`.

    Raises:
        InputError: there are no predictions of the test period.
    """
    began_s = time.perf_counter()
    layout, place = DataDir(absolute(data_dir)), RunDir(absolute(run_dir))
    bundle = open_bundle(place.bundle)
    files = list_predictions(place.evaluation.predictions)
    shown = read_predictions(files, Split.TEST, ("user_key", "time_us")) if files else {"user_key": np.empty(0)}
    if not len(shown["user_key"]):
        raise InputError(f"{place.evaluation.predictions}: no scores of the test period; run `rosa evaluate` first")
    sample = _read_sample(bundle.location, layout, shown, config)
    state = bundle.features(FeatureState.load)
    names = [field.name for field in input_fields(state)]
    items = scorings(names, config)
    arguments = (bundle.location, sample, config)
    readings: dict[Scoring, Readings] = {}
    results = map_items(_ReadingWorker, arguments, items, config.actors, "permuting inputs", config.use_gpu)
    for at, found in results:
        readings[items[at]] = found
        advance(len(readings), len(items))
    document = {
        "model_version": bundle.model_version,
        "repeats": config.importance_repeats,
        "replicates": config.importance_replicates,
        "level": 0.95,
        "seed": config.importance_seed,
        "rows": len(sample.dense),
        "of_rows": len(shown["user_key"]),
        "users": len(np.unique(users_of_impressions(sample))),
        "seconds": round(time.perf_counter() - began_s, 1),
        "heads": heads_document(sample, names, readings, config),
    }
    write_json(document, place.evaluation.importance)
    return document


def draw_users(user_key: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Keys of users drawn at random until the next one's impressions would be too many; at least one.

    Args:
        user_key: of every impression, (n,), in any order.
        most: impressions wanted, at most.

    >>> draw_users(np.array([5, 5, 7, 9]), 4, seed=0).tolist()
    [5, 7, 9]
    """
    keys, counts = np.unique(user_key, return_counts=True)
    order = np.random.default_rng([seed, 2]).permutation(len(keys))
    fitting = int(np.searchsorted(np.cumsum(counts[order]), most, side="right"))
    return np.sort(keys[order[: max(fitting, 1)]])


def _read_sample(
    bundle_dir: str, layout: DataDir, shown: dict[str, np.ndarray], config: EvaluationConfig
) -> EncodedUsers:
    chosen = draw_users(shown["user_key"], config.importance_impressions, config.importance_seed)
    period_us = int(shown["time_us"].min()), int(shown["time_us"].max()) + 1
    parts = map_users(layout, _SampleReader, (bundle_dir, chosen, period_us), config.actors, config.use_gpu)
    return ordered(concat_users([part for part in parts if len(part)]))


class _SampleReader:
    """Yields the drawn users of each file of user rows, with the events that the period can see."""

    def __init__(self, bundle_dir: str, chosen: np.ndarray, period_us: tuple[int, int]) -> None:
        bundle = open_bundle(bundle_dir)
        self._scorer = UserScorer.load(bundle.model, bundle.weights(), bundle.features(FeatureState.load))
        self._chosen, self._period_us = chosen, period_us

    def __call__(self, path: str) -> Iterator[EncodedUsers]:
        block = read_parquet(path)
        possible = pa.array(np.append(self._chosen, MISSING_KEY))
        users = self._scorer.encode(block.filter(pc.is_in(block["user_key"], possible)).combine_chunks())
        users = users.keep_impressions(np.isin(users_of_impressions(users), self._chosen)).select(Split.TEST)
        # Tables of declared vectors are the bundle's: they travel with no sample.
        yield replace(of_period(users, *self._period_us, context_events(self._scorer.ranker)), vectors=())


class _ReadingWorker:
    """Scores the sample with one field permuted once."""

    def __init__(self, bundle_dir: str, sample: EncodedUsers, config: EvaluationConfig) -> None:
        torch.set_num_threads(1)
        bundle = open_bundle(bundle_dir)
        state = bundle.features(FeatureState.load)
        scorer = UserScorer.load(bundle.model, bundle.weights(), state, config.users_per_batch, actor_device())
        sample = replace(sample, vectors=tuple(frozen.table for frozen in state.vectors.values()))
        self._scorer = PermutationScorer(scorer, bundle.calibration, sample, config)
        self._fields = {field.name: field for field in input_fields(state)}

    def __call__(self, item: Scoring) -> Iterator[Readings]:
        name, repeat = item
        yield self._scorer.read(self._fields[name] if name else None, repeat)
