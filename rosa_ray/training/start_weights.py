"""Weights that a ranker starts from: kept with the ids of their rows, so that another vocabulary finds them again.

A new day has new items, so that its tables have other rows. An id that both days know takes its row along. One that is
new starts as it would in fresh tables.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rosa_ray.bundle import MANIFEST, open_bundle
from rosa_ray.errors import InputError, TrainingError
from rosa_ray.features import FeatureState
from rosa_ray.features.own import shared_names
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.run_dir import PretrainedDir, RunDir
from rosa_ray.storage import absolute, exists, open_file, read_json, write_bytes

_ITEM, _CATEGORY, _SHARED = "tables.item.weight", "tables.category.weight", "tables.shared.weight"


@dataclass(frozen=True)
class StartWeights:
    """Weights by parameter name, and the vocabularies of the tables among them.

    Attributes:
        weights: of the parameters that events touch, or of a whole ranker.
        vocabularies: by table name.
    """

    weights: Mapping[str, Tensor]
    vocabularies: Mapping[str, Vocabulary]

    def of(self, ranker: nn.Module, state: FeatureState, names: set[str] | None = None) -> dict[str, Tensor]:
        """The weights as a ranker of other vocabularies holds them; rows of ids that are new are the ranker's own.

        Args:
            names: parameters that are wanted; None takes all that there are.

        Raises:
            TrainingError: a parameter is missing or has another shape.
        """
        own, found = ranker.state_dict(), dict[str, Tensor]()
        for name in self.weights if names is None else names:
            if name not in self.weights or name not in own:
                raise TrainingError(f"the weights to start from do not fit the model: {name} is in one of them alone")
            found[name] = self._rows(name, own[name].cpu(), state)
            if found[name].shape != own[name].shape:
                shapes = f"{tuple(found[name].shape)}, the model has {tuple(own[name].shape)}"
                raise TrainingError(f"the weights to start from do not fit the model: {name} is {shapes}")
        return found

    def _rows(self, name: str, own: Tensor, state: FeatureState) -> Tensor:
        """A parameter with its rows where the ranker's vocabularies have them."""
        given, tables = self.weights[name], table_vocabularies(name, state)
        if not tables or given.shape[1:] != own.shape[1:]:
            return given
        rows, former, start = own.clone(), 0, 0
        for table in tables:
            before, now = self.vocabularies.get(table), state.vocabularies[table]
            if before is not None:
                source, target = matching_rows(before, now)
                rows[start + target] = given[former + source]
                former += before.size
            start += now.size
        return rows


def table_vocabularies(name: str, state: FeatureState) -> tuple[str, ...]:
    """Names of the vocabularies whose rows a parameter holds, in order; none for other parameters."""
    shared = shared_names(state.config.columns)
    return {_ITEM: ("item",), _CATEGORY: ("category",), _SHARED: tuple(shared)}.get(name, ())


def matching_rows(before: Vocabulary, now: Vocabulary) -> tuple[Tensor, Tensor]:
    """Rows of one vocabulary, and those of another that mean the same.

    Rows of unseen ids mean the same where there are as many of them.

    >>> source, target = matching_rows(Vocabulary(np.array([5, 9]), 2), Vocabulary(np.array([3, 9]), 2))
    >>> source.tolist(), target.tolist()
    ([0, 1, 2, 4], [0, 1, 2, 4])
    """
    known = np.intersect1d(before.keys, now.keys)
    unseen = np.arange(1 + (before.oov_buckets if before.oov_buckets == now.oov_buckets else 0))
    source, target = (np.r_[unseen, vocabulary.lookup(known)] for vocabulary in (before, now))
    return torch.from_numpy(source), torch.from_numpy(target)


def start_ranker(ranker: nn.Module, directory: str, state: FeatureState) -> None:
    """Give a ranker the weights that pre-training left in a directory; the others stay as they are.

    Raises:
        InputError: they are missing or damaged.
        TrainingError: they do not fit.
    """
    weights = read_start(directory).of(ranker, state)
    ranker.load_state_dict({**ranker.state_dict(), **weights})


def write_start(weights: Mapping[str, Tensor], state: FeatureState, place: PretrainedDir) -> str:
    """Keep weights with the vocabularies of their tables; returns the SHA-256 of the file."""
    names = dict.fromkeys(table for name in weights for table in table_vocabularies(name, state))
    tables = {name: state.vocabularies[name] for name in names}
    content = {
        "weights": {name: value.detach().cpu().clone() for name, value in weights.items()},
        "keys": {name: torch.from_numpy(table.keys.copy()) for name, table in tables.items()},
        "oov_buckets": {name: table.oov_buckets for name, table in tables.items()},
    }
    sink = io.BytesIO()
    torch.save(content, sink)
    write_bytes(sink.getvalue(), place.weights)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def read_start(directory: str) -> StartWeights:
    """Read weights to start from: those of a pre-training, or of a bundle.

    Raises:
        InputError: they are missing or damaged.
        BundleError: the bundle is damaged.
    """
    if not exists(PretrainedDir(directory).document):
        bundle = open_bundle(directory)
        return StartWeights(bundle.weights(), bundle.features(FeatureState.load).vocabularies)
    place = PretrainedDir(directory)
    with open_file(place.weights) as handle:
        content = handle.read()
    expected, found = read_json(place.document)["sha256"], hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(f"{place.weights}: damaged, SHA-256 is {found}, expected {expected}; remove {directory}")
    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    tables = {name: Vocabulary(keys.numpy(), saved["oov_buckets"][name]) for name, keys in saved["keys"].items()}
    return StartWeights(saved["weights"], tables)


def start_digest(directory: str) -> str:
    """What tells the weights of a directory from others."""
    place = PretrainedDir(directory)
    return str(read_json(place.document)["sha256"]) if exists(place.document) else open_bundle(directory).model_version


def find_start(start_from: str) -> str:
    """Directory of the weights that `pretrain.start_from` names: of a run its last pre-training, else its bundle.

    Returns:
        An absolute path or a URL; empty where the setting is.

    Raises:
        InputError: there are none.
    """
    if not start_from:
        return ""
    root = absolute(start_from.rstrip("/"))
    run = RunDir(root)
    if exists(PretrainedDir(root).weights) or exists(f"{root}/{MANIFEST}"):
        return root
    if exists(run.pretrain):
        return run.pretrained(read_json(run.pretrain)["digest"]).root
    if exists(f"{run.bundle}/{MANIFEST}"):
        return run.bundle
    raise InputError(f"pretrain.start_from '{start_from}' holds no weights; give a run directory, or a bundle")
