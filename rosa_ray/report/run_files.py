"""The files of a run directory, each read at most once and only if a section asks for it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.calibration import sampled_probability
from rosa_ray.errors import InputError
from rosa_ray.features import Split
from rosa_ray.schema import hash_ids
from rosa_ray.storage import is_remote

Columns = dict[str, np.ndarray]

SWEEP = "tune/sweep.json"
STUDIES = {
    "compare": "comparison.json",
    "ablate": "ablation.json",
    "weights": "weights.json",
    "curve": "curve.json",
}
_LANDMARKS = (
    "config.yaml",
    "train.json",
    "bundle/manifest.json",
    "evaluation/metrics.json",
    "data/report.json",
    SWEEP,
    *STUDIES.values(),
)
_TRUE_COLUMNS = ("expected_revenue", "expected_cost")


@dataclass(frozen=True)
class RunFiles:
    """A run directory. Every property is None where the run has no such file.

    Attributes:
        root: the directory.
        given_studies: comparison files from elsewhere, by kind; they go before the run's own.
    """

    root: Path
    given_studies: dict[str, dict[str, Any]]

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.root.resolve().name

    def command(self, verb: str) -> str:
        """What a person types to run a verb on this run."""
        known = self.root / "config.yaml"
        return f"rosa {verb} {known if known.is_file() else 'CONFIG'}"

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The resolved config of the run's last job."""
        return _read_yaml(self.root / "config.yaml")

    @cached_property
    def train(self) -> dict[str, Any] | None:
        """What training reports: `history`, `best_epoch`, `model_version`."""
        return _read_json(self.root / "train.json")

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """Metrics of the test and validation periods."""
        return _read_json(self.root / "evaluation/metrics.json")

    @cached_property
    def data(self) -> dict[str, Any] | None:
        """The data report."""
        return _read_json(self.root / "data/report.json")

    @cached_property
    def spec(self) -> dict[str, Any] | None:
        """Where the periods begin and end, microseconds UTC."""
        return _read_json(self.root / "data/spec.json")

    @cached_property
    def leak_findings(self) -> dict[str, Any] | None:
        """What the leak guard found."""
        return _read_json(self.root / "data/leakage.json")

    @cached_property
    def log(self) -> dict[str, Any] | None:
        """What the simulator says of the log it wrote."""
        return _read_json(self.root / "log/log.json")

    @cached_property
    def bundle(self) -> Bundle | None:
        """The trained model, verified.

        Raises:
            BundleError: it is damaged.
        """
        return open_bundle(self.root / "bundle") if (self.root / "bundle").is_dir() else None

    def study(self, kind: str) -> dict[str, Any] | None:
        """The study of a kind: `compare`, `ablate`, `weights` or `curve`."""
        return self.given_studies.get(kind) or _read_json(self.root / STUDIES[kind])

    @cached_property
    def sweep(self) -> dict[str, Any] | None:
        """What `rosa tune` found."""
        return _read_json(self.root / SWEEP)

    def predictions(self, split: Split) -> Columns | None:
        """Scores beside keys and labels of one labelled period, None without any.

        The columns of `rosa_ray.training.predictions`, probabilities as of the rows that the log kept.
        """
        rows = self._rows(split)
        return _with_raw(rows, self._keep_rate) if rows else None

    def _rows(self, split: Split) -> Columns | None:
        if self._predictions is None:
            return None
        kept = self._predictions["split"] == int(split)
        return {name: values[kept] for name, values in self._predictions.items()} if kept.any() else None

    @property
    def _keep_rate(self) -> float:
        """Share of the impressions without a click that the log kept."""
        return float((self.config or {}).get("calibration", {}).get("negative_keep_rate") or 1.0)

    @cached_property
    def _predictions(self) -> Columns | None:
        table = _read_tables(self.root / "evaluation/predictions")
        return {name: table[name].to_numpy() for name in table.column_names} if table is not None else None

    @cached_property
    def candidates(self) -> Columns | None:
        """Candidates of the test period with their `true_revenue` and `true_cost`; None without a truth."""
        rows, truth = self._rows(Split.POLICY), self._truth
        if rows is None or truth is None:
            return None
        at = np.minimum(np.searchsorted(truth["key"], rows["impression_key"]), len(truth["key"]) - 1)
        if (truth["key"][at] != rows["impression_key"]).any():
            return None
        true = {"true_revenue": truth["expected_revenue"][at], "true_cost": truth["expected_cost"][at]}
        return {**rows, **true}

    @cached_property
    def _truth(self) -> Columns | None:
        source = str((self.config or {}).get("source", {}).get("path") or "")
        for folder in (self.root / "log/truth", Path(source) / "truth"):
            table = _read_tables(folder, ["impression_id", *_TRUE_COLUMNS])
            if table is not None:
                key = hash_ids(table["impression_id"])
                order = np.argsort(key, kind="stable")
                return {"key": key[order], **{name: table[name].to_numpy()[order] for name in _TRUE_COLUMNS}}
        return None


def _with_raw(rows: Columns, keep_rate: float) -> Columns:
    """Complete the raw scores, where there are any, and bring calibrated ones to the rows that the log kept."""
    if "raw_p_ctr" not in rows:
        return rows
    p_ctr = sampled_probability(rows["p_ctr"], keep_rate)
    raw = rows["raw_p_ctr"] * rows["raw_p_cvr"]
    return {**rows, "p_ctr": p_ctr, "p_ctcvr": p_ctr * rows["p_cvr"], "raw_p_ctcvr": raw}


def open_run(directory: str | Path, studies: Sequence[str | Path] = ()) -> RunFiles:
    """Return the files of a run.

    Args:
        directory: of the run, local.
        studies: files like `comparison.json` that are not in it.

    Raises:
        InputError: it is not a run directory, or a study is not one.
    """
    root = Path(directory)
    if is_remote(str(directory)):
        raise InputError(f"{directory}: the report reads local files; copy the run to a directory and give that")
    if not root.is_dir():
        raise InputError(f"{directory}: no such directory; give the run_dir of a run, such as runs/demo")
    if not any((root / name).exists() for name in _LANDMARKS):
        raise InputError(f"{directory}: not a run directory; it has none of {', '.join(_LANDMARKS)}")
    return RunFiles(root, {study["kind"]: study for study in map(_read_study, studies)})


def _read_study(path: str | Path) -> dict[str, Any]:
    study = _read_json(Path(path))
    if study is None:
        raise InputError(f"{path}: no such file; give the document of a study, such as comparison.json")
    if study.get("kind") not in STUDIES or not isinstance(study.get("variants"), list):
        raise InputError(f"{path}: kind is '{study.get('kind')}'; a study is of kind {', '.join(STUDIES)}")
    return study


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: damaged, expected JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a JSON object")
    return content


def _read_yaml(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise InputError(f"{path}: damaged, expected YAML: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}


def _read_tables(folder: Path, columns: list[str] | None = None) -> pa.Table | None:
    paths = sorted(folder.glob("*.parquet"))
    try:
        tables = [pq.read_table(path, columns=columns, page_checksum_verification=True) for path in paths]
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{folder}: unreadable: {' '.join(str(error).split())}") from error
    return pa.concat_tables(tables) if tables else None
