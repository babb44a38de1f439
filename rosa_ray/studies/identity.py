"""What decides the outcome of a trial: its settings, its data and the code. What was kept under another is not it.

`TrainingJob.digest` says less: that one training can go on from another's checkpoints, with more epochs or from more
workers.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fsspec
import xxhash

from rosa_ray.data.user_rows import list_user_files
from rosa_ray.models import config_class
from rosa_ray.settings.plain import to_plain
from rosa_ray.storage import readable
from rosa_ray.studies.trees.config import TREES
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_job import PretrainJob

FIT_CODE = (
    "arrays.py",
    "data/user_rows.py",
    "evaluation/predictions.py",
    "features",
    "inference.py",
    "metrics",
    "models",
    "schema",
    "training",
)
"""What a fit runs, below the package."""

MEASURE_CODE = ("calibration", "evaluation", "studies/compare", "studies/sweep", "studies/trial.py")
"""What measures a fitted trial, beside `FIT_CODE`."""

_LIBRARIES = ("lightgbm", "numpy", "torch")
_NO_EFFECT = (
    "min_workers",
    "use_gpu",
    "cpus_per_worker",
    "threads_per_worker",
    "max_failures",
    "keep_checkpoints",
    "collective_timeout_s",
    "resume",
)
"""Settings of training that a trial in one process does not have, or that change no figure."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Identity:
    """Digests of all that decides a fit, sixteen hex digits each."""

    settings: str
    data: str
    code: str

    @property
    def digest(self) -> str:
        """All of them as one."""
        return _digest(asdict(self))

    def changes(self, kept: Mapping[str, Any]) -> tuple[str, ...]:
        """Name what differs from the identity of a kept record, in words.

        >>> Identity("a", "b", "c").changes({"settings": "a", "data": "x", "code": "y"})
        ('other data', 'other code')
        >>> Identity("a", "b", "c").changes({})
        ('an earlier version',)
        """
        mine = asdict(self)
        if not mine.keys() <= kept.keys():
            return ("an earlier version",)
        return tuple(f"other {name}" for name in mine if kept[name] != mine[name])


def identify(job: TrainingJob, feature_fingerprint: str) -> Identity:
    """Return what decides the outcome of a job's fit.

    Raises:
        InputError: there is no preprocessed data.
    """
    training = {name: value for name, value in asdict(job.training).items() if name not in _NO_EFFECT}
    settings = [job.model.name, to_plain(job.model.settings), asdict(job.loss), training, job.seed]
    settings += [PretrainJob(job).digest] if job.pretrain.enabled else []
    return Identity(_digest(settings), data_digest(job, feature_fingerprint), code_digest(FIT_CODE, job.model.name))


def data_digest(job: TrainingJob, feature_fingerprint: str) -> str:
    """Return a digest of the bytes of all user rows, and of the features fitted on them."""
    files = [_file_digest(path, _unique_key(path)) for path, _ in list_user_files(job.layout.users)]
    return _digest([feature_fingerprint, files])


@lru_cache
def code_digest(parts: tuple[str, ...], model: str) -> str:
    """Return a digest of the sources of some parts of the package, of a model's own, and of the libraries below.

    Args:
        parts: files and folders below the package.
        model: name of a ranker, whose module may be one of the user's; or of the trees.
    """
    root = Path(__file__).parents[1]
    sources = [*(path for part in parts for path in _sources(root / part)), *_sources(_place(model))]
    content = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    return _digest([content, *map(version, _LIBRARIES)])


def _place(model: str) -> Path:
    """The module of a ranker, or the folder of the trees."""
    if model == TREES:
        return Path(__file__).parent / TREES
    return Path(str(import_module(config_class(model).__module__).__file__))


def _sources(place: Path) -> Iterator[Path]:
    yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _unique_key(path: str) -> str:
    fs, root = fsspec.core.url_to_fs(path)
    return str(fs.ukey(root))


@lru_cache(maxsize=4096)
def _file_digest(path: str, unique_key: str) -> str:
    """Digest of a file's bytes; `unique_key` changes when the file does, so that an unchanged one is read once."""
    found = xxhash.xxh3_64()
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
