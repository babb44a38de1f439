"""One training step, without Ray: forward, exact global loss, backward, clip, update, and a watch for divergence.

Workers hold different users, so their batches hold different numbers of impressions, clicks and conversions. A mean
of the workers' means would weigh impressions unevenly; here every term is divided by its weight over all workers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rosa_ray.errors import TrainingError
from rosa_ray.models import (
    TASKS,
    LossConfig,
    LossScales,
    LossTerms,
    UserBatch,
    build_balance,
    loss_terms,
    parameter_groups,
    task_weights,
)
from rosa_ray.models.balance import SumOverRanks
from rosa_ray.training.anchor import RowAnchor
from rosa_ray.training.config import TrainingConfig

CHECK_EVERY = 50
"""Steps between two looks at the recorded losses; a look makes the CPU wait for the GPU."""


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Number format of the forward pass.

    >>> autocast_dtype("auto", torch.device("cpu"))
    torch.float32

    Raises:
        TrainingError: half precision is asked for on a CPU, where it is many times slower.
    """
    if device.type == "cpu":
        if precision in ("bf16", "fp16"):
            raise TrainingError(f"training.precision is {precision} but the device is a CPU; choose auto or fp32")
        return torch.float32
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def global_loss(
    terms: LossTerms, config: LossConfig, world: int, sum_over_ranks: SumOverRanks, balanced: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The loss whose gradient, averaged over workers as DDP does, is that of the whole batch.

    A worker contributes `Σ_task w · its sum · world / weight of all workers`; a task without weight contributes 0.

    Args:
        terms: this worker's sums and weights.
        sum_over_ranks: sums a tensor over the workers.
        balanced: weight of each task, (tasks,), instead of the configured one.

    Returns:
        The scalar loss, and this worker's sums and weights, (2, tasks), detached.
    """
    sums = torch.stack([terms[task][0] for task in TASKS])
    weights = torch.stack([terms[task][1] for task in TASKS]).detach()
    shares = sums.new_tensor([task_weights(config)[task] for task in TASKS]) if balanced is None else balanced
    return sum_of_means(sums, weights, shares, world, sum_over_ranks)


def sum_of_means(
    sums: Tensor, weights: Tensor, shares: Tensor, world: int, sum_over_ranks: SumOverRanks
) -> tuple[Tensor, Tensor]:
    """`global_loss` of any tasks: this worker's sums and weights, and the weight of each task, all (tasks,)."""
    mass = sum_over_ranks(weights.clone())
    factor = torch.where(mass > 0, shares * world / mass.clamp_min(1e-12), torch.zeros_like(mass))
    return (sums * factor).sum(), torch.stack([sums.detach(), weights])


class Descent:
    """Takes steps down a loss, watches for divergence, and keeps the sums that the epoch's losses are made of.

    Args:
        model: what is trained, possibly wrapped by DDP, on the device.
        tasks: names of the terms of the loss.
        world: number of workers.
        sum_over_ranks, max_over_ranks: combine a tensor over the workers; the identity for one.

    Attributes:
        part_factors: of the learning rate, for parts of `rosa_ray.models.PARTS`; 1 where a part is left out.
    """

    remedy = "lower training.learning_rate or that task's weight in loss"
    """What helps against divergence."""

    def __init__(
        self,
        model: nn.Module,
        *,
        training: TrainingConfig,
        tasks: Sequence[str],
        device: torch.device,
        world: int = 1,
        sum_over_ranks: SumOverRanks = lambda tensor: tensor,
        max_over_ranks: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> None:
        self.model, self.tasks, self.device, self.world = model, tuple(tasks), device, world
        self.gradient_clip = training.gradient_clip
        self.dtype = autocast_dtype(training.precision, device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, training.weight_decay), lr=training.learning_rate, fused=True
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.anchor = RowAnchor(model, training.row_anchor)
        self.part_factors: Mapping[str, float] = {}
        self.step = 0
        self._sum_over_ranks, self._max_over_ranks = sum_over_ranks, max_over_ranks
        self._totals = torch.zeros(2, len(self.tasks), dtype=torch.float64, device=device)
        self._unchecked: list[Tensor] = []

    def forward(self, batch: UserBatch) -> Any:
        """The model's answer, in the number format of the device."""
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return self.model(batch)

    def descend(self, total: Tensor, sums: Tensor, learning_rate: float) -> None:
        """Take one step on this worker's part of the global batch.

        Args:
            total, sums: from `sum_of_means`.

        Raises:
            TrainingError: a loss or the gradient was not finite in one of the last `CHECK_EVERY` steps.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * self.part_factors.get(group["part"], 1.0)
        if self.step == 0:
            self.anchor.remember()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.anchor.pull(learning_rate * self.part_factors.get("tables", 1.0))
        self._totals += sums
        self.step += 1
        self._unchecked.append(self._watched(sums[0], norm))
        if len(self._unchecked) == CHECK_EVERY:
            self.check()

    def check(self) -> None:
        """Raise TrainingError when a step since the last check was not finite on any worker."""
        if not self._unchecked:
            return
        recorded = torch.stack(self._unchecked)
        first = self.step - len(recorded) + 1
        self._unchecked = []
        broken = self._max_over_ranks((~torch.isfinite(recorded)).float()).cpu().nonzero()
        if len(broken):
            step, term = broken[0].tolist()
            what = _describe((*self.tasks, "gradient")[term])
            raise TrainingError(f"training diverged: {what} is not finite at step {first + step}; {self.remedy}")

    def drain(self) -> Tensor:
        """This worker's loss sums and weights since the last call, float64 (2, tasks)."""
        self.check()
        totals, self._totals = self._totals, torch.zeros_like(self._totals)
        return totals

    def state_dict(self) -> dict[str, Any]:
        """Optimizer, scaler, rows held to and step count."""
        parts = {name: getattr(self, name).state_dict() for name in ("optimizer", "scaler", "anchor")}
        return {**parts, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.anchor.load_state_dict(state["anchor"])
        self.step = state["step"]

    def _watched(self, sums: Tensor, norm: Tensor) -> Tensor:
        skips_by_itself = self.scaler.is_enabled()
        return torch.cat([sums, (torch.zeros_like(norm) if skips_by_itself else norm.detach())[None]])


class Stepper(Descent):
    """Takes steps on impressions: the joint loss of the ranker, and the weights of its tasks.

    Args:
        model: the ranker, possibly wrapped by DDP, on the device.
        distributed: the other arguments of `Descent`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        training: TrainingConfig,
        loss: LossConfig,
        scales: LossScales,
        device: torch.device,
        **distributed: Any,
    ) -> None:
        super().__init__(model, training=training, tasks=TASKS, device=device, **distributed)
        self.loss, self.scales = loss, scales
        self.balance = build_balance(loss, model, device)

    def __call__(self, batch: UserBatch, learning_rate: float) -> None:
        """Take one step on this worker's part of the global batch; see `Descent.descend`."""
        terms = loss_terms(self.forward(batch), batch, self.loss, self.scales)
        total, sums = global_loss(terms, self.loss, self.world, self._sum_over_ranks, self.balance.weights())
        self.balance.observe(terms, self._sum_over_ranks, self.scaler.scale(torch.ones((), device=self.device)))
        self.descend(total, sums, learning_rate)

    def task_weights(self) -> dict[str, float]:
        """Current weight of each task; the configured ones unless `loss.balance` learns them."""
        return dict(zip(TASKS, self.balance.weights().tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """As of `Descent`, and the learned task weights."""
        return {**super().state_dict(), "balance": self.balance.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        super().load_state_dict(state)
        self.balance.load_state_dict(state["balance"])


def mean_losses(totals: Sequence[Sequence[float]], config: LossConfig) -> dict[str, float]:
    """Loss per task, and `loss`, their sum under the configured weights, from the sums and weights of all workers.

    >>> others = [0.0] * (len(TASKS) - 1)
    >>> mean_losses([[2.0, *others], [4.0, *others]], LossConfig(alpha=3.0))["loss"]
    1.5
    """
    means = {f"{task}_loss": s / w if w else 0.0 for task, s, w in zip(TASKS, *totals, strict=True)}
    weights = task_weights(config)
    return {"loss": sum(weights[task] * means[f"{task}_loss"] for task in TASKS), **means}


def _describe(name: str) -> str:
    return "the gradient" if name == "gradient" else f"the {name} loss"
