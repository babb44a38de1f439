"""The files of a run directory, each read at most once and only if a section asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from rosa_ray.arrays import Columns
from rosa_ray.bundle import MANIFEST, Bundle, open_bundle
from rosa_ray.errors import InputError
from rosa_ray.features import Split
from rosa_ray.run_dir import STUDY_DOCUMENTS, LogDir, RunDir
from rosa_ray.schema import hash_ids
from rosa_ray.storage import exists, is_remote, read_json, read_parquet

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
    def place(self) -> RunDir:
        """What lies where in the directory."""
        return RunDir(str(self.root))

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.root.resolve().name

    def command(self, verb: str) -> str:
        """What a person types to run a verb on this run."""
        known = Path(self.place.config)
        return f"rosa {verb} {known if known.is_file() else 'CONFIG'}"

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The resolved config of the run's last job."""
        return _read_yaml(Path(self.place.config))

    @cached_property
    def train(self) -> dict[str, Any] | None:
        """What training reports: `history`, `best_epoch`, `model_version`."""
        return _read_json(self.place.train)

    @cached_property
    def pretrain(self) -> dict[str, Any] | None:
        """What pre-training reports: `history`, `best_epoch`, `blank_loss`."""
        return _read_json(self.place.pretrain)

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """Metrics of the test and validation periods."""
        return _read_json(self.place.evaluation.metrics)

    @cached_property
    def importance(self) -> dict[str, Any] | None:
        """What each input is worth to each head."""
        return _read_json(self.place.evaluation.importance)

    @cached_property
    def parts(self) -> dict[str, Any] | None:
        """What the policy would earn with one part swapped for the truth."""
        return _read_json(self.place.evaluation.parts)

    @cached_property
    def data(self) -> dict[str, Any] | None:
        """The data report."""
        return _read_json(self.place.data.report)

    @cached_property
    def spec(self) -> dict[str, Any] | None:
        """Where the periods begin and end, microseconds UTC."""
        return _read_json(self.place.data.spec)

    @cached_property
    def leak_findings(self) -> dict[str, Any] | None:
        """What the leak guard found."""
        return _read_json(self.place.data.leakage)

    @cached_property
    def log(self) -> dict[str, Any] | None:
        """What the simulator says of the log it wrote."""
        return _read_json(self.place.log.summary)

    @cached_property
    def bundle(self) -> Bundle | None:
        """The trained model, verified.

        Raises:
            BundleError: it is damaged.
        """
        return open_bundle(self.place.bundle) if Path(self.place.bundle).is_dir() else None

    def study(self, kind: str) -> dict[str, Any] | None:
        """The study of a kind: `compare`, `ablate`, `weights` or `curve`."""
        return self.given_studies.get(kind) or _read_json(self.place.study(kind))

    @cached_property
    def sweep(self) -> dict[str, Any] | None:
        """What `rosa tune` found."""
        return _read_json(self.place.sweep.document)

    def predictions(self, split: Split) -> Columns | None:
        """Scores beside keys and labels of one labelled period, None without any.

        The columns of `rosa_ray.evaluation.predictions`.
        """
        rows = self._rows(split)
        return _completed(rows, self._former_keep_rate) if rows else None

    def _rows(self, split: Split) -> Columns | None:
        if self._predictions is None:
            return None
        kept = self._predictions["split"] == int(split)
        return {name: values[kept] for name, values in self._predictions.items()} if kept.any() else None

    @property
    def _former_keep_rate(self) -> float:
        """Share of the impressions without a click that the log of an earlier version's run kept."""
        return float((self.config or {}).get("calibration", {}).get("negative_keep_rate") or 1.0)

    @cached_property
    def _predictions(self) -> Columns | None:
        table = _read_tables(self.place.evaluation.predictions)
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

    @property
    def log_dir(self) -> str:
        """Where the log lies: the run's own where it was simulated, else the source's; empty where nothing says so."""
        source = str((self.config or {}).get("source", {}).get("path") or "")
        return self.place.log.root if exists(self.place.log.summary) else source

    @cached_property
    def _truth(self) -> Columns | None:
        source = str((self.config or {}).get("source", {}).get("path") or "")
        for log in (self.place.log, LogDir(source)):
            table = _read_tables(log.truth, ["impression_id", *_TRUE_COLUMNS])
            if table is not None:
                key = hash_ids(table["impression_id"])
                order = np.argsort(key, kind="stable")
                return {"key": key[order], **{name: table[name].to_numpy()[order] for name in _TRUE_COLUMNS}}
        return None


def _completed(rows: Columns, keep_rate: float) -> Columns:
    """Add the weights that rows of earlier versions lack, and the raw product where there are raw scores."""
    rows = {"weight": np.where(rows["click"] == 1, 1.0, 1.0 / keep_rate), **rows}
    return {**rows, "raw_p_ctcvr": rows["raw_p_ctr"] * rows["raw_p_cvr"]} if "raw_p_ctr" in rows else rows


def open_run_files(directory: str | Path, studies: Sequence[str | Path] = ()) -> RunFiles:
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
    landmarks = _landmarks(RunDir(str(root)))
    if not any(map(exists, landmarks)):
        names = ", ".join(str(Path(path).relative_to(root)) for path in landmarks)
        raise InputError(f"{directory}: not a run directory; it has none of {names}")
    return RunFiles(root, {study["kind"]: study for study in map(_read_study, studies)})


def _landmarks(place: RunDir) -> list[str]:
    """What a job leaves behind; one of them makes a directory a run."""
    studies = [place.study(kind) for kind in STUDY_DOCUMENTS]
    evaluated = [place.pretrain, place.evaluation.metrics, place.data.report, place.sweep.document, *studies]
    return [place.config, place.train, f"{place.bundle}/{MANIFEST}", *evaluated]


def _read_study(path: str | Path) -> dict[str, Any]:
    study = _read_json(str(path))
    if study is None:
        raise InputError(f"{path}: no such file; give the document of a study, such as comparison.json")
    if study.get("kind") not in STUDY_DOCUMENTS or not isinstance(study.get("variants"), list):
        raise InputError(f"{path}: kind is '{study.get('kind')}'; a study is of kind {', '.join(STUDY_DOCUMENTS)}")
    return study


def _read_json(path: str) -> dict[str, Any] | None:
    return read_json(path) if exists(path) else None


def _read_yaml(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise InputError(f"{path}: damaged, expected YAML: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}


def _read_tables(folder: str, columns: list[str] | None = None) -> pa.Table | None:
    paths = sorted(Path(folder).glob("*.parquet"))
    return pa.concat_tables(read_parquet(str(path), columns) for path in paths) if paths else None
