"""Settings of evaluation."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt

from rosa_ray.metrics import ScoreKind
from rosa_ray.settings import section


@section("evaluation")
class EvaluationConfig:
    """How a trained ranker is evaluated."""

    score: ScoreKind = "roi"
    """What the policy ranks by."""
    users_per_batch: Annotated[int, Ge(1)] = 64
    """Users padded to one rectangle."""
    actors: Annotated[int, Ge(1)] = 1
    """Scoring processes, each with a GPU where `use_gpu` says so."""
    use_gpu: bool | Literal["auto"] = "auto"
    """A GPU per scoring process, none, or `auto`: where the cluster has one for each."""
    off_policy_clip: Annotated[float, Gt(0)] | None = None
    """Largest importance weight of off-policy estimates. null clips nothing."""
