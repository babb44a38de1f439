"""The root configuration of a run: the one place where the components' settings meet."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.cluster.config import RayConfig
from rosa_ray.config.compose import Tagged, tagged
from rosa_ray.config.load import load
from rosa_ray.data.leakage.guard import LeakGuardConfig
from rosa_ray.data.materialize import MaterializeConfig
from rosa_ray.data.preprocess import PreprocessConfig
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.features.config import FeatureConfig
from rosa_ray.models.losses import LossConfig
from rosa_ray.models.rankers import config_class
from rosa_ray.schema import PrivacyConfig
from rosa_ray.serving.config import ServingConfig
from rosa_ray.simulation import ExposureConfig, SimulationConfig
from rosa_ray.sources import SourceConfig
from rosa_ray.store.config import StoreConfig
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.studies.compare.config import StudyConfig
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.tracking import TrackingConfig
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run does.

    Attributes:
        run_dir: where the run writes, local or `s3://`; jobs that share it work on one run.
        seed: of training and sampling; the simulator has its own, so that one log serves many seeds.
        model: `name` picks the ranker, the other keys are that ranker's settings.
    """

    run_dir: str = "runs/default"
    seed: int = 7
    ray: RayConfig = field(default_factory=RayConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    exposure: ExposureConfig = field(default_factory=ExposureConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    leak_guard: LeakGuardConfig = field(default_factory=LeakGuardConfig)
    model: Tagged = tagged("rosa", config_class)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    gate: GateTrainingConfig = field(default_factory=GateTrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    materialize: MaterializeConfig = field(default_factory=MaterializeConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> RunConfig:
    """Load a run's configuration; precedence is code < profile < YAML < `--set`.

    >>> load_config(overrides=["model.heads=8"]).model.settings.heads
    8

    Raises:
        InputError: the file is missing or unreadable.
        ConfigError: a key or value is wrong; one line that names the place, the key, the value and what is right.
    """
    return load(RunConfig, path, overrides)
