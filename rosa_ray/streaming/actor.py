"""A consumer as a Ray actor that Ray starts again whenever it dies."""

import threading
from typing import Any

import ray
from ray.actor import ActorHandle

from rosa_ray.streaming.assembly import StreamSettings, build_patiently
from rosa_ray.streaming.consumer import Patience
from rosa_ray.streaming.consumer_metrics import RayConsumerMetrics


class ConsumerActor:
    """One consumer of several; its method `run` is tried again after every restart and goes on where the store stands.

    Args:
        share: number of this consumer and how many there are.
    """

    def __init__(self, settings: StreamSettings, share: tuple[int, int]) -> None:
        self._settings, self._share = settings, share
        self._metrics = RayConsumerMetrics(str(share[0]))
        self._stopped = threading.Event()

    def run(self, until_end: bool = False) -> dict[str, Any]:
        """Fold until stopped; see `Consumer.run`. Returns the figures of this life of the actor.

        What an actor that was started again cannot reach yet, it waits for.
        """
        restarted = ray.get_runtime_context().was_current_actor_reconstructed
        patience = Patience(self._settings.stream) if restarted else None
        pipeline = build_patiently(self._settings, self._share, self._metrics, patience, self._stopped.is_set)
        if pipeline is None:
            return self._metrics.snapshot()
        try:
            return pipeline.consumer.run(self._stopped.is_set, until_end).snapshot()
        finally:
            pipeline.close()

    def stop(self) -> None:
        """End `run` after the batch at hand."""
        self._stopped.set()

    def snapshot(self) -> dict[str, Any]:
        """Return the figures so far."""
        return self._metrics.snapshot()


def start_actors(settings: StreamSettings, count: int) -> list[ActorHandle[ConsumerActor]]:
    """Start consumers that share the partitions. Ray must be initialised."""
    remote: Any = ray.remote(ConsumerActor).options(
        max_restarts=-1, max_task_retries=-1, max_concurrency=3, num_cpus=0.5
    )
    settings = settings.absolute()
    return [remote.remote(settings, (number, count)) for number in range(count)]
