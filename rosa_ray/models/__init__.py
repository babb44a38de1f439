"""Models in torch, beside it trees of LightGBM: batches, embeddings, the encoder, rankers and losses."""

from rosa_ray.models.balance import TaskBalance, build_balance
from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.encoder import EncoderCache
from rosa_ray.models.ensemble import Ensemble, ensemble_of, join_weights
from rosa_ray.models.losses import (
    TASKS,
    LossConfig,
    LossScales,
    LossTerms,
    bills_clicks,
    labelled_loss,
    loss_terms,
    task_weights,
    unlabelled_tasks,
)
from rosa_ray.models.parts import PARTS, freeze_parts, parameter_groups, part_of
from rosa_ray.models.rankers import as_written, build_ranker, config_class, ranker_names, ranker_settings
from rosa_ray.models.states import StateRanker, keeps_states

__all__ = [
    "PARTS",
    "TASKS",
    "EncoderCache",
    "Ensemble",
    "LossConfig",
    "LossScales",
    "LossTerms",
    "Predictions",
    "StateRanker",
    "TaskBalance",
    "UserBatch",
    "as_written",
    "bills_clicks",
    "build_balance",
    "build_ranker",
    "config_class",
    "ensemble_of",
    "freeze_parts",
    "join_weights",
    "keeps_states",
    "labelled_loss",
    "loss_terms",
    "parameter_groups",
    "part_of",
    "ranker_names",
    "ranker_settings",
    "task_weights",
    "unlabelled_tasks",
]
