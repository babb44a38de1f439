"""A Kafka broker in a process of its own, which may be paused: the one inside librdkafka, without any state on disk."""

import signal
import subprocess
import sys
from collections.abc import Sequence

from rosa_ray.chaos.case import NotHere

PATIENCE_S = 20.0

_BROKER = """
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
brokers = producer.list_topics(timeout=10).brokers.values()
print(",".join(f"{one.host}:{one.port}" for one in brokers), flush=True)
sys.stdin.read()
"""


class KafkaBroker:
    """A one-node cluster whose topics have four partitions.

    Raises:
        NotHere: the extra `kafka` is not installed.
    """

    def __init__(self) -> None:
        try:
            import confluent_kafka  # noqa: F401
        except ImportError:
            raise NotHere("confluent-kafka is not installed: pip install 'rosa-ray[kafka]'") from None
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BROKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.servers = self.process.stdout.readline().strip()
        if not self.servers:
            raise NotHere("the broker inside librdkafka did not start")

    def append(self, topic: str, parts: Sequence[Sequence[bytes | None]]) -> None:
        """Write records, a partition a list, and wait until they are there; None is a tombstone."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0})
        for partition, records in enumerate(parts):
            for place, record in enumerate(records):
                producer.produce(topic, record, key=f"{place}".encode(), partition=partition)
                producer.poll(0)
        if left := producer.flush(PATIENCE_S):
            raise NotHere(f"the broker inside librdkafka took all but {left} records")

    def pause(self) -> None:
        """SIGSTOP: connections stay, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, paused or not."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
