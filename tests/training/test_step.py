import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rosa_ray.errors import TrainingError
from rosa_ray.features import EncodedUsers, FeatureState, Split, collate
from rosa_ray.models import (
    LossConfig,
    LossScales,
    TaskBalance,
    UserBatch,
    build_balance,
    build_ranker,
    loss_terms,
    task_weights,
)
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.reader import idle_user
from rosa_ray.training.step import CHECK_EVERY, Stepper, autocast_dtype, global_loss
from tests.tiny_users import tiny_users

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 6, "hidden": (16,), "dropout": 0.0}
LOSS = LossConfig(gamma=0.3, next_event=0.0)
"""Without the next event, whose negatives are those of each worker's own batch."""


@pytest.fixture(scope="module")
def fitted() -> tuple[EncodedUsers, FeatureState]:
    users, state = tiny_users(users=12, per_user=10)
    return users.select(Split.TRAIN), state


def make(state: FeatureState) -> nn.Module:
    torch.manual_seed(3)
    model = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    for head in (model.heads.ctr, model.heads.cvr, model.heads.value):
        nn.init.normal_(head.weight, std=0.1)
    return model


def batch_of(users: EncodedUsers, *chosen: int) -> UserBatch:
    return UserBatch.from_numpy(collate(users, np.array(chosen)))


def weights_of(model: nn.Module, state: FeatureState, batch: UserBatch) -> Tensor:
    terms = loss_terms(model(batch), batch, LOSS, LossScales.of(state.base_rates))
    return torch.stack([weight for _, weight in terms.values()])


def gradient(
    model: nn.Module, state: FeatureState, batch: UserBatch, world: int, sum_over_ranks: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    terms = loss_terms(model(batch), batch, LOSS, LossScales.of(state.base_rates))
    model.zero_grad()
    global_loss(terms, LOSS, world, sum_over_ranks)[0].backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("parts", [((0, 1, 2, 3, 4, 5), (6,)), ((0, 1, 2), (3, 4, 5, 6)), ((0, 1, 2, 3, 4, 5, 6), ())])
def test_two_ranks_give_the_gradient_of_one_batch(
    fitted: tuple[EncodedUsers, FeatureState], parts: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    """DDP averages the ranks' gradients; the ranks hold very different numbers of users, one of them none."""
    users, state = fitted
    model = make(state)
    whole = gradient(model, state, batch_of(users, *range(7)), 1, lambda tensor: tensor)
    batches = [batch_of(users, *part) if part else batch_of(idle_user(users), 0) for part in parts]
    mass = sum(weights_of(model, state, batch) for batch in batches)
    ranks = [gradient(model, state, batch, 2, lambda _: mass) for batch in batches]
    for name, expected in whole.items():
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, expected, atol=1e-6, rtol=1e-4)


def test_a_rank_without_positives_changes_nothing(fitted: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = fitted
    last = np.arange(len(users.impressions["click"])) >= users.impression_offsets[6]
    none = {name: np.where(last, 0, users.impressions[name]) for name in ("click", "conversion", "revenue")}
    users, model = replace(users, impressions=users.impressions | none), make(state)
    whole = gradient(model, state, batch_of(users, *range(7)), 1, lambda tensor: tensor)
    batches = [batch_of(users, *range(6)), batch_of(users, 6)]
    assert not batches[1].labels["click"].any()
    mass = sum(weights_of(model, state, batch) for batch in batches)
    ranks = [gradient(model, state, batch, 2, lambda _: mass) for batch in batches]
    for name, expected in whole.items():
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, expected, atol=1e-6, rtol=1e-4)


def test_a_batch_without_any_weight_has_a_zero_gradient(fitted: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = fitted
    found = gradient(make(state), state, batch_of(idle_user(users), 0), 1, lambda tensor: tensor)
    assert all(not values.any() for values in found.values())


def stepper_of(model: nn.Module, state: FeatureState, loss: LossConfig = LOSS, **training: object) -> Stepper:
    return Stepper(
        model,
        training=TrainingConfig(**training),
        loss=loss,
        scales=LossScales.of(state.base_rates),
        device=torch.device("cpu"),
    )


def test_steps_lower_the_loss_and_sums_drain(fitted: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = fitted
    stepper, batch = stepper_of(make(state), state), batch_of(users, *range(8))
    losses = []
    for _ in range(30):
        stepper(batch, 3e-3)
        sums, weights = stepper.drain()
        losses.append((sums[0] / weights[0]).item())
    assert weights[0] == batch.impression_mask.sum()
    assert losses[-1] < losses[0] - 0.02
    assert not stepper.drain().any()


def test_divergence_names_step_and_term(fitted: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = fitted
    model = make(state)
    stepper, batch = stepper_of(model, state), batch_of(users, 0, 1, 2)
    stepper(batch, 1e-3)
    with torch.no_grad():
        model.heads.cvr.bias.fill_(float("nan"))
    stepper(batch, 1e-3)
    with pytest.raises(TrainingError, match="the cvr loss is not finite at step 2; lower training"):
        stepper.check()


def test_divergence_is_noticed_without_being_asked(fitted: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = fitted
    model = make(state)
    with torch.no_grad():
        model.heads.ctr.bias.fill_(float("inf"))
    stepper, batch = stepper_of(model, state), batch_of(users, 0)
    for _ in range(CHECK_EVERY - 1):
        stepper(batch, 1e-3)
    with pytest.raises(TrainingError, match="the ctr loss is not finite at step 1"):
        stepper(batch, 1e-3)


@pytest.mark.parametrize("balance", ["static", "uncertainty", "gradnorm"])
def test_a_restored_stepper_goes_on_alike(fitted: tuple[EncodedUsers, FeatureState], balance: str) -> None:
    users, state = fitted
    loss = replace(LOSS, balance=balance, next_event=0.1)
    first, second = (stepper_of(make(state), state, loss) for _ in range(2))
    for turn in range(52):
        first(batch_of(users, turn % 3), 1e-3)
    second.model.load_state_dict(first.model.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.task_weights() == first.task_weights()
    assert (first.task_weights() == stepper_of(make(state), state, loss).task_weights()) == (balance == "static")
    for stepper in (first, second):
        stepper(batch_of(users, 2), 1e-3)
    assert second.step == 53
    assert second.task_weights() == first.task_weights()
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
def test_two_ranks_learn_the_weights_of_one_process(fitted: tuple[EncodedUsers, FeatureState], balance: str) -> None:
    """Two threads meet at every sum, as two workers would; the model stands still, so that only weights move."""
    users, state = fitted
    loss, scales = replace(LOSS, balance=balance), LossScales.of(state.base_rates)

    def learn(chosen: tuple[int, ...], reduce: Callable[[Tensor], Tensor]) -> Tensor:
        model = models[chosen]
        learner = build_balance(loss, model)
        for _ in range(55):
            batch = batch_of(users, *chosen)
            learner.observe(loss_terms(model(batch), batch, loss, scales), reduce)
        return learner.weights()

    parts = ((0, 1, 2, 3, 4, 5), (6,))
    models = {chosen: make(state) for chosen in (*parts, tuple(range(7)))}
    meeting, given = threading.Barrier(2), [torch.empty(0)] * 2

    def meet(rank: int, tensor: Tensor) -> Tensor:
        given[rank] = tensor
        meeting.wait(60)
        total = given[0] + given[1]
        meeting.wait(60)
        return total

    with ThreadPoolExecutor(2) as pool:
        ranks = list(pool.map(lambda rank: learn(parts[rank], partial(meet, rank)), range(2)))
    assert torch.equal(*ranks)
    torch.testing.assert_close(ranks[0], learn(tuple(range(7)), lambda tensor: tensor), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ranks[0], TaskBalance(loss).weights())


def test_a_static_step_is_the_plain_weighted_loss(fitted: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = fitted
    model, batch = make(state), batch_of(users, 0, 1, 2)
    terms = loss_terms(model(batch), batch, LOSS, LossScales.of(state.base_rates))
    plain = global_loss(terms, LOSS, 1, lambda tensor: tensor)[0]
    assert torch.equal(plain, global_loss(terms, LOSS, 1, lambda tensor: tensor, TaskBalance(LOSS).weights())[0])


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
def test_balanced_steps_lower_the_loss_and_report_weights(
    fitted: tuple[EncodedUsers, FeatureState], balance: str
) -> None:
    users, state = fitted
    stepper, batch = stepper_of(make(state), state, replace(LOSS, balance=balance)), batch_of(users, *range(8))
    losses = []
    for _ in range(60):
        stepper(batch, 3e-3)
        sums, weights = stepper.drain()
        losses.append((sums[0] / weights[0]).item())
    assert losses[-1] < losses[0] - 0.02
    assert all((stepper.task_weights()[task] > 0) == (weight > 0) for task, weight in task_weights(LOSS).items())
    assert sum(stepper.task_weights().values()) == pytest.approx(sum(task_weights(LOSS).values()), rel=1e-5)


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(TrainingError, match=r"training\.precision is bf16 but the device is a CPU"):
        autocast_dtype("bf16", torch.device("cpu"))
