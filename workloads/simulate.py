"""`rosa simulate`: write a semi-simulated ad log, on invented timelines or on the real ones of a source."""

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL, ConfigError
from rosa_ray.features.own import own_columns
from workloads.messages import print_set_aside
from workloads.places import brings_impressions, record_config


def run(config: RunConfig) -> int:
    """Write the log of the run; without a source its timelines are invented too.

    Raises:
        ConfigError: the source brings impressions of its own.
    """
    from rosa_ray.data.simulate import expose, simulate
    from rosa_ray.schema.pseudonyms import open_pseudonyms
    from rosa_ray.sources import open_source

    if brings_impressions(config.source):
        raise ConfigError("source: this log has impressions, there is nothing to simulate; go on with rosa preprocess")
    run_dir = record_config(config)
    partial = False
    with connected(config.ray):
        if config.source.kind == "log":
            summary = simulate(config.simulation, run_dir.log.root)
        else:
            source = open_source(config.source, open_pseudonyms(config.privacy), own_columns(config.features.columns))
            summary, report = expose(source, config.exposure, run_dir.log.root, config.features.behavior_names)
            partial = report.partial
            for file in report.set_aside:
                print_set_aside(file.path, file.reason)
    counts = f"{summary['users']} users, {summary['events']} events, {summary['impressions']} impressions"
    print(f"{run_dir.log.root}: {counts}")
    return EXIT_PARTIAL if partial else 0
