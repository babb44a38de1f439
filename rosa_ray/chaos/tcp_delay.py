"""A relay between a client and a server on the loopback that can be slowed down."""

import asyncio
import socket
import threading
from contextlib import suppress


class DelayedPort:
    """Relays connections to another port, each answer later by `delay_s`.

    Args:
        target: port of the server.
    """

    def __init__(self, target: int) -> None:
        self.target, self.port, self.delay_s = target, free_port(), 0.0
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-relay", daemon=True)
        self._thread.start()
        self._up.wait(10.0)

    def close(self) -> None:
        """Close all connections."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)
            self._thread.join(5.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._relay, "127.0.0.1", self.port))
        self._up.set()
        self._loop.run_forever()
        self._loop.close()

    async def _end(self) -> None:
        mine = asyncio.current_task()
        waiting = [task for task in asyncio.all_tasks() if task is not mine]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        self._loop.stop()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._pump(reader, back, 0.0), self._pump(there, writer, None))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float | None) -> None:
        with suppress(OSError):
            while content := await source.read(1 << 16):
                await asyncio.sleep(self.delay_s if delay_s is None else delay_s)
                target.write(content)
                await target.drain()
        target.close()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
