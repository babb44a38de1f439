"""A run on an object store that does not answer for a while."""

import time
from pathlib import Path

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.ledger import Ledger
from rosa_ray.chaos.object_store import BUCKET, ObjectStore
from rosa_ray.chaos.service import RosaProcess

CASES = CaseList("s3")

AWAY_S = 12.0


@CASES.add(
    f"the object store hangs for {AWAY_S:g} s in the middle of `rosa materialize`",
    "it goes on, or ends in one line and the same command goes on; the former version is read meanwhile",
    limit_s=240,
)
def away_while_materializing(bench: Bench) -> Seen:
    """Users, counters and the bundle lie on `s3://`."""
    objects, store = ObjectStore(), bench.store()
    bench.cleanups.append(objects.stop)
    objects.put(Path(bench.copy.data.data.root), "run/data")
    objects.put(bench.copy.bundle, "run/bundle")
    command = bench.command(
        "materialize", run_dir=f"s3://{BUCKET}/run", store__path=store, materialize__users_per_block=64
    )
    began_s = time.monotonic()
    first = bench.start(command, "first", objects.environment)
    while not _begun(store) and first.running and time.monotonic() - began_s < 90:
        time.sleep(0.2)
    objects.pause()
    time.sleep(AWAY_S)
    before = Ledger(bench.copy, bench.copy.served(bench.store("clean.db")))
    short = [f"meanwhile: {one}" for one in before.differences(bench.copy.served(store), 1)]
    objects.go_on()
    code = first.wait(80.0)
    if code == 0:
        return Seen(f"it went on and ended after {time.monotonic() - began_s:.0f} s", short)
    short += [] if _is_one_line(first) else [f"it ended with {code} and more than a line: {first.last_line()}"]
    first.end(5.0)
    again, text = bench.run(command, 90.0, objects.environment)
    short += [] if again == 0 else [f"the same command ended with {again}: {text.strip().splitlines()[-1:]}"]
    return Seen(f"it ended with {code}, the same command with {again}", short)


def _begun(store: Path) -> bool:
    """Whether something is written beside the active version."""
    wal = store.with_name(f"{store.name}-wal")
    return wal.exists() and wal.stat().st_size > 100_000


def _is_one_line(process: RosaProcess) -> bool:
    lines = [line for line in process.text.splitlines() if line.startswith("error:")]
    return len(lines) == 1 and "Traceback" not in process.text
