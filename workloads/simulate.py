"""`rosa simulate`: write a semi-simulated ad log, on invented timelines or on the real ones of a source."""

from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL, ConfigError
from workloads.cluster import connected
from workloads.messages import print_set_aside
from workloads.run_dir import RunDir, brings_impressions


def run(config: RunConfig) -> int:
    """Write the log of the run; without a source its timelines are invented too.

    Raises:
        ConfigError: the source brings impressions of its own.
    """
    from rosa_ray.data.simulate import expose, simulate
    from rosa_ray.schema import open_pseudonyms
    from rosa_ray.sources import open_source

    if brings_impressions(config.source):
        raise ConfigError("source: this log has impressions, there is nothing to simulate; go on with rosa preprocess")
    run_dir = RunDir(config.run_dir)
    run_dir.record(config)
    partial = False
    with connected(config.ray):
        if config.source.kind == "log":
            summary = simulate(config.simulation, run_dir.log)
        else:
            source = open_source(config.source, open_pseudonyms(config.privacy))
            summary, report = expose(source, config.exposure, run_dir.log)
            partial = report.partial
            for file in report.set_aside:
                print_set_aside(file.path, file.reason)
    print(f"{run_dir.log}: {summary['users']} users, {summary['events']} events, {summary['impressions']} impressions")
    return EXIT_PARTIAL if partial else 0


if __name__ == "__main__":
    from workloads.cli import run_as_job

    run_as_job("simulate")
