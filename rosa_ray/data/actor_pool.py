"""Actors that work through items side by side; what they yield comes as it is made, their own errors as themselves.

A pool of Ray Data does that too. But Ray's core prints an error for each of its actors, since they may restart and
their constructor's arguments lie in the object store. Here the arguments travel with the calls.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayTaskError

from rosa_ray.errors import RosaError

RESULTS_AHEAD = 2
"""Results that an actor makes before somebody takes one: they lie in shared memory."""


def map_on_actors(
    build: Callable[..., Callable[[Any], Iterable[Any]]],
    arguments: tuple[Any, ...],
    items: Sequence[Any],
    actors: int,
    doing: str,
    use_gpu: bool = False,
) -> Iterator[tuple[int, Any]]:
    """Yield what every item becomes, with the item's place; items come in any order, the results of one in their own.

    Ray must be initialised. An actor that dies is started again, and does its item again.

    Args:
        build: makes the worker of an actor, once, from `arguments`; the worker turns an item into results.
        actors: processes, at most; each reserves a CPU, or a GPU.
        doing: what goes on, for messages ("encoding users").

    Raises:
        RosaError: as the first failing worker raised it, or one line on what else stopped it.
    """
    resources = {"num_cpus": 0, "num_gpus": 1} if use_gpu else {"num_cpus": 1}
    actor = ray.remote(_Actor).options(max_restarts=-1, max_task_retries=-1, **resources)
    given, waiting = [ray.put(arguments)], deque(enumerate(items))
    running: dict[Any, tuple[int, Any]] = {}

    def start(worker: Any) -> None:
        if waiting:
            place, item = waiting.popleft()
            call = worker.run.options(num_returns="streaming", _generator_backpressure_num_objects=RESULTS_AHEAD)
            running[call.remote(given, item)] = place, worker

    for _ in range(min(actors, len(items))):
        start(actor.remote(build))
    while running:
        ready, _ = ray.wait(list(running), num_returns=1, fetch_local=False)
        results: Any = ready[0]
        place, worker = running[results]
        try:
            yield place, ray.get(next(results))
        except StopIteration:
            del running[results]
            start(worker)
        except RayTaskError as error:
            raise _own_error(error, doing) from error


class _Actor:
    """Builds its worker at the first item: arguments of the constructor would have to outlive a restart."""

    def __init__(self, build: Callable[..., Callable[[Any], Iterable[Any]]]) -> None:
        self._build = build
        self._work: Callable[[Any], Iterable[Any]] | None = None

    def run(self, arguments: list[ray.ObjectRef[Any]], item: Any) -> Iterator[Any]:
        if self._work is None:
            self._work = self._build(*ray.get(arguments[0]))
        yield from self._work(item)


def _own_error(error: RayTaskError, doing: str) -> RosaError:
    if isinstance(error.cause, RosaError):
        return error.cause
    cause = str(error.cause or error).strip().splitlines()[-1]
    return RosaError(f"{doing} failed: {cause}")
