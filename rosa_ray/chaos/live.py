"""What a case works with that needs a running service: the service, a load on it, and the ledger of its records."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from rosa_ray.chaos import processes
from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import Seen, Short
from rosa_ray.chaos.judging import Allowed, Verdict, judge
from rosa_ray.chaos.ledger import Ledger
from rosa_ray.chaos.redis_server import RedisServer
from rosa_ray.chaos.service import Service
from rosa_ray.chaos.traffic import Bodies, Traffic
from rosa_ray.load import Answer
from rosa_ray.serving.assembly import ServiceSettings

RESEND_LIMIT_S = 20.0
STARTED_S = 30.0
"""How long a replica may take to start on two busy cores."""
_BATCH = 200


@dataclass
class Live(Bench):
    """A case on a running service.

    Attributes:
        service: under test; it lives on from case to case.
        settings: of the service, for whoever opens its store.
        ledger: the clean store beside it.
        rank_per_s: a third of what it can answer.
        run_dir: of the service.
        redis: the server of its store, where it has one.
    """

    service: Service = None  # type: ignore[assignment]
    settings: ServiceSettings = None  # type: ignore[assignment]
    ledger: Ledger = None  # type: ignore[assignment]
    rank_per_s: float = 10.0
    run_dir: Path = Path()
    redis: RedisServer | None = None

    @property
    def store_file(self) -> Path:
        """The SQLite file of the service."""
        return Path(self.settings.store.path)

    @property
    def url(self) -> str:
        """Where the service answers."""
        return self.service.url

    def bodies(self, candidates: int = 50) -> Bodies:
        """What is sent, with ids of its own."""
        return bodies_of(self, candidates)

    def traffic(self, events_per_s: float = 2.0) -> Traffic:
        """A load of a third of what the service can answer; it runs while the block runs."""
        return Traffic(self.url, self.bodies(), self.rank_per_s, events_per_s)

    def kill(self, traffic: Traffic, *victims: psutil.Process) -> None:
        """End processes at once, and note the moment."""
        traffic.fault()
        for victim in victims:
            victim.kill()

    def seen(self, traffic: Traffic, allowed: Allowed | None = None, equal: bool = True) -> Seen:
        """Judge what callers saw, and compare features with the clean store.

        Records that were not answered as taken are sent again first, as a caller is told to.
        """
        verdict = judge(traffic.stop(), traffic.marked if traffic.marked.began_s else None, allowed)
        found = Seen(verdict.text, verdict.shortfalls, figures_of(verdict), verdict.recovery_s)
        return found.also(self.settled(traffic)) if equal else found

    def settled(self, *loads: Traffic) -> list[str]:
        """Send again what was not taken, and name what differs from a clean store; all loads since the last time."""
        posted = [one for load in loads for one in load.posted()]
        left = self.resend([record for record, taken in posted if not taken])
        if left:
            return [f"{left} of {len(posted)} records were refused for {RESEND_LIMIT_S:g} s"]
        self.ledger.add([record for record, _ in posted])
        return self.ledger.differences(self.settings)

    def resend(self, records: list[dict[str, Any]]) -> int:
        """Send records until all are taken; how many were not in time."""
        deadline_s = time.monotonic() + RESEND_LIMIT_S
        while records:
            some = records[:_BATCH]
            status, _ = self.post("/events", {"events": some})
            if status in (200, 207):
                records = records[_BATCH:]
            elif time.monotonic() > deadline_s:
                return len(records)
            else:
                time.sleep(0.3)
        return 0

    def post(self, path: str, body: Any, timeout_s: float = 10.0, **headers: str) -> tuple[int, dict[str, Any]]:
        """One request; status 0 where nobody answers."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            answer = httpx.post(
                f"{self.url}{path}",
                content=content,
                headers={"Content-Type": "application/json", **headers},
                timeout=timeout_s,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            return 0, {"detail": type(error).__name__}
        return answer.status_code, _json(answer)

    def rank(self, user_id: str | None = None, **fields: Any) -> dict[str, Any]:
        """One ranking.

        Raises:
            Short: it was not answered.
        """
        body = {"user_id": user_id or self.copy.user_ids[0], **fields}
        status, answer = self.post("/rank", body)
        if status != 200:
            raise Short(f"POST /rank answered {status}: {answer.get('detail', '')}")
        return answer

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """One GET; status 0 where nobody answers."""
        try:
            answer = httpx.get(f"{self.url}{path}", timeout=10.0, trust_env=False)
        except httpx.HTTPError as error:
            return 0, {"detail": type(error).__name__}
        return answer.status_code, _json(answer)

    def whole_again(self, limit_s: float = 30.0) -> bool:
        """Wait until the service is ready and answers a ranking whole."""

        def whole() -> bool:
            status, answer = self.post("/rank", {"user_id": self.copy.user_ids[0]}, 5.0)
            return status == 200 and not answer["degraded"] and self.service.is_ready()

        return processes.wait_until(whole, limit_s, 0.3)

    def served_on(self, **store: Any) -> ServiceSettings:
        """The service's settings with other ones of the store."""
        return replace(self.settings, store=replace(self.settings.store, **store))


def bodies_of(bench: Bench, candidates: int = 50) -> Bodies:
    """Rankings and records of the copied run."""
    ads = bench.copy.ads
    items = list(zip(ads["item_id"].to_pylist(), ads["category"].to_pylist(), strict=True))
    ad_ids = ads["ad_id"].to_pylist()
    known = [(item or ad, category) for (item, category), ad in zip(items, ad_ids, strict=True)]
    return Bodies(bench.copy.user_ids, ad_ids, known, bench.copy.behaviors, candidates)


def figures_of(verdict: Verdict) -> dict[str, Any]:
    """A verdict for the JSON."""
    return {
        "answers": verdict.answers,
        "explained": verdict.explained,
        "degraded": verdict.degraded,
        "cold": verdict.cold,
    }


def ranks_of(answers: list[Answer]) -> list[Answer]:
    """Rankings among the answers."""
    return [answer for answer in answers if answer.kind == "rank"]


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {"detail": answer.text[:200]}
    return body if isinstance(body, dict) else {"detail": body}
