"""A campaign's budget, given out by several scorers while one of them dies."""

import json
import shutil
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow.compute as pc

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import CaseList, Seen, Short
from rosa_ray.chaos.service import Service
from rosa_ray.serving.app import SCORER

CASES = CaseList("budgets")

IMPRESSIONS = 60
"""That the budget pays for, about."""
CALLERS = 2
PAUSE_S = 0.05
SETTLE_S = 2.0
"""The impression of an answer is told at once, and a scorer reads what was told every second."""
CALM_S = 8.0
LONGEST_S = 60.0


class Spending:
    """Callers who ask for ads of one campaign, show the first, and tell what it cost.

    Attributes:
        spent: currency units that were told.
        impressions: how many there were.
    """

    def __init__(self, url: str, users: list[str], candidates: list[str]) -> None:
        self.spent, self.impressions, self.last_s = 0.0, 0, time.monotonic()
        self._url, self._users, self._candidates = url, users, candidates
        self._lock, self._stopped, self._id = threading.Lock(), threading.Event(), uuid.uuid4().hex[:12]
        self._threads = [threading.Thread(target=self._call, args=(at,), daemon=True) for at in range(CALLERS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait until the last is told."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30.0)

    def _call(self, caller: int) -> None:
        draw, number = np.random.default_rng(caller), 0
        with httpx.Client(base_url=self._url, timeout=10.0, trust_env=False) as http:
            while not self._stopped.wait(PAUSE_S):
                number += 1
                user_id = self._users[int(draw.integers(len(self._users)))]
                try:
                    answer = http.post("/rank", json={"user_id": user_id, "candidates": self._candidates, "top_k": 1})
                    ads = answer.json()["ads"] if answer.status_code == 200 else []
                except httpx.HTTPError:
                    continue
                if ads:
                    self._show(http, f"{self._id}-{caller}-{number}", user_id, ads[0])

    def _show(self, http: httpx.Client, name: str, user_id: str, ad: dict[str, object]) -> None:
        """An impression happened whoever takes its record, so that it is sent until it is taken."""
        cost = float(ad["expected_cost"])  # type: ignore[arg-type]
        shown = {"type": "impression", "impression_id": name, "user_id": user_id, "ad_id": ad["ad_id"], "cost": cost}
        body = {"events": [{**shown, "request_time": datetime.now(UTC).isoformat()}]}
        with self._lock:
            self.spent, self.impressions, self.last_s = self.spent + cost, self.impressions + 1, time.monotonic()
        for _ in range(100):
            try:
                if http.post("/events", json=body).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)


@CASES.add(
    "a campaign's budget is spent through two scorers, one of which is killed on the way",
    "at most 1 % more than the budget is spent, and nine tenths of it are",
    limit_s=240,
)
def killed_scorer(bench: Bench) -> Seen:
    """What the dead one had given out is in the store, or is given out again."""
    campaign, candidates, budget = _campaign(bench)
    run_dir = bench.scratch / "run"
    step: dict[str, object] = {"name": "budget", "rate": 0.0, "replicas": 2, "settle_s": SETTLE_S}
    step["campaigns"] = {campaign: {"daily_budget": budget}}
    settings: dict[str, object] = {
        "serving__score": "profit",
        "serving__policy": json.dumps([step]),
        "serving__min_replicas": 2,
        "serving__max_replicas": 2,
        "serving__port": 0,
    }
    service = _service(bench, run_dir, settings)
    spending = Spending(service.url, bench.copy.user_ids, candidates)
    spending.start()
    try:
        time.sleep(2.0)
        if not spending.impressions:
            raise Short(f"no ad of campaign {campaign} was answered in 2 s")
        service.replicas(SCORER)[0].kill()
        at_the_kill, began_s = spending.spent, time.monotonic()
        while time.monotonic() - max(spending.last_s, began_s) < CALM_S and time.monotonic() - began_s < LONGEST_S:
            time.sleep(0.2)
    finally:
        spending.stop()
    share = spending.spent / budget
    short = [] if share <= 1.01 else [f"{share - 1:.1%} more than the budget was spent"]
    short += [] if share >= 0.9 else [f"{share:.1%} of the budget were spent"]
    text = (
        f"{spending.impressions} impressions spent {share:.1%} of the budget of campaign {campaign}, "
        f"{at_the_kill / budget:.0%} before the kill"
    )
    return Seen(text, short, {"budget": budget, "spent": spending.spent, "impressions": spending.impressions})


def _campaign(bench: Bench) -> tuple[str, list[str], float]:
    """The campaign with most ads, those ads, and a budget for some impressions at half their bids."""
    ads = bench.copy.ads
    counts = Counter(name for name in ads["campaign_id"].to_pylist() if name is not None)
    if not counts:
        raise Short("no ad of this run has a campaign")
    # Of equal ones the first by name, whatever order the ads are in.
    most = min(counts, key=lambda name: (-counts[name], name))
    mine = ads.filter(pc.equal(ads["campaign_id"], most))
    return most, mine["ad_id"].to_pylist(), round(float(np.median(mine["bid"].to_numpy())) * IMPRESSIONS / 2, 4)


def _service(bench: Bench, run_dir: Path, settings: dict[str, object]) -> Service:
    shutil.copytree(bench.copy.bundle, run_dir / "bundle")
    store = bench.store("run-store.db")
    command = bench.command("serve", run_dir=run_dir, store__kind="sqlite", store__path=store, **settings)
    service = Service(command, bench.scratch / "service.log")
    bench.cleanups.append(service.end)
    return service.wait_ready()
