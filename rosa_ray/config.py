"""The root configuration of a run: the one place where the components' settings meet."""

from collections.abc import Iterable
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.cluster.config import RayConfig
from rosa_ray.data.leakage.guard import LeakGuardConfig
from rosa_ray.data.materialize import MaterializeConfig
from rosa_ray.data.preprocess import PreprocessConfig
from rosa_ray.errors import ConfigError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.own import ColumnConfig
from rosa_ray.labels import LabelsConfig
from rosa_ray.models.losses import LossConfig
from rosa_ray.models.rankers import config_class, ranker_names
from rosa_ray.records.config import RecordsConfig
from rosa_ray.schema.pseudonyms import PrivacyConfig
from rosa_ray.serving.config import ServingConfig
from rosa_ray.settings import Tagged, section, tagged
from rosa_ray.settings.load import load
from rosa_ray.simulation import ExposureConfig, SimulationConfig
from rosa_ray.sources import SourceConfig, features_of
from rosa_ray.store.config import StoreConfig
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.studies.compare.config import StudyConfig
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.tracking import TrackingConfig
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.pretrain_config import PretrainConfig

PROFILES = Path(__file__).with_name("profiles")
"""Named settings that the key `profile` lays under a config, a YAML file each."""

FORMER_NAMES = {"calibration.negative_keep_rate": "preprocess.negative_keep_rate"}
"""Keys that settings once had -> those of today."""


@section("")
class RunConfig:
    """Everything that decides what a run does."""

    run_dir: str = "runs/default"
    """Where the run writes, local or `s3://`. Jobs that share it work on one run."""
    seed: Annotated[int, Ge(0)] = 7
    """Of training and sampling. The simulator has its own, so that one log serves many seeds."""
    ray: RayConfig = field(default_factory=RayConfig)
    """The Ray cluster that jobs run on."""
    source: SourceConfig = field(default_factory=SourceConfig)
    """The log to learn from."""
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    """Pseudonyms of users."""
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    """The built-in simulator."""
    exposure: ExposureConfig = field(default_factory=ExposureConfig)
    """Ads shown on real timelines, for logs without impressions."""
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    """How clicks and conversions of logs of their own are joined to impressions."""
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    """How the log is partitioned and split."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    """The feature computation, the same offline and online."""
    leak_guard: LeakGuardConfig = field(default_factory=LeakGuardConfig)
    """Checks of the data before training."""
    model: Tagged = tagged("rosa", config_class, ranker_names)
    """`name` picks the ranker; the other keys are that ranker's settings."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Task weights."""
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    """What events teach before training."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How the ranker is fitted."""
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    """How scores are corrected after training."""
    gate: GateTrainingConfig = field(default_factory=GateTrainingConfig)
    """How the gate between offline and online score is fitted."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """How the trained ranker is evaluated."""
    study: StudyConfig = field(default_factory=StudyConfig)
    """What comparisons and ablations train."""
    tune: TuneConfig = field(default_factory=TuneConfig)
    """What a sweep searches."""
    materialize: MaterializeConfig = field(default_factory=MaterializeConfig)
    """How users are encoded into the online store."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """The online store."""
    records: RecordsConfig = field(default_factory=RecordsConfig)
    """How producers write live records."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    """The stream of live records."""
    serving: ServingConfig = field(default_factory=ServingConfig)
    """How requests are answered."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """Where runs are recorded."""

    def __post_init__(self) -> None:
        known = _columns_of(self.source)
        if known and not self.features.columns:
            object.__setattr__(self, "features", replace(self.features, columns=known))
        behaviors = self.features.behavior_names
        for value, behavior in self.source.behaviors.items():
            if behavior not in behaviors:
                right = f"it is one of {', '.join(behaviors)}, or features.behaviors names it"
                raise ConfigError(f"source.behaviors.{value} is '{behavior}'; {right}")


def _columns_of(source: SourceConfig) -> dict[str, ColumnConfig]:
    return {name: ColumnConfig(type=kind) for name, kind in features_of(source).items()}


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> RunConfig:
    """Load a run's configuration; precedence is code < profile < YAML < `--set`.

    >>> load_config(overrides=["model.heads=8"]).model.settings.heads
    8

    Raises:
        InputError: the file is missing or unreadable.
        ConfigError: a key or value is wrong; one line that names the place, the key, the value and what is right.
    """
    return load(RunConfig, path, overrides, PROFILES, FORMER_NAMES)
