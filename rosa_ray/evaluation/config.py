"""Settings of evaluation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from rosa_ray.calibration import Returns
from rosa_ray.metrics import Ranking, ScoreChoice, ScoreKind, chosen_score
from rosa_ray.settings import section, wrong


@section("evaluation")
class EvaluationConfig:
    """How a trained ranker is evaluated."""

    score: ScoreChoice = "auto"
    """What the policy ranks by. `auto` takes `dual` where the log has costs and revenue, `ecpm` where it has no costs,
    and `ctr` where it has no revenue either. Studies take `roi`, the paper's, in the place of `dual`."""
    theta: Annotated[float, Ge(0)] | None = None
    """What one unit of cost has to bring under `dual`. null takes what calibration fitted."""
    users_per_batch: Annotated[int, Ge(1)] = 64
    """Users padded to one rectangle."""
    actors: Annotated[int, Ge(1)] = 1
    """Scoring processes, each with a GPU where `use_gpu` says so."""
    use_gpu: bool | Literal["auto"] = "auto"
    """A GPU per scoring process, none, or `auto`: where the cluster has one for each."""
    off_policy_clip: Annotated[float, Gt(0)] | None = None
    """Largest importance weight of off-policy estimates. null clips nothing."""
    importance_impressions: Annotated[int, Ge(1)] = 10_000
    """Test impressions that `rosa evaluate --importance` scores, those of whole users drawn at random. Its time and
    memory grow with them."""
    importance_repeats: Annotated[int, Ge(1), Le(1000)] = 5
    """How often each input is permuted anew. The importance is the mean."""
    importance_replicates: Annotated[int, Ge(20), Le(2_000)] = 200
    """Draws of users and repeats behind each interval."""
    importance_seed: Annotated[int, Ge(0)] = 0
    """Seed of the sample, the permutations and the draws. Equal seeds give equal figures."""

    def on(self, totals: Mapping[str, float]) -> "EvaluationConfig":
        """The same with the score that a log with these totals can teach; see `rosa_ray.metrics.chosen_score`.

        Raises:
            ConfigError: the score needs costs or revenue, and the log has none.
        """
        try:
            return replace(self, score=chosen_score(self.score, totals))
        except ValueError as error:
            raise wrong(self, "score", str(error)) from error

    @property
    def score_kind(self) -> ScoreKind:
        """The score; `auto` is what it is on a log that has all, before `on` has seen the log."""
        return "dual" if self.score == "auto" else self.score

    def ranking(self, returns: Returns) -> Ranking:
        """The score with its numbers, for a model whose calibration found these."""
        theta = returns.theta if self.theta is None else self.theta
        return Ranking(self.score_kind, theta, returns.level)

    @property
    def yardstick(self) -> Ranking:
        """What studies compare models by: no number of `dual` is theirs, so the ratio stands in its place."""
        return Ranking("roi" if self.score_kind == "dual" else self.score_kind)
