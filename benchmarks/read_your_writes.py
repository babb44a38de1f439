"""The time from posting an event to the first ranking that reflects it, and of the post alone, over HTTP.

Without --url it serves a run's bundle from this process, on a copy of its store:

    rosa materialize demo && python benchmarks/read_your_writes.py runs/demo
    rosa serve demo & python benchmarks/read_your_writes.py runs/demo --url http://127.0.0.1:8000
"""

import argparse
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
import uvicorn
from record import record, save

from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.http import create_app
from rosa_ray.serving.read_your_writes import measure_freshness
from rosa_ray.serving.service import RankingService
from rosa_ray.storage import read_parquet
from rosa_ray.store import StoreConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="directory of a run with a bundle and a filled store")
    parser.add_argument("--url", default="", help="measure this service instead")
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    ads = read_parquet(str(arguments.run / "bundle" / "ads.parquet"))["ad_id"].to_pylist()[: arguments.candidates]
    if arguments.url:
        report = measure_freshness(arguments.url, arguments.events, ads)
    else:
        with serving(arguments.run) as url:
            measure_freshness(url, 10, ads)
            report = measure_freshness(url, arguments.events, ads)
    print(f"{'':<24}{'p50 ms':>9}{'p99 ms':>9}")
    print(f"{'post':<24}{report.post_p50_ms:>9.2f}{report.post_p99_ms:>9.2f}")
    print(f"{'post to ranked effect':<24}{report.p50_ms:>9.2f}{report.p99_ms:>9.2f}")
    print(f"{report.at_once:.1%} of {report.events} events were in the first ranking of {len(ads)} ads after the post")
    served_by = "ray serve" if arguments.url else "one process"
    save(record("read_your_writes", candidates=len(ads), served_by=served_by, **asdict(report)), arguments.out)


@contextmanager
def serving(run: Path) -> Iterator[str]:
    """The service in this process, on a copy of the run's store."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        copy = f"{scratch}/store.db"
        with closing(sqlite3.connect(run / "store.db")) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        settings = ServiceSettings(str(run / "bundle"), StoreConfig(path=copy), ServingConfig())
        app = create_app(RankingService(build_scorer(settings)))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
