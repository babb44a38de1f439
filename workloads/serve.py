"""`rosa serve`: answer `POST /rank` from the run's bundle and store until interrupted."""

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from workloads.places import require_bundle_behaviors, service_settings
from workloads.signals import interrupted_by_sigterm, stop_signals


def run(config: RunConfig) -> int:
    """Serve until SIGINT or SIGTERM."""
    from rosa_ray.serving.server import running
    from rosa_ray.serving.writers import open_to_writers

    require_bundle_behaviors(config)
    with (
        connected(config.ray),
        interrupted_by_sigterm(),
        running(service_settings(config)) as service,
        stop_signals() as stopped,
    ):
        print(f"{service.url}: model {service.model_version}, ready after {service.seconds:.1f} s; Ctrl-C stops it")
        open_to_all = open_to_writers(config.serving.host, config.serving.write_tokens, service.url)
        for note in (*service.notes, *([open_to_all] if open_to_all else [])):
            print(note)
        print(f"{service.url}/docs: the interface, with examples", flush=True)
        stopped.wait()
    return 0
