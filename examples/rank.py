"""Rank ads for a user, let the user do something, and rank again: in this process, with what a run left.

    python examples/rank.py runs/example        # after examples/train.py, or runs/demo after `rosa demo`

`rosa serve` answers the same requests over HTTP, from as many replicas as the load needs.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from rosa_ray.config import load_config
from rosa_ray.run_dir import RunDir
from rosa_ray.serving.api import RankRequest
from rosa_ray.serving.assembly import build_scorer
from rosa_ray.serving.read_your_writes import SampleRequests
from rosa_ray.serving.service import RankingService
from workloads.places import service_settings


async def main(run_dir: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Print the best ads before and after two events; returns both rankings, best first."""
    run = RunDir(run_dir)
    settings, samples = service_settings(load_config(Path(run.config))), SampleRequests.of(run.data)
    service = RankingService(build_scorer(settings))

    user_id = samples.user_ids[0]
    request = RankRequest.model_validate(samples.rank_body(user_id, minutes_later=5, top_k=None))
    before = (await service.rank(request, "before"))["ads"]
    show(f"for user {user_id}", before)

    # The user views what an ad in the middle of the ranking sells, and puts it into the cart.
    watched = before[len(before) // 2]["ad_id"]
    await service.write_events({"events": samples.events(user_id, watched)})

    after = (await service.rank(request, "after"))["ads"]
    show(f"after a view and a cart of what ad {watched} sells", after)
    return before, after


def show(title: str, ads: list[dict[str, Any]]) -> None:
    """Print the best five."""
    print(title)
    for ad in ads[:5]:
        print(f"  {ad['ad_id']:>6}  p_ctr {ad['p_ctr']:.4f}  expected ROI {ad['expected_roi']:+.2f}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
