"""Task balancing on toys whose optimum is known."""

import math

import pytest
import torch
from torch import Tensor, nn

from rosa_ray.errors import ConfigError
from rosa_ray.models import TASKS, LossConfig, LossTerms, build_balance, task_weights
from rosa_ray.models.balance import GradNormBalance, TaskBalance, UncertaintyBalance, shared_parameters
from rosa_ray.models.heads import TaskHeads

WEIGHTS = LossConfig(alpha=1.0, beta=2.0, gamma=0.5, value=0.1)
CVR, ROI = TASKS.index("cvr"), TASKS.index("roi")


def alone(tensor: Tensor) -> Tensor:
    return tensor


def constant_terms(**losses: float) -> LossTerms:
    """Ten rows of each named task with that loss; the others have no row."""
    return {
        task: (torch.tensor(10 * losses.get(task, 0.0)), torch.tensor(10.0 if task in losses else 0.0))
        for task in TASKS
    }


def test_static_weights_are_the_configured_ones_whatever_is_seen() -> None:
    balance = build_balance(WEIGHTS, nn.Linear(1, 1))
    balance.observe(constant_terms(ctr=0.1, cvr=3.0), alone)
    assert balance.weights().tolist() == pytest.approx([task_weights(WEIGHTS)[task] for task in TASKS])
    assert type(balance) is TaskBalance


def test_uncertainty_settles_at_half_over_the_loss() -> None:
    losses = {"ctr": 0.4, "cvr": 0.05, "roi": 2.0}
    balance = UncertaintyBalance(WEIGHTS)
    for _ in range(3000):
        balance.observe(constant_terms(**losses, value=-5.0), alone)
    for task, loss in losses.items():
        raw = math.exp(-balance.log_variance[TASKS.index(task)]) / 2
        assert raw == pytest.approx(1 / (2 * loss), rel=1e-3)
    found = dict(zip(TASKS, balance.weights().tolist(), strict=True))
    assert found["cvr"] / found["ctr"] == pytest.approx(0.4 / 0.05, rel=1e-3)
    assert found["value"] == pytest.approx(0.1)


@pytest.mark.parametrize("kind", ["uncertainty", "gradnorm"])
def test_learned_weights_start_at_the_configured_ones(kind: str) -> None:
    config = LossConfig(alpha=1.0, beta=2.0, gamma=0.0, value=0.1, balance=kind)
    balance = build_balance(config, heads())
    assert balance.weights().tolist() == pytest.approx([task_weights(config)[task] for task in TASKS])


def test_a_task_without_rows_or_without_weight_keeps_its_place() -> None:
    balance = UncertaintyBalance(LossConfig(beta=0.7, gamma=0.0))
    for _ in range(100):
        balance.observe(constant_terms(ctr=0.4, roi=0.2), alone)
    assert balance.weights()[CVR].item() == pytest.approx(0.7)
    assert balance.weights()[ROI] == 0
    balance.observe(constant_terms(cvr=0.4), alone)
    assert balance.weights()[CVR].item() != pytest.approx(0.7)


def test_weights_stay_bounded_positive_and_of_one_sum_under_wild_losses() -> None:
    balance = UncertaintyBalance(WEIGHTS)
    total = sum(task_weights(WEIGHTS).values())
    for loss in (1e6, 0.0, math.nan, math.inf, 1e-9) * 100:
        balance.observe(constant_terms(ctr=loss, cvr=0.1, roi=1.0), alone)
        weights = balance.weights()
        assert weights.isfinite().all()
        assert (weights > 0).all()
        assert weights.sum().item() == pytest.approx(total, rel=1e-5)


class Toy(nn.Module):
    """Regressions of different scale through one shared layer, as in the toy of Chen et al. 2018 (§4)."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(8, 16)
        self.outputs = nn.ModuleList(nn.Linear(16, 1) for _ in range(3))
        self.scales = (1.0, 30.0, 5.0)

    def terms(self, x: Tensor, y: Tensor) -> LossTerms:
        hidden = torch.tanh(self.shared(x))
        terms = constant_terms()
        for place, task in enumerate(("ctr", "cvr", "roi")):
            errors = self.scales[place] * (self.outputs[place](hidden).squeeze(-1) - y[:, place]) ** 2
            terms[task] = (errors.sum(), torch.tensor(float(len(x))))
        return terms


def norms(toy: Toy, terms: LossTerms, weights: Tensor) -> Tensor:
    found = []
    for task in ("ctr", "cvr", "roi"):
        loss = weights[TASKS.index(task)] * terms[task][0] / terms[task][1]
        slopes = torch.autograd.grad(loss, list(toy.shared.parameters()), retain_graph=True)
        found.append(torch.cat([slope.reshape(-1) for slope in slopes]).norm())
    return torch.stack(found)


def test_gradnorm_pulls_the_norms_of_unequal_tasks_together() -> None:
    torch.manual_seed(0)
    toy, config = Toy(), LossConfig(gamma=1.0)
    x = torch.randn(256, 8)
    y = torch.tanh(x @ torch.randn(8, 3))
    balance = GradNormBalance(config, list(toy.shared.parameters()))
    optimizer = torch.optim.SGD(toy.parameters(), lr=1e-4)
    first = toy.terms(x, y)
    before = norms(toy, first, balance.weights())
    for _ in range(400):
        terms, weights = toy.terms(x, y), balance.weights()
        balance.observe(terms, alone)
        loss = sum(weights[TASKS.index(task)] * terms[task][0] / 256 for task in ("ctr", "cvr", "roi"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = norms(toy, toy.terms(x, y), balance.weights())
    assert before.max() / before.min() > 10
    assert after.max() / after.min() < 2
    weights = balance.weights()
    assert (weights[:3] > 0).all()
    assert weights[:3].sum().item() == pytest.approx(3.0, rel=1e-5)


def heads(hidden: tuple[int, ...] = (4,)) -> TaskHeads:
    return TaskHeads(3, 2, 1, hidden, 0.0, {"ctr": 0.1, "cvr": 0.2})


def test_gradients_meet_at_the_last_trunk_layer_else_at_the_tables() -> None:
    model = heads((6, 4))
    assert [tuple(parameter.shape) for parameter in shared_parameters(model)] == [(4, 6), (4,)]
    with pytest.raises(ConfigError, match=r"loss\.balance is gradnorm"):
        shared_parameters(heads(()))


def test_gradnorm_leaves_a_task_alone_that_passes_by_the_shared_layer() -> None:
    shared, other = nn.Linear(2, 2), nn.Linear(2, 2)
    balance = GradNormBalance(LossConfig(gamma=1.0), list(shared.parameters()))
    x, rows = torch.ones(1, 2), torch.tensor(1.0)
    for _ in range(80):
        terms = constant_terms() | {
            "ctr": (shared(x).square().sum(), rows),
            "cvr": (10 * shared(x).square().sum(), rows),
            "roi": (other(x).square().sum(), rows),
        }
        balance.observe(terms, alone)
    weights = balance.weights()
    assert weights[ROI].item() == pytest.approx(1.0)
    assert weights[0] > weights[CVR]
