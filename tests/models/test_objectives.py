"""What every objective of pre-training promises, whoever wrote it."""

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.errors import ConfigError
from rosa_ray.features import collate
from rosa_ray.models import UserBatch, build_ranker
from rosa_ray.models.event_model import RANKER, EventModel
from rosa_ray.models.objectives import EventCounts, build_objective, objective_names, require_event_ranker
from rosa_ray.training.reader import idle_user
from tests.tiny_users import tiny_users

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 8, "hidden": (16,)}


@pytest.fixture(params=objective_names())
def model(request: pytest.FixtureRequest) -> EventModel:
    users, state = tiny_users(users=20)
    torch.manual_seed(0)
    ranker = require_event_ranker(build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates), "rosa")
    counts = {
        name: torch.from_numpy(np.bincount(users.events[name], minlength=state.table_sizes[name]))
        for name in ("item", "category")
    }
    name = request.param
    return EventModel(ranker, {name: build_objective(name, ranker, EventCounts(state.table_sizes, counts))})


def batch_of(users: int) -> UserBatch:
    encoded, _ = tiny_users(users=20)
    return UserBatch.from_numpy(collate(encoded, np.arange(users)))


def test_losses_are_finite_sums_with_a_number_and_reach_the_shared_tables(model: EventModel) -> None:
    sums, numbers = model(batch_of(20))
    assert sums.shape == numbers.shape == (1,)
    assert torch.isfinite(sums).all()
    assert numbers.item() > 0
    sums.sum().backward()
    assert model.ranker.tables.item.weight.grad is not None


def test_descent_lowers_the_loss(model: EventModel) -> None:
    optimizer, batch, seen = torch.optim.Adam(model.parameters(), 1e-2), batch_of(20), []
    for _ in range(25):
        torch.manual_seed(0)
        sums, numbers = model(batch)
        loss = (sums / numbers).sum()
        seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert seen[-1] < seen[0]


def test_a_batch_without_events_teaches_nothing_and_touches_the_same_parameters(model: EventModel) -> None:
    encoded, _ = tiny_users(users=20)
    idle = UserBatch.from_numpy(collate(idle_user(encoded), np.zeros(1, np.int64)))
    sums, numbers = model(idle)
    assert (sums.item(), numbers.item()) == (0.0, 0.0)
    model(batch_of(20))[0].sum().backward()
    reached = {name for name, value in model.named_parameters() if value.grad is not None}
    touched = model.freeze_untouched(idle)
    assert {name.removeprefix(RANKER) for name in reached if name.startswith(RANKER)} == set(touched)
    assert not any(name.startswith(("heads.", "context.")) for name in touched)


def test_padding_is_no_event(model: EventModel) -> None:
    model.eval()
    batch = batch_of(3)
    longer = UserBatch(
        events={name: nn.functional.pad(values, (0, 4)) for name, values in batch.events.items()},
        event_mask=nn.functional.pad(batch.event_mask, (0, 4)),
        impressions=batch.impressions,
        impression_mask=batch.impression_mask,
        dense=batch.dense,
        labels=batch.labels,
        row=batch.row,
        user=batch.user,
    )
    torch.manual_seed(0)
    plain = model(batch)
    torch.manual_seed(0)
    assert torch.allclose(model(longer), plain, rtol=1e-4)


def test_an_objective_of_no_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"known objectives are .*next_event"):
        build_objective("telepathy", nn.Module(), EventCounts({}, {}))  # type: ignore[arg-type]
