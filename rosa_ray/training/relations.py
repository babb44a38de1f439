"""Counting what leads to what over the users of all workers, before training, for models that read it."""

import numpy as np
import torch
from torch import nn

from rosa_ray.features.batching import user_folds
from rosa_ray.models.relations import CategoryCounts, CategoryRelations
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.reader import ShardReader


def count_relations(ranker: nn.Module, users: ShardReader, ranks: Ranks) -> None:
    """Give a model the transitions of the training period's events; nothing where it has no such part."""
    for relations in ranker.modules():
        if isinstance(relations, CategoryRelations):
            counts = CategoryCounts(relations.categories)
            for part in users.training(np.random.default_rng(0)):
                category = relations.slots(part.events["category"])
                counts.add(category, part.event_offsets, user_folds(part.user_key))
            relations.fit(ranks.sum(torch.from_numpy(counts.counts_KGCC).to(ranks.device)))
