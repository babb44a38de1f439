"""The members of an ensemble: the same job under other seeds, each fitted by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from torch import Tensor

from rosa_ray.models import join_weights
from rosa_ray.storage import exists
from rosa_ray.training.in_process import InProcessTrainer, load_tensors, save_tensors
from rosa_ray.training.job import TrainingJob


def member_jobs(job: TrainingJob) -> list[TrainingJob]:
    """One job a member, by rising seeds from the job's own; a single model is its own only member."""
    return [replace(job, seed=job.seed + number) for number in range(job.training.members)]


def joined(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Weights of all members as those of one ranker; of one member its own."""
    return dict(weights[0]) if len(weights) == 1 else join_weights(weights)


def told_of(history: Sequence[Mapping[str, Any]], number: int, members: int) -> list[dict[str, Any]]:
    """Records of a member's epochs, each with the member's number from 1 where there are several.

    >>> told_of([{"epoch": 1}], 0, 1), told_of([{"epoch": 1}], 1, 2)
    ([{'epoch': 1}], [{'epoch': 1, 'member': 2}])
    """
    said = {"member": number + 1} if members > 1 else {}
    return [{**record, **said} for record in history]


def mean_of_bests(bests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The record that stands for all members: the first one's, its validation figures those of the mean member.

    >>> mean_of_bests([{"epoch": 2, "valid_auc": 0.5}, {"epoch": 3, "valid_auc": 0.7}])
    {'epoch': 2, 'valid_auc': 0.6}
    """
    found = dict(bests[0])
    for name in [name for name in found if name.startswith("valid_") and len(bests) > 1]:
        values = [best[name] for best in bests]
        found[name] = None if None in values else sum(values) / len(values)
    return found


def member_state(path: str) -> str:
    """Where the member at work keeps its state, beside that of all of them."""
    return f"{path}.member"


class InProcessMembers:
    """`InProcessTrainer` for several jobs, one after another; at the end the weights are those of all together.

    Args:
        jobs: of the members.
        tables: user rows, block by block.
    """

    def __init__(self, jobs: Sequence[TrainingJob], tables: list[pa.Table], device: str = "cpu") -> None:
        self._jobs, self._tables, self._device = list(jobs), tables, device
        self._done: list[dict[str, Tensor]] = []
        self._told: list[dict[str, Any]] = []
        self._trainer = self._next()

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch of every member so far."""
        current = [] if self.finished else self._trainer.history
        return self._told + told_of(current, len(self._done), len(self._jobs))

    @property
    def finished(self) -> bool:
        """Whether all members are fitted."""
        return len(self._done) == len(self._jobs)

    @property
    def best_weights(self) -> dict[str, Tensor]:
        """Weights of the members that are fitted."""
        return joined(self._done)

    def run_epoch(self) -> dict[str, Any]:
        """Train and validate the current member once; returns the epoch's record."""
        self._trainer.run_epoch()
        record = self.history[-1]
        if self._trainer.finished:
            self._told = self.history
            self._done.append(self._trainer.best_weights)
            if not self.finished:
                self._trainer = self._next()
        return record

    def save(self, path: str, digest: str) -> None:
        """Write what `restore` needs to go on: members that are fitted, and the current one."""
        save_tensors({"digest": digest, "done": self._done, "told": self._told}, path)
        if not self.finished:
            self._trainer.save(member_state(path), f"{digest}-{len(self._done)}")

    def restore(self, path: str, digest: str) -> None:
        """Go on from what `save` wrote of the same job, if there is such a file."""
        state = load_tensors(path) if exists(path) else {}
        if state.get("digest") != digest:
            return
        self._done, self._told = state["done"], state["told"]
        if not self.finished:
            self._trainer = self._next()
            self._trainer.restore(member_state(path), f"{digest}-{len(self._done)}")

    def _next(self) -> InProcessTrainer:
        return InProcessTrainer(self._jobs[len(self._done)], self._tables, self._device)
