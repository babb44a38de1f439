"""`rosa preprocess`: turn a log into one row per user, fitted features and a data report."""

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL
from rosa_ray.features.own import own_columns
from rosa_ray.schema.pseudonyms import open_pseudonyms
from rosa_ray.sources import open_source
from workloads.messages import catalogue_line, print_losses, print_set_aside, ripe_line, stands_for, young_line
from workloads.places import record_config, source_of


def run(config: RunConfig) -> int:
    """Preprocess the source's own log where it brings impressions, else what `rosa simulate` wrote for this run.

    Returns:
        0, or `EXIT_PARTIAL` where a file was set aside, too many rows were lost, an id names several things, or two
        tables do not know each other's ids.
    """
    from rosa_ray.data.preprocess import preprocess

    run_dir = record_config(config)
    pseudonyms = open_pseudonyms(config.privacy)
    source = open_source(source_of(config), pseudonyms, own_columns(config.features.columns))
    key_id = "" if pseudonyms is None else pseudonyms.key_id
    with connected(config.ray):
        result = preprocess(source, run_dir.data.root, config.preprocess, config.features, key_id, config.labels)
    for file in result.report["ingest"]["files"]:
        if file["reason"]:
            print_set_aside(file["path"], file["reason"])
    report = result.report
    print_losses(report)
    for line in filter(None, (catalogue_line(report["catalogue"]), young_line(report), ripe_line(report))):
        print(line)
    if reused := report["ingest"]["files_reused"]:
        print(
            f"{reused} of {len(report['ingest']['files'])} files were staged already, "
            f"{report['partitions_reused']} of {config.preprocess.partitions} partitions counted"
        )
    print(
        f"{run_dir.data.root}: {report['users']} users, {report['events']} events, {report['impressions']} impressions"
        f"{stands_for(report)}"
    )
    return EXIT_PARTIAL if result.partial else 0
