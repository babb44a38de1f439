"""The client: sends every request when it is due, also while earlier ones are not answered."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from rosa_ray.load.answers import NO_ANSWER, Answer, Kind, answer_of
from rosa_ray.load.bodies import Bodies
from rosa_ray.load.plan import Plan

_JSON = {"Content-Type": "application/json"}
_READ_BYTES = 4 << 20


class OpenLoop:
    """Sends a plan to a service, and keeps what came back.

    Args:
        urls: of the service; further ones are tried in turn where nobody answers at the first.
        timeout_s: a request is given up this long after it was due.
        headers: sent with every request, such as a token.
        on_answer: called with each answer as it comes.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        timeout_s: float = 10.0,
        headers: dict[str, str] | None = None,
        on_answer: Callable[[Answer], object] = lambda answer: None,
    ) -> None:
        self._urls = (urls,) if isinstance(urls, str) else tuple(urls)
        self._timeout_s, self._headers, self._on_answer = timeout_s, {**_JSON, **(headers or {})}, on_answer
        self.answers: list[Answer] = []
        self.posted: list[dict[str, Any]] = []
        self.began_s = 0.0

    def run(self, plan: Plan, bodies: Bodies, stopped: Callable[[], bool] = lambda: False) -> list[Answer]:
        """Send a plan and wait for the last answer.

        Args:
            stopped: asked before every request; True sends no further one.

        Returns:
            Answers by the time they were due. `posted` holds the events that were sent, answered or not.
        """
        return asyncio.run(self.send(plan, bodies, stopped))

    async def send(self, plan: Plan, bodies: Bodies, stopped: Callable[[], bool] = lambda: False) -> list[Answer]:
        """`run` within an event loop."""
        ranks, events = plan.due_s()
        due = sorted([(at, "rank", number) for number, at in enumerate(ranks.tolist())]
                     + [(at, "events", number) for number, at in enumerate(events.tolist())])  # fmt: skip
        connections = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connections, timeout=timeout) as session:
            self.began_s = time.monotonic()
            waiting: set[asyncio.Task[None]] = set()
            for at, kind, number in due:
                if (early_s := self.began_s + at - time.monotonic()) > 0:
                    await asyncio.sleep(early_s)
                if stopped():
                    break
                task = asyncio.create_task(self._one(session, kind, at, self._body(kind, number, bodies)))  # type: ignore[arg-type]
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            await asyncio.gather(*waiting)
        self.answers.sort(key=lambda answer: answer.due_s)
        return self.answers

    def _body(self, kind: str, number: int, bodies: Bodies) -> bytes:
        if kind == "rank":
            return bodies.rank(number)
        self.posted.append(bodies.event(number))
        return json.dumps(self.posted[-1]).encode()

    async def _one(self, session: aiohttp.ClientSession, kind: Kind, due_s: float, body: bytes) -> None:
        sent_s = self._now_s()
        try:
            async with asyncio.timeout(max(self._timeout_s - (sent_s - due_s), 0.0)):
                answer = await self._ask(session, kind, due_s, sent_s, body)
        except TimeoutError:
            answer = Answer(kind, due_s, sent_s, self._now_s(), NO_ANSWER, f"no answer in {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            answer = Answer(kind, due_s, sent_s, self._now_s(), NO_ANSWER, type(error).__name__)
        self.answers.append(answer)
        self._on_answer(answer)

    async def _ask(
        self, session: aiohttp.ClientSession, kind: Kind, due_s: float, sent_s: float, body: bytes
    ) -> Answer:
        path = "/rank" if kind == "rank" else "/events"
        for place, url in enumerate(self._urls, 1):
            try:
                async with session.post(f"{url}{path}", data=body, headers=self._headers) as answer:
                    content = await answer.read()
                    return answer_of(
                        kind, due_s, sent_s, self._now_s(), answer.status, _as_json(content), answer.headers
                    )
            except aiohttp.ClientConnectorError:
                if place == len(self._urls):
                    raise
        raise AssertionError("there is at least one address")

    def _now_s(self) -> float:
        return time.monotonic() - self.began_s


def _as_json(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content[:_READ_BYTES])
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
