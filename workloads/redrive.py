"""`rosa redrive`: send refused live records to the online store again, once what was wrong is mended."""

from collections.abc import Sequence

from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL, ConfigError
from rosa_ray.records import REASONS
from workloads.places import require_bundle_behaviors, service_settings, stream_settings


def run(config: RunConfig, reasons: Sequence[str] = (), *, dry_run: bool = False) -> int:
    """Send the dead letters of streams and of the service again, and print what became of them.

    Returns:
        0, or `EXIT_PARTIAL` when some stay refused.

    Raises:
        ConfigError: there is no such reason.
    """
    from rosa_ray.streaming.assembly import open_target
    from rosa_ray.streaming.redrive import redrive

    for reason in reasons:
        if reason not in REASONS:
            raise ConfigError(f"--reason is '{reason}'; give one of {', '.join(REASONS)}")
    require_bundle_behaviors(config)
    settings = stream_settings(config)
    places = dict.fromkeys([settings.stream.dead_letters, service_settings(config).serving.dead_letters])
    store, parser = open_target(settings)
    left = 0
    try:
        for place in filter(None, places):
            found = redrive(place, store, parser, reasons, dry_run=dry_run)
            refused = ", ".join(f"{count} {reason}" for reason, count in sorted(found.refused.items())) or "none"
            taken = "would be taken" if dry_run else "taken"
            print(
                f"{place}: {found.letters} letters, {found.accepted} {taken}, {found.known} known already, "
                f"refused again {refused}; {found.unreadable} without a whole record, "
                f"{found.passed_over} of other reasons"
            )
            left += found.refused.total() + found.unreadable
    finally:
        store.close()
    return EXIT_PARTIAL if left else 0
