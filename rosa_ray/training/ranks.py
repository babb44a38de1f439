"""What a worker needs of the other workers; one process alone needs nothing."""

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

State = TypeVar("State")


class Ranks:
    """One process alone; the base of what several share.

    Attributes:
        rank, world: this worker's number, and how many there are.
        device: where this worker computes.
    """

    rank: int = 0
    world: int = 1

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def wrap(self, ranker: nn.Module) -> nn.Module:
        """Put the ranker on the device, and let its gradients be averaged over the workers."""
        return ranker.to(self.device)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the workers, in place."""
        return tensor

    def max(self, tensor: Tensor) -> Tensor:
        """Largest value over the workers, element by element, in place."""
        return tensor

    def gather(self, state: State) -> list[State]:
        """Every worker's state, in order of rank."""
        return [state]


class ProcessGroup(Ranks):
    """The workers of torch's default process group."""

    def __init__(self, rank: int, world: int, device: torch.device | str) -> None:
        super().__init__(device)
        self.rank, self.world = rank, world

    def sum(self, tensor: Tensor) -> Tensor:
        dist.all_reduce(tensor, dist.ReduceOp.SUM)
        return tensor

    def max(self, tensor: Tensor) -> Tensor:
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor

    def gather(self, state: State) -> list[State]:
        states: list[State | None] = [None] * self.world
        dist.all_gather_object(states, state)
        return [each for each in states if each is not None]
