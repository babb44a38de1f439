"""What the features learned from the training period: vocabularies, scalers, base rates; and their fingerprint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from rosa_ray.errors import BundleError, InputError
from rosa_ray.features.common_table import CommonTable
from rosa_ray.features.config import ADDED_LATER, FeatureConfig, config_of
from rosa_ray.features.counting import dense_names
from rosa_ray.features.fields import field_names, wrong_slot
from rosa_ray.features.fit_sums import TABLES, TOTALS, FitSums
from rosa_ray.features.frozen import FrozenVectors
from rosa_ray.features.own import (
    frozen_names,
    is_frozen,
    number_names,
    set_names,
    shared_names,
    vector_names,
)
from rosa_ray.features.parts import POSITION
from rosa_ray.features.views import VIEWS
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.schema import BEHAVIORS

VERSION = 1
"""Raise it when the meaning of a feature changes without any change of configuration."""

FIELDS_VERSION = 2
"""Raise it when models read declared columns in another way, so that those of an earlier version are refused."""

_STATE_FILE, _TABLE_FILE = "features.json", "features.npz"


@dataclass(frozen=True)
class FeatureState:
    """Fitted features: everything that turns raw user rows into model input.

    Attributes:
        vocabularies: by table name, `TABLES`, and of every declared column by its name.
        dense_mean, dense_scale: float64 (F,), of the training period.
        log_money_mean, log_money_scale: float64 (2,), of log bid and log price.
        totals: `TOTALS` that the training period stands for.
        user_key_id: of the secret that user ids were made pseudonyms with; empty when they are plain.
        number_mean, number_scale: float64 (K,), of the declared numbers on their scales.
        vector_scale: float64 (Kv,), root mean square of the declared vectors that rows hold.
        vectors: by name, the declared vectors of items and ads.
    """

    config: FeatureConfig
    vocabularies: dict[str, Vocabulary]
    dense_mean: np.ndarray
    dense_scale: np.ndarray
    log_money_mean: np.ndarray
    log_money_scale: np.ndarray
    totals: dict[str, float]
    user_key_id: str = ""
    number_mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    number_scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    vector_scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    vectors: Mapping[str, FrozenVectors] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        sums: list[FitSums],
        config: FeatureConfig,
        user_key_id: str = "",
        vectors: Mapping[str, FrozenVectors] | None = None,
        require_clicks: bool = True,
    ) -> "FeatureState":
        """Finish a fit.

        Args:
            vectors: by name, the declared vectors of items and ads.
            require_clicks: refuse a training period without a click; False of a log without impressions.

        Raises:
            InputError: the training period has no impressions, or none with a click, or does not show the slot that
                scores are for.
        """
        if not sums:
            raise InputError("features cannot be fitted: there are no user rows")
        merged = sums[0]
        for more in sums[1:]:
            merged = merged.merge(more)
        totals = dict(zip(TOTALS, merged.totals.tolist(), strict=True))
        if require_clicks and not totals["clicks"]:
            raise InputError(
                f"features cannot be fitted: the training period has {totals['impressions']:.0f} impressions and "
                f"{totals['clicks']:.0f} clicks; move preprocess.valid_fraction or give a longer log"
            )
        if require_clicks and config.position and (problem := wrong_slot(merged.keys[POSITION], config)):
            raise InputError(f"features.position cannot be learned: {problem}")
        vocabularies = {
            name: Vocabulary.fit(merged.keys[name], _min_count(name, config), _oov_buckets(name, config))
            for name in (*TABLES, *_names_in_common(config))
        }
        return cls(
            config,
            vocabularies,
            merged.dense.mean,
            merged.dense.scale,
            merged.log_money.mean,
            merged.log_money.scale,
            totals,
            user_key_id,
            merged.numbers.mean,
            merged.numbers.scale,
            np.sqrt(np.where(merged.vectors.mean > 0, merged.vectors.mean, 1.0)),
            {name: (vectors or {})[name] for name in frozen_names(config.columns)},
        )

    @property
    def table_sizes(self) -> dict[str, int]:
        """Rows of every embedding table, and `dense`, the width of the dense input (values and presence mask).

        Where there are token fields: `own`, the rows of their common table; `own_fields`, fields of one token;
        `own_sets`, columns of several; `shared` and `shared_fields` the same of those that events have too; and
        `vector:NAME`, the numbers of a vector. Where there are not four behaviours, `behaviors` says how many.
        """
        sizes = {name: self.vocabularies[name].size for name in TABLES}
        columns = self.config.columns
        dense = 2 * len(dense_names(self.config)) + 2 + 2 * len(number_names(columns))
        counts = {
            "own": sum(self.vocabularies[name].size for name in _names_in_common(self.config)),
            "own_fields": len(field_names(self.config)),
            "own_sets": len(set_names(columns)),
            "shared": sum(self.vocabularies[name].size for name in shared_names(columns)),
            "shared_fields": len(shared_names(columns)),
        }
        declared = {name: count for name, count in counts.items() if count}
        behaviors = len(self.config.behaviors)
        declared |= {"behaviors": behaviors} if behaviors != len(BEHAVIORS) else {}
        declared |= {f"vector:{name}": columns[name].size for name in (*self.vectors, *self.given_vectors)}
        return {**sizes, "money": self.config.money_buckets + 1, "dense": dense, **declared}

    @property
    def given_vectors(self) -> tuple[str, ...]:
        """Names of the vectors that rows hold, as they change with users and requests."""
        columns = self.config.columns
        return tuple(name for name in vector_names(columns) if not is_frozen(name, columns[name]))

    @cached_property
    def fields_table(self) -> CommonTable:
        """The fields of one token, which begin the common table."""
        return CommonTable.of([self.vocabularies[name] for name in field_names(self.config)])

    @cached_property
    def set_starts(self) -> dict[str, int]:
        """Where the rows of each column of several tokens begin in the common table."""
        names = _names_in_common(self.config)
        ends = np.cumsum([self.vocabularies[name].size for name in names]).tolist()
        starts = dict(zip(names, [0, *ends], strict=False))
        return {name: starts[name] for name in set_names(self.config.columns)}

    @property
    def base_rates(self) -> dict[str, float]:
        """CTR, CVR of clicks, mean price in log, and revenue per cost of the training period: starting biases.

        Without any click both rates are a half: nothing is known, and nothing is scored.
        """
        totals = self.totals
        if not totals["clicks"]:
            return {"ctr": 0.5, "cvr": 0.5, "log_value": float(self.log_money_mean[1]), "revenue_per_cost": 1.0}
        clicks, cost = (totals.get(f"final_{name}", totals[name]) for name in ("clicks", "cost"))
        return {
            "ctr": totals["clicks"] / totals["impressions"],
            "cvr": min(max(totals["conversions"], 0.5) / max(clicks, 0.5), 1.0),
            "log_value": float(self.log_money_mean[1]),
            "revenue_per_cost": max(totals["revenue"], 1e-9) / max(cost, 1e-9),
        }

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of everything that decides a feature's value: code version, configuration, fit, user key.

        A server refuses a store or a bundle with another fingerprint.
        """
        digest = xxhash.xxh64(json.dumps([VERSION, feature_definition(self.config)], sort_keys=True).encode())
        for vocabulary in self.vocabularies.values():
            digest.update(vocabulary.keys.tobytes())
        for array in (getattr(self, name) for name in _ARRAYS):
            digest.update(np.asarray(array, np.float64).tobytes())
        digest.update(self.user_key_id.encode())
        for name, frozen in self.vectors.items():
            digest.update(name.encode() + frozen.keys.tobytes() + frozen.matrix.tobytes())
        return digest.hexdigest()

    def save(self, directory: Path) -> None:
        """Write `features.json` and `features.npz` into a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        document = {
            "version": VERSION,
            "config": self.config.definition(),
            "definition": feature_definition(self.config),
            "totals": self.totals,
            "user_key_id": self.user_key_id,
            "fingerprint": self.fingerprint,
        }
        (directory / _STATE_FILE).write_text(json.dumps(document, indent=2) + "\n")
        tables = {f"vocabulary_{name}": vocabulary.keys for name, vocabulary in self.vocabularies.items()}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        for name, frozen in self.vectors.items():
            arrays |= {f"{_FROZEN_KEYS}{name}": frozen.keys, f"{_FROZEN}{name}": frozen.matrix}
        np.savez(directory / _TABLE_FILE, **tables, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, directory: Path) -> "FeatureState":
        """Read what `save` wrote.

        Raises:
            BundleError: files are missing, or were written for another definition of the features than this code's.
        """
        document = _read_document(directory)
        try:
            with np.load(directory / _TABLE_FILE) as archive:
                arrays = dict(archive)
        except (OSError, ValueError) as error:
            raise BundleError(f"{directory}: fitted features cannot be read: {error}") from error
        config = _config_from(document, directory)
        oov = {name: _oov_buckets(name, config) for name in (*TABLES, *_names_in_common(config))}
        arrays |= {name: np.empty(0) for name in _ARRAYS if name not in arrays}
        state = cls(
            config=config,
            vocabularies={name: Vocabulary(arrays[f"vocabulary_{name}"], oov[name]) for name in oov},
            totals=document["totals"],
            user_key_id=document.get("user_key_id", ""),
            vectors={
                name: FrozenVectors(arrays[f"{_FROZEN_KEYS}{name}"], arrays[f"{_FROZEN}{name}"])
                for name in frozen_names(config.columns)
            },
            **{name: arrays[name] for name in _ARRAYS},
        )
        if state.fingerprint != document["fingerprint"]:
            raise BundleError(
                f"{directory}: features have fingerprint {document['fingerprint']}, this code computes "
                f"{state.fingerprint}; preprocess and train again with this version, or install the one that wrote them"
            )
        return state


def read_feature_config(directory: Path) -> FeatureConfig:
    """Read the configuration of what `FeatureState.save` wrote, and not what was fitted.

    Raises:
        BundleError: as of `FeatureState.load`.
    """
    return _config_from(_read_document(directory), directory)


def _read_document(directory: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads((directory / _STATE_FILE).read_text())
    except (OSError, ValueError) as error:
        raise BundleError(f"{directory}: fitted features cannot be read: {error}") from error
    return document


_ARRAYS = (
    "dense_mean",
    "dense_scale",
    "log_money_mean",
    "log_money_scale",
    "number_mean",
    "number_scale",
    "vector_scale",
)
_FROZEN, _FROZEN_KEYS = "frozen_", "frozen_keys_"


def _names_in_common(config: FeatureConfig) -> tuple[str, ...]:
    return (*field_names(config), *set_names(config.columns))


def _oov_buckets(name: str, config: FeatureConfig) -> int:
    if name in config.columns:
        return config.columns[name].oov_buckets or config.oov_buckets
    return config.item_oov_buckets if name == "item" else config.oov_buckets


def _min_count(name: str, config: FeatureConfig) -> int:
    own = config.columns[name].min_count if name in config.columns else 0
    return own or config.min_count


def feature_definition(config: FeatureConfig) -> dict[str, object]:
    """What is computed, as JSON: the configuration, behaviours and every view with its log, entity and windows."""
    names = list(config.behavior_names)
    views = {name: [VIEWS[name].log, VIEWS[name].entity, list(VIEWS[name].windows_hours)] for name in config.views}
    declared = {"fields": FIELDS_VERSION} if config.columns else {}
    return {
        "config": config.definition() | {"views": list(config.views)},
        "behaviors": names,
        "views": views,
        **declared,
    }


def _config_from(document: dict[str, Any], directory: Path) -> FeatureConfig:
    known = {field.name for field in fields(FeatureConfig)}
    stored = document["config"]
    if (
        document.get("version") != VERSION
        or set(stored) | set(ADDED_LATER) != known
        or not set(stored["views"]) <= set(VIEWS)
    ):
        raise BundleError(
            f"{directory}: features are of version {document.get('version')} with settings {sorted(stored)}, this code "
            f"is version {VERSION} with settings {sorted(known)}; train again or install the version that wrote them"
        )
    return config_of(stored)
