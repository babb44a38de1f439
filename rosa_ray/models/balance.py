"""Task balancing: weights that stay, that follow learned uncertainties, or that even out gradient norms.

Both learned kinds start at the configured weights and keep their sum, so that the learning rate and the clipping of
the gradient mean the same under each kind. They follow figures of the whole batch of all workers, so every worker
takes the same step and none has to be told. A task without weight stays without.

`value` keeps its weight: it is a likelihood that carries a variance of its own and may be negative, so neither its
optimal weight nor the pace of its training is defined.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from rosa_ray.errors import ConfigError
from rosa_ray.models.embedding import SharedTables
from rosa_ray.models.heads import TaskHeads
from rosa_ray.models.losses import TASKS, LossConfig, LossTerms, task_weights

OWN_SCALE = ("value",)
"""Tasks whose loss has a scale of its own; their weight is not learned."""

STEP_SIZE = 0.02
"""Of a learned log-weight; about 100 steps of memory near the optimum."""

LARGEST_LOG_CHANGE = math.log(100.0)
"""A learned weight stays within a factor of 100 of the configured one."""

SumOverRanks = Callable[[Tensor], Tensor]


class TaskBalance:
    """Weights that stay what the configuration says.

    >>> TaskBalance(LossConfig(alpha=3.0)).weights()[0].item()
    3.0

    Attributes:
        static: the configured weights, (tasks,), in the order of `TASKS`.
        learned: which of them are learned, (tasks,).
    """

    def __init__(self, config: LossConfig, device: torch.device | None = None) -> None:
        weights = task_weights(config)
        self.static = torch.tensor([float(weights[task]) for task in TASKS], device=device)
        self.learned = torch.tensor([weights[task] > 0 and task not in OWN_SCALE for task in TASKS], device=device)

    def weights(self) -> Tensor:
        """Current weight of each task, (tasks,), not negative."""
        return self.static

    def observe(self, terms: LossTerms, sum_over_ranks: SumOverRanks, scale: Tensor | float = 1.0) -> None:
        """Learn from one batch, after its forward and before its backward pass.

        Args:
            terms: this worker's sums and weights.
            sum_over_ranks: sums a tensor over the workers.
            scale: factor under which gradients are taken, so that they do not vanish in half precision.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """What was learned."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state_dict`."""
        for name, values in state.items():
            getattr(self, name).copy_(values)


class UncertaintyBalance(TaskBalance):
    """Kendall, Gal, Cipolla 2018 (§3.2, eq. 7): minimise `Σ ½·exp(−s)·L + ½·s` over the log-variances s as well.

    The minimum is at `s = log L`: a task weighs `1 / (2 L)`. The weights used are these, scaled to the configured sum.
    A task that a batch has no row of teaches nothing, and one that was never seen keeps its weight.

    Attributes:
        log_variance: s of each task, (tasks,).
        seen: which tasks had a row so far, (tasks,).
    """

    def __init__(self, config: LossConfig, device: torch.device | None = None) -> None:
        super().__init__(config, device)
        self._start = -torch.log(2 * self.static.clamp_min(1e-12))
        self.log_variance = self._start.clone()
        self.seen = torch.zeros_like(self.learned)

    def weights(self) -> Tensor:
        return _with_sum_of(self.static, torch.exp(-self.log_variance) / 2, self.learned & self.seen)

    @torch.no_grad()
    def observe(self, terms: LossTerms, sum_over_ranks: SumOverRanks, scale: Tensor | float = 1.0) -> None:
        losses, mass = _global_losses(terms, sum_over_ranks)
        slope = (1 - torch.exp(-self.log_variance) * losses) / 2
        usable = self.learned & (mass > 0) & torch.isfinite(losses)
        self.seen = self.seen | usable
        self.log_variance = torch.where(usable, _step(self.log_variance, slope, self._start), self.log_variance)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).clone() for name in ("log_variance", "seen")}


class GradNormBalance(TaskBalance):
    """GradNorm, Chen et al. 2018 (§3.2, algorithm 1): gradient norms follow each task's pace of training.

    The norm of a task's weighted gradient at the shared parameters is drawn to `mean norm · r^α`, where r is the task's
    loss relative to its start, over the mean of that. The step is taken on log-weights and relative to the mean norm:
    weights stay positive and a change of units changes nothing. The starting loss is the mean of the first
    `START_STEPS` batches and the current one a running mean, since a batch may hold no conversion at all. A task that
    does not pass through the shared parameters keeps its weight.

    Args:
        shared: parameters of the last layer that the tasks share, see `shared_parameters`.

    Attributes:
        log_weight: log of each learned weight, (tasks,).
        first, recent: starting and running loss of each task, (tasks,).
        batches: batches that each task was seen in, (tasks,).
    """

    ALPHA = 1.5
    START_STEPS = 50
    MEMORY = 0.02

    def __init__(self, config: LossConfig, shared: list[nn.Parameter], device: torch.device | None = None) -> None:
        super().__init__(config, device)
        self._shared = shared
        self._start = torch.log(self.static.clamp_min(1e-12))
        self.log_weight = self._start.clone()
        self.first, self.recent, self.batches = (torch.zeros_like(self.static) for _ in range(3))

    def weights(self) -> Tensor:
        return _with_sum_of(self.static, torch.exp(self.log_weight), self.learned)

    def observe(self, terms: LossTerms, sum_over_ranks: SumOverRanks, scale: Tensor | float = 1.0) -> None:
        losses, mass = _global_losses(terms, sum_over_ranks)
        norms = self._norms(terms, mass, sum_over_ranks, scale)
        usable = self.learned & torch.isfinite(losses + norms) & (losses > 0) & (norms > 0)
        self._remember(losses, usable)
        weighted = self.weights() * norms
        mean = _mean(weighted, usable)
        pace = self.recent / self.first.clamp_min(1e-12)
        target = mean * (pace / _mean(pace, usable)) ** self.ALPHA
        slope = torch.sign(weighted - target) * weighted / mean
        ready = usable & (self.batches >= self.START_STEPS)
        moved = torch.where(ready, _step(self.log_weight, slope, self._start), self.log_weight)
        scaled = _with_sum_of(self.static, torch.exp(moved), self.learned)
        self.log_weight = torch.where(self.learned, torch.log(scaled.clamp_min(1e-12)), self._start)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).clone() for name in ("log_weight", "first", "recent", "batches", "learned")}

    def _norms(self, terms: LossTerms, mass: Tensor, sum_over_ranks: SumOverRanks, scale: Tensor | float) -> Tensor:
        """Norm of each task's gradient of the whole batch at the shared parameters, (tasks,)."""
        means = [terms[task][0] * scale / mass[place].clamp_min(1e-12) for place, task in enumerate(TASKS)]
        slopes = [_gradient(mean, self._shared) for mean in means]
        self.learned = self.learned & self.learned.new_tensor([slope is not None for slope in slopes])
        size = sum(parameter.numel() for parameter in self._shared)
        flat = [mass.new_zeros(size) if slope is None else slope for slope in slopes]
        return torch.linalg.vector_norm(sum_over_ranks(torch.stack(flat)) / scale, dim=1)

    def _remember(self, losses: Tensor, usable: Tensor) -> None:
        self.batches = self.batches + usable
        share = 1 / self.batches.clamp_min(1)
        starting = usable & (self.batches <= self.START_STEPS)
        self.first = torch.where(starting, self.first + share * (losses - self.first), self.first)
        pace = torch.maximum(share, torch.full_like(share, self.MEMORY))
        self.recent = torch.where(usable, self.recent + pace * (losses - self.recent), self.recent)


def build_balance(config: LossConfig, model: nn.Module, device: torch.device | None = None) -> TaskBalance:
    """The balancing that `config.balance` names.

    Raises:
        ConfigError: it needs parameters that all tasks share and the model has none.
    """
    if config.balance == "uncertainty":
        return UncertaintyBalance(config, device)
    if config.balance == "gradnorm":
        return GradNormBalance(config, shared_parameters(model), device)
    return TaskBalance(config, device)


def shared_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The last parameters that the tasks share: of the heads' last trunk layer, else of the shared tables.

    Raises:
        ConfigError: there are neither, or they do not learn.
    """
    trunks = [module.trunk for module in model.modules() if isinstance(module, TaskHeads)]
    layers = [layer for trunk in trunks for layer in trunk if isinstance(layer, nn.Linear)]
    holders = layers[-1:] or [module for module in model.modules() if isinstance(module, SharedTables)][:1]
    shared = [parameter for holder in holders for parameter in holder.parameters() if parameter.requires_grad]
    if not shared:
        raise ConfigError(
            "loss.balance is gradnorm, but the model has neither task heads nor shared tables that learn, where the "
            "tasks' gradients meet; choose static or uncertainty"
        )
    return shared


def _global_losses(terms: LossTerms, sum_over_ranks: SumOverRanks) -> tuple[Tensor, Tensor]:
    """Mean loss of each task over all workers, 0 where nothing weighs, and the weights; both (tasks,)."""
    local = torch.stack([torch.stack(terms[task]) for task in TASKS], dim=1).detach().float()
    sums, mass = sum_over_ranks(local)
    return torch.where(mass > 0, sums / mass.clamp_min(1e-12), torch.zeros_like(sums)), mass


def _gradient(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor | None:
    if not loss.requires_grad:
        return None
    slopes = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    if all(slope is None for slope in slopes):
        return None
    pairs = zip(slopes, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if slope is None else slope).float().reshape(-1) for slope, p in pairs])


def _step(values: Tensor, slope: Tensor, start: Tensor) -> Tensor:
    moved = values - STEP_SIZE * slope
    return torch.minimum(torch.maximum(moved, start - LARGEST_LOG_CHANGE), start + LARGEST_LOG_CHANGE)


def _with_sum_of(static: Tensor, raw: Tensor, learned: Tensor) -> Tensor:
    """The raw weights of the learned tasks scaled to the sum of their static ones; the static ones elsewhere."""
    share = torch.where(learned, raw, torch.zeros_like(raw))
    return torch.where(learned, share * (static * learned).sum() / share.sum().clamp_min(1e-12), static)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).nansum() / chosen.sum().clamp_min(1)
