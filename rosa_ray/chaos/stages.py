"""What cases are tried on: a service of each form, started when a case needs it, and anew where it is spoiled."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rosa_ray.chaos import processes
from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import StageName
from rosa_ray.chaos.ledger import Ledger
from rosa_ray.chaos.live import Live, bodies_of
from rosa_ray.chaos.redis_server import RedisServer
from rosa_ray.chaos.run_copy import RunCopy, copy_store
from rosa_ray.chaos.service import Service
from rosa_ray.chaos.traffic import saturation
from rosa_ray.serving.assembly import ServiceSettings

MOST_PER_S = 60.0
LEAST_PER_S = 5.0
HEAL_LIMIT_S = 40.0


class ServiceStage:
    """A service of one form, and what belongs to it.

    Args:
        home: its directory.
        name: `fused`, `graph` or `redis`.
        say: told how long things took.
    """

    def __init__(self, copy: RunCopy, home: Path, name: StageName, say: Callable[[str], object]) -> None:
        self._copy, self._home, self._name, self._say = copy, home, name, say
        self._service: Service | None = None
        self._ledger: Ledger | None = None
        self._replicas, self.saturation_per_s = 0, 0.0
        self.redis: RedisServer | None = None
        self._clean_redis: RedisServer | None = None
        self._starts = 0

    def bench(self, scratch: Path) -> Live:
        """What a case works with; starts the service where it does not run."""
        if self._service is None:
            self._start(scratch)
        assert self._service is not None
        assert self._ledger is not None
        rate = min(max(self.saturation_per_s / 3, LEAST_PER_S), MOST_PER_S)
        return Live(
            self._copy,
            scratch,
            service=self._service,
            settings=self._settings,
            ledger=self._ledger,
            rank_per_s=round(rate, 1),
            run_dir=self.run_dir,
            redis=self.redis,
        )

    @property
    def run_dir(self) -> Path:
        """Of the service."""
        return self._home / "run"

    def heal(self, spoiled: bool, doubted: bool) -> None:
        """Wait until all replicas are there again; end the service where they do not come, or where it is spoiled.

        Args:
            doubted: the case was not met, so that its store may differ from the clean one.
        """
        if self._service is None:
            return
        service = self._service
        if doubted and not spoiled and self._ledger is not None:
            spoiled = bool(self._ledger.differences(self._settings))
        known = self._copy.user_ids[0]
        whole = not spoiled and processes.wait_until(
            lambda: service.running and service.is_whole(known) and self._count(service) >= self._replicas,
            HEAL_LIMIT_S,
            0.3,
        )
        if not whole:
            if not spoiled:
                self._say(f"the {self._name} service did not become whole again; it is started anew")
            self.stop()

    def stop(self) -> None:
        """End the service and what belongs to it."""
        if self._service is not None:
            self._service.end()
        self._service = None
        for server in (self.redis, self._clean_redis):
            if server is not None:
                server.stop()
        self.redis = self._clean_redis = None

    def _start(self, scratch: Path) -> None:
        self._starts += 1
        shutil.rmtree(self._home, ignore_errors=True)
        shutil.copytree(self._copy.bundle, self.run_dir / "bundle")
        settings = self._redis_settings() if self._name == "redis" else self._sqlite_settings()
        self._settings = settings
        bench = Bench(self._copy, scratch)
        options: dict[str, object] = {
            "run_dir": self.run_dir,
            "serving__port": 0,
            "serving__fused": self._name != "graph",
            "ray__dashboard": self._name == "graph",
            "store__kind": settings.store.kind,
            "store__path": settings.store.path,
            "store__url": settings.store.url,
            "store__namespace": settings.store.namespace,
        }
        if self._name == "graph":
            options["serving__cpus_per_replica"] = GRAPH_CPUS
        log = self._home.parent / f"{self._name}-{self._starts}.log"
        service = Service(bench.command("serve", **options), log)
        try:
            service.wait_ready()
        except BaseException:
            service.end()
            self.stop()
            raise
        self._service, self._replicas = service, self._count(service)
        self.saturation_per_s = self.saturation_per_s or saturation(service.url, bodies_of(bench))
        self._say(
            f"the {self._name} service is ready after {service.seconds:.1f} s with {self._replicas} replicas; "
            f"it answers {self.saturation_per_s:.0f} rankings a second, a third is sent"
        )

    def _sqlite_settings(self) -> ServiceSettings:
        store = copy_store(self._copy.store, self.run_dir / "store.db")
        clean = copy_store(self._copy.store, self._home / "clean.db")
        self._ledger = Ledger(self._copy, self._copy.served(clean))
        return self._copy.served(store)

    def _redis_settings(self) -> ServiceSettings:
        dump = self._copy.root / "redis.rdb"
        self.redis = RedisServer(self._home / "redis", dump)
        if not dump.exists():
            _materialize(self._copy, self.redis, self._home)
            self.redis.save(dump)
        self._clean_redis = RedisServer(self._home / "clean-redis", dump)
        base = self._copy.served(self._copy.store)
        store, clean = (
            replace(base.store, kind="redis", url=server.url, namespace=NAMESPACE)
            for server in (self.redis, self._clean_redis)
        )
        self._ledger = Ledger(self._copy, replace(base, store=clean))
        return replace(base, store=store)

    def _count(self, service: Service) -> int:
        return len(processes.called(service.tree(), "ServeReplica:rosa:"))


NAMESPACE = "chaos"
GRAPH_CPUS = 0.25
"""Of a replica that does a part of the work: so the graph has two of each on two cores as well."""


def _materialize(copy: RunCopy, server: RedisServer, home: Path) -> None:
    """Fill a Redis server as a user does.

    Raises:
        Short: it failed.
    """
    from rosa_ray.chaos.case import Short

    bench = Bench(copy, home)
    run = home / "materialized"
    shutil.copytree(copy.bundle, run / "bundle")
    (run / "data").symlink_to(Path(copy.data.data.root).absolute())
    command = bench.command(
        "materialize", run_dir=run, store__kind="redis", store__url=server.url, store__namespace=NAMESPACE
    )
    code, text = bench.run(command, 200.0)
    if code:
        raise Short(f"`rosa materialize` into Redis ended with {code}: {text.strip().splitlines()[-1:]}")
