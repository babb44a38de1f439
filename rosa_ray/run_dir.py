"""Where everything of a run lies, local or remote: the one map of the names below a run directory.

```
RUN/config.yaml                      resolved config of the last job
RUN/log/                             `rosa simulate`       LogDir
RUN/data/                            `rosa preprocess`     DataDir
RUN/pretrained/, pretrain.json       `rosa pretrain`, `rosa train`   PretrainedDir
RUN/checkpoints/, train.json         `rosa train`
RUN/bundle, bundles/                 `rosa train`          see `rosa_ray.bundle`, `rosa_ray.bundle.versions`
RUN/evaluation/                      `rosa evaluate`       EvaluationDir
RUN/trials/, comparison.json, …      `rosa compare`, `ablate`, `weights`, `curve`
RUN/tune/                            `rosa tune`           SweepDir
RUN/store.db, stream/, dead_letters/ the live system, unless the config gives absolute paths
RUN/service.json                     `rosa serve`, while it runs
RUN/summary.json, report.html        `rosa demo`, `rosa report`
RUN/chaos.json, chaos.html           `rosa chaos`
```

Paths are text: `pathlib` would turn `s3://bucket` into `s3:/bucket`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

STUDY_DOCUMENTS = {
    "compare": "comparison.json",
    "ablate": "ablation.json",
    "weights": "weights.json",
    "curve": "curve.json",
}
"""Kind of a study -> the file of its document."""


@dataclass(frozen=True)
class Directory:
    """A directory, local or remote.

    >>> Directory("s3://bucket/run/").below("log")
    's3://bucket/run/log'
    """

    root: str

    def below(self, name: str) -> str:
        """Path of something in the directory."""
        return f"{self.root.rstrip('/')}/{name}"


@dataclass(frozen=True)
class LogDir(Directory):
    """A log as the simulator writes it."""

    @property
    def truth(self) -> str:
        """Expected revenue and cost of every candidate, by files; only simulated logs have it."""
        return self.below("truth")

    @property
    def staging(self) -> str:
        """Rows of a source on the way to an exposed log; removed at the end."""
        return self.below("_staging")

    @property
    def summary(self) -> str:
        """What was written; last, so that it says that all is there."""
        return self.below("log.json")

    def table(self, name: str) -> str:
        """Files of one contract."""
        return self.below(name)

    def part(self, name: str, part: int) -> str:
        """One file of a contract."""
        return f"{self.table(name)}/part-{part:05d}.parquet"


@dataclass(frozen=True)
class DataDir(Directory):
    """What preprocessing writes, and the files it hands from pass to pass."""

    @property
    def staging(self) -> str:
        """Files that one pass hands to the next."""
        return self.below("staging")

    @property
    def users(self) -> str:
        """User rows, a file per partition."""
        return self.below("users")

    @property
    def ads(self) -> str:
        """The catalogue, one row per version of an ad."""
        return self.below("ads.parquet")

    @property
    def items(self) -> str:
        """What is known of items, one row per version; only where columns of items are declared."""
        return self.below("items.parquet")

    def users_table(self, part: int) -> str:
        """What is known of the users of a partition, one row per version; only where columns of users are declared."""
        return f"{self.users_tables}/part-{part:05d}.parquet"

    @property
    def users_tables(self) -> str:
        """What is known of users, a file per partition."""
        return self.below("users_table")

    @property
    def names(self) -> str:
        """Device names behind their keys."""
        return self.below("names.json")

    @property
    def counters(self) -> str:
        """Counters of the whole log, for the online store."""
        return self.below("counters.parquet")

    @property
    def features(self) -> str:
        """Fitted features, a directory."""
        return self.below("features")

    @property
    def report(self) -> str:
        """The data report."""
        return self.below("report.json")

    @property
    def spec(self) -> str:
        """Periods and settings; written last, so that it says that all is there."""
        return self.below("spec.json")

    @property
    def leakage(self) -> str:
        """What the leak guard found."""
        return self.below("leakage.json")

    def user_rows(self, part: int) -> str:
        """User rows of a partition."""
        return f"{self.users}/part-{part:05d}.parquet"

    def keyed(self, log: str, part: int) -> str:
        """Deduplicated and keyed rows of one log in a partition."""
        return f"{self.staging}/keyed/{log}-{part:05d}.parquet"

    @property
    def routes(self) -> str:
        """Where clicks and conversions find their impressions, a directory."""
        return f"{self.staging}/routes"

    def route(self, name: str, part: int) -> str:
        """What a partition is handed of one table, a file by each of the others."""
        return f"{self.routes}/{name}/to={part:05d}"

    def part_counters(self, part: int) -> str:
        """Counters of a partition."""
        return f"{self.staging}/counters/part-{part:05d}.parquet"

    def shared_counters(self, shard: int) -> str:
        """Counters that users share, one shard of them."""
        return f"{self.staging}/counters/shared-{shard:05d}.parquet"

    def folded(self, part: int) -> str:
        """What the fold of a partition found, and from which files."""
        return f"{self.staging}/folded/{part:05d}.json"


@dataclass(frozen=True)
class EvaluationDir(Directory):
    """What evaluation writes."""

    @property
    def metrics(self) -> str:
        """All metrics of the test and validation periods."""
        return self.below("metrics.json")

    @property
    def predictions(self) -> str:
        """Scores beside keys and labels, by files."""
        return self.below("predictions")

    @property
    def importance(self) -> str:
        """What each input is worth to each head, by `rosa evaluate --importance`."""
        return self.below("importance.json")

    @property
    def parts(self) -> str:
        """What the policy would earn with one part swapped for the truth, by `rosa evaluate --parts`."""
        return self.below("parts.json")

    @property
    def value(self) -> str:
        """What every kind of score would earn, by `rosa value`."""
        return self.below("value.json")


@dataclass(frozen=True)
class PretrainedDir(Directory):
    """What pre-training on events leaves, a directory per digest."""

    @property
    def weights(self) -> str:
        """Weights of the best epoch, and the ids of their rows."""
        return self.below("weights.pt")

    @property
    def document(self) -> str:
        """How they came about, and their hash; written last, so that it says that they are there."""
        return self.below("pretrain.json")

    @property
    def tracking(self) -> str:
        """Which MLflow run it is recorded in."""
        return self.below("mlflow.json")

    @property
    def state(self) -> str:
        """What a pre-training in one process goes on from."""
        return self.below("state.pt")


@dataclass(frozen=True)
class TrialDir(Directory):
    """What one trial of a study or a sweep keeps."""

    @property
    def fit(self) -> str:
        """History and figures of the fit."""
        return self.below("fit.json")

    @property
    def weights(self) -> str:
        """Weights of the best epoch."""
        return self.below("weights.pt")

    @property
    def state(self) -> str:
        """What a trial that was stopped goes on from."""
        return self.below("state.pt")

    @property
    def result(self) -> str:
        """Figures of the finished trial."""
        return self.below("result.json")

    def predictions(self, part: int) -> str:
        """Scores of the users of one file of user rows."""
        return f"{self.predictions_dir}/part-{part:05d}.parquet"

    @property
    def predictions_dir(self) -> str:
        """All of them."""
        return self.below("predictions")


@dataclass(frozen=True)
class SweepDir(Directory):
    """What a sweep writes."""

    TUNE: ClassVar[str] = "ray"
    """Name of Ray Tune's experiment."""

    @property
    def document(self) -> str:
        """The sweep as JSON."""
        return self.below("sweep.json")

    @property
    def database(self) -> str:
        """Optuna's study."""
        return self.below("study.db")

    @property
    def tune_storage(self) -> str:
        """Ray Tune's own files."""
        return self.below(self.TUNE)

    def trials(self, study: str) -> str:
        """Trials of a study, a directory."""
        return self.below(f"trials/{study}")

    def trial(self, study: str, number: int) -> TrialDir:
        """One trial."""
        return TrialDir(f"{self.trials(study)}/{number:04d}")

    @property
    def winner(self) -> "RunDir":
        """The winner: a bundle and its evaluation."""
        return RunDir(self.root)

    @property
    def default(self) -> "RunDir":
        """The config as it is, measured beside the winner."""
        return RunDir(self.below("default"))


@dataclass(frozen=True)
class RunDir(Directory):
    """One run.

    >>> RunDir("runs/demo/").log.root
    'runs/demo/log'
    >>> RunDir("s3://bucket/run").data.spec
    's3://bucket/run/data/spec.json'
    """

    @property
    def config(self) -> str:
        """Resolved config of the last job."""
        return self.below("config.yaml")

    @property
    def log(self) -> LogDir:
        """What `rosa simulate` writes and `rosa preprocess` reads."""
        return LogDir(self.below("log"))

    @property
    def data(self) -> DataDir:
        """What `rosa preprocess` writes."""
        return DataDir(self.below("data"))

    @property
    def bundle(self) -> str:
        """The trained model: a link to the newest of the bundles beside it."""
        return self.below("bundle")

    @property
    def checkpoints(self) -> str:
        """Checkpoints of training, a directory per job digest."""
        return self.below("checkpoints")

    def pretrained(self, digest: str) -> PretrainedDir:
        """What one pre-training left.

        >>> RunDir("runs/demo").pretrained("0123456789abcdef").document
        'runs/demo/pretrained/0123456789abcdef/pretrain.json'
        """
        return PretrainedDir(self.below(f"pretrained/{digest}"))

    @property
    def pretrain(self) -> str:
        """What the last pre-training reached."""
        return self.below("pretrain.json")

    @property
    def train(self) -> str:
        """What training reached."""
        return self.below("train.json")

    @property
    def evaluation(self) -> EvaluationDir:
        """Metrics and predictions of the test period."""
        return EvaluationDir(self.below("evaluation"))

    @property
    def sweep(self) -> SweepDir:
        """What `rosa tune` writes."""
        return SweepDir(self.below("tune"))

    @property
    def service(self) -> str:
        """Where the service of `rosa serve` is, and its Ray cluster; gone when it ends."""
        return self.below("service.json")

    @property
    def summary(self) -> str:
        """What `rosa demo` saw."""
        return self.below("summary.json")

    @property
    def report(self) -> str:
        """The HTML page."""
        return self.below("report.html")

    @property
    def chaos(self) -> str:
        """What `rosa chaos` saw."""
        return self.below("chaos.json")

    @property
    def chaos_page(self) -> str:
        """The same as a page."""
        return self.below("chaos.html")

    def study(self, kind: str) -> str:
        """Document of a study.

        >>> RunDir("runs/demo").study("ablate")
        'runs/demo/ablation.json'
        """
        return self.below(STUDY_DOCUMENTS[kind])

    def trial(self, name: str) -> TrialDir:
        """One trial of a study."""
        return TrialDir(self.below(f"trials/{name}"))

    def inside(self, path: str) -> str:
        """A configured path: as it is where absolute, else inside the run.

        >>> RunDir("runs/demo").inside("store.db"), RunDir("runs/demo").inside("/var/store.db")
        ('runs/demo/store.db', '/var/store.db')
        >>> RunDir("runs/demo").inside("s3://bucket/letters")
        's3://bucket/letters'
        """
        return path if "://" in path or Path(path).is_absolute() else self.below(path)
