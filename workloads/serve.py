"""`rosa serve`: answer `POST /rank` from the run's bundle and store until interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import is_remote, write_json
from workloads.places import require_bundle_behaviors, service_settings
from workloads.signals import interrupted_by_sigterm, stop_signals


def run(config: RunConfig) -> int:
    """Serve until SIGINT or SIGTERM."""
    from rosa_ray.serving.server import running

    require_bundle_behaviors(config)
    with (
        connected(config.ray),
        interrupted_by_sigterm(),
        running(service_settings(config)) as service,
        noted(RunDir(config.run_dir), service.url),
        stop_signals() as stopped,
    ):
        print(f"{service.url}: model {service.model_version}, ready after {service.seconds:.1f} s; Ctrl-C stops it")
        for note in service.notes:
            print(note)
        print(f"{service.url}/docs: the interface, with examples", flush=True)
        stopped.wait()
    return 0


@contextmanager
def noted(run_dir: RunDir, url: str) -> Iterator[None]:
    """Note in the run where its service is while the block runs, so that `rosa rollout` finds its Ray cluster."""
    import ray

    if is_remote(run_dir.root):
        yield
        return
    write_json({"url": url, "ray_address": ray.get_runtime_context().gcs_address}, run_dir.service)
    try:
        yield
    finally:
        Path(run_dir.service).unlink(missing_ok=True)
