"""Experiment tracking: the one module that imports MLflow, and it does so only when a run starts.

Training must not depend on the tracking server. A call that fails is logged once as a warning, tracking pauses for a
minute and the run goes on; the bundle and the run directory stay the record.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rosa_ray.bundle import open_bundle
from rosa_ray.settings import section
from rosa_ray.settings.secrets import redact, redact_text, resolve
from rosa_ray.storage import absolute, is_remote

if TYPE_CHECKING:
    from mlflow import MlflowClient

RETRY_AFTER_S = 60.0
MAX_PARAM_CHARS = 6000
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
_PARENT_TAG = "mlflow.parentRunId"
_MOST_CHILDREN = 1000

Status = Literal["FINISHED", "FAILED", "KILLED"]
_Result = TypeVar("_Result")
_logger = logging.getLogger(__name__)


@section("tracking")
class TrackingConfig:
    """Where runs are recorded."""

    enabled: bool = True
    """False records nothing and never imports MLflow."""
    uri: str = ""
    """MLflow tracking URI. Empty means `default_uri` of the run directory. A password in it may be
    `{env:NAME}`."""
    experiment: str = "rosa-rec"
    """The experiment that runs are listed under."""
    model_name: str = "rosa-rec"
    """The registered model that bundles become versions of."""


def default_uri(run_dir: str | Path) -> str:
    """Return the MLflow store of `MLFLOW_TRACKING_URI`, else the SQLite file shared by all runs beside `run_dir`.

    A remote run directory cannot hold a database; its file lies in the working directory, named after that place.

    >>> default_uri("/data/runs/demo")
    'sqlite:////data/runs/mlflow.db'
    >>> default_uri("s3://bucket/runs/demo").rpartition("/")[-1]
    'mlflow-bucket-runs.db'
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    beside = _beside(run_dir)
    if is_remote(beside):
        place = beside.partition("://")[2].replace("/", "-")
        return f"sqlite:///{Path.cwd() / f'mlflow-{place}.db'}"
    return f"sqlite:///{Path(beside) / 'mlflow.db'}"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings under dotted names.

    >>> flatten({"model": {"d": 32}, "seed": 1})
    {'model.d': 32, 'seed': 1}
    """
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


class Run:
    """One MLflow run. Every method returns at once and does nothing when tracking is off or did not start.

    Attributes:
        run_id: of the MLflow run, None when there is none; with it `start_run` goes on with the run after a restart.
    """

    def __init__(self, client: "MlflowClient | None", run_id: str | None, config: TrackingConfig) -> None:
        self.run_id = run_id
        self._client = client
        self._config = config
        self._paused_until_s = 0.0
        self._warned = False

    def log_params(self, config: Mapping[str, Any]) -> None:
        """Record a configuration, nested keys joined by dots and secrets hidden."""
        from_leaf = {name: str(value)[:MAX_PARAM_CHARS] for name, value in flatten(redact(config)).items()}

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Param

            params = [Param(name, value) for name, value in from_leaf.items()]
            for chunk in _chunks(params, PARAMS_PER_CALL):
                client.log_batch(run_id, params=chunk)

        self._attempt("log parameters", log)

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Record the numbers of a nested mapping at a step; None, text and lists are left out."""
        numbers = {
            name: float(value)
            for name, value in flatten(metrics).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        now_ms = int(time.time() * 1000)

        def log(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Metric

            points = [Metric(name, value, now_ms, step) for name, value in numbers.items()]
            for chunk in _chunks(points, METRICS_PER_CALL):
                client.log_batch(run_id, metrics=chunk)

        self._attempt("log metrics", log)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags on the run."""

        def log(client: "MlflowClient", run_id: str) -> None:
            for name, value in tags.items():
                client.set_tag(run_id, name, value)

        self._attempt("set tags", log)

    def log_artifacts(self, directory: str | Path, name: str | None = None) -> None:
        """Copy a local directory into the run's artifacts, under `name` when given."""
        self._attempt(
            f"log artifacts of {directory}", lambda client, run_id: client.log_artifacts(run_id, str(directory), name)
        )

    def register_bundle(self, directory: str | Path) -> str | None:
        """Copy a bundle into the run's artifacts and register it as a new version of `TrackingConfig.model_name`.

        Returns:
            The registered version, None when tracking is off or failed.

        Raises:
            BundleError: the bundle is damaged; a damaged model is never registered.
        """
        bundle = open_bundle(directory)
        manifest = bundle.manifest
        tags = {"model_version": manifest.model_version, "feature_fingerprint": manifest.feature_fingerprint}

        def register(client: "MlflowClient", run_id: str) -> str:
            client.log_artifacts(run_id, str(bundle.path), "bundle")
            name = self._config.model_name
            if not client.search_registered_models(filter_string=f"name = '{name}'"):
                client.create_registered_model(name)
            source = f"{client.get_run(run_id).info.artifact_uri}/bundle"
            return str(client.create_model_version(name, source, run_id, tags=tags).version)

        return self._attempt("register the bundle", register)

    def end_children(self, status: Status) -> int:
        """Close the runs nested under this one that are still open, such as those of a process that was killed.

        Returns:
            How many there were.
        """

        def end_all(client: "MlflowClient", run_id: str) -> int:
            experiment = client.get_run(run_id).info.experiment_id
            mine = f"tags.`{_PARENT_TAG}` = '{run_id}' and attributes.status = 'RUNNING'"
            left = client.search_runs([experiment], mine, max_results=_MOST_CHILDREN)
            for child in left:
                client.set_terminated(child.info.run_id, status)
            return len(left)

        return self._attempt("end nested runs", end_all) or 0

    def end(self, status: Status) -> None:
        """Close the run; done by `start_run` for its own, and tried even while tracking is paused."""
        self._paused_until_s = 0.0
        self._attempt("end the run", lambda client, run_id: client.set_terminated(run_id, status))

    def _attempt(self, what: str, call: "Callable[[MlflowClient, str], _Result]") -> _Result | None:
        if self._client is None or self.run_id is None or time.monotonic() < self._paused_until_s:
            return None
        try:
            with _quiet():
                return call(self._client, self.run_id)
        except Exception as error:
            self._paused_until_s = time.monotonic() + RETRY_AFTER_S
            if not self._warned:
                _warn(what, error)
            self._warned = True
            return None


@contextmanager
def start_run(
    config: TrackingConfig,
    run_dir: str | Path,
    name: str,
    *,
    run_id: str | None = None,
    parent_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """Open a run and close it as FINISHED, FAILED (an exception) or KILLED (interrupt or exit).

    Args:
        config: where to record.
        run_dir: the project's run directory; decides the default store and where artifacts go beside it.
        name: shown in the MLflow list.
        run_id: continue this run instead of starting one (after a restart).
        parent_run_id: nest under this run (a trial of a sweep).
        tags: set on the run.
    """
    run = open_run(config, run_dir, name, run_id=run_id, parent_run_id=parent_run_id, tags=tags)
    try:
        yield run
    except Exception:
        run.end("FAILED")
        raise
    except BaseException:
        run.end("KILLED")
        raise
    run.end("FINISHED")


def open_run(
    config: TrackingConfig,
    run_dir: str | Path,
    name: str,
    *,
    run_id: str | None = None,
    parent_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Open a run that the caller ends, as a sweep does with its trials; arguments as of `start_run`."""
    parent = {_PARENT_TAG: parent_run_id} if parent_run_id else {}

    def find_run(client: "MlflowClient") -> str:
        if run_id is not None:
            return _continue_run(client, run_id)
        experiment_id = _experiment_id(client, config, run_dir)
        created: str = client.create_run(experiment_id, run_name=name, tags={**(tags or {}), **parent}).info.run_id
        return created

    return _open(config, run_dir, find_run)


def _open(config: TrackingConfig, run_dir: str | Path, find_run: "Callable[[MlflowClient], str]") -> Run:
    if not config.enabled:
        return Run(None, None, config)
    try:
        with _quiet():
            client = _connect(config, run_dir)
            return Run(client, find_run(client), config)
    except Exception as error:
        _warn("start", error)
        return Run(None, None, config)


def _continue_run(client: "MlflowClient", run_id: str) -> str:
    client.update_run(run_id, status="RUNNING")
    return run_id


def _connect(config: TrackingConfig, run_dir: str | Path) -> "MlflowClient":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if not is_remote(str(run_dir)):
        Path(run_dir).absolute().parent.mkdir(parents=True, exist_ok=True)
    uri = _resolved(config.uri) or default_uri(run_dir)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _resolved(uri: str) -> str:
    """The URI with what it refers to; `file:` at its beginning is MLflow's own."""
    return uri if uri.startswith("file:") else resolve(uri, "tracking.uri")


def _experiment_id(client: "MlflowClient", config: TrackingConfig, run_dir: str | Path) -> str:
    found = client.get_experiment_by_name(config.experiment)
    if found is not None:
        return found.experiment_id
    on_server = bool(config.uri or os.environ.get("MLFLOW_TRACKING_URI"))
    return client.create_experiment(config.experiment, artifact_location=None if on_server else _artifacts(run_dir))


def _artifacts(run_dir: str | Path) -> str:
    beside = f"{_beside(run_dir)}/mlartifacts"
    return beside if is_remote(beside) else Path(beside).as_uri()


def _beside(run_dir: str | Path) -> str:
    """The directory that a run directory lies in."""
    return absolute(str(run_dir).rstrip("/")).rpartition("/")[0]


def _chunks(items: Sequence[_Result], size: int) -> Iterator[Sequence[_Result]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _warn(what: str, error: Exception) -> None:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    _logger.warning("tracking could not %s, the run goes on without: %s", what, redact_text(reason))
