"""`rosa value`: what the models of a run would earn by every kind of score."""

from rich.console import Console

from rosa_ray.errors import InputError

TABLE_WIDTH = 140


def run(run_dir: str) -> int:
    """Value the run's model by every kind of score, print it, and print what its studies say of other models.

    Raises:
        InputError: the run was not evaluated.
    """
    from rosa_ray.calibration import Returns
    from rosa_ray.evaluation.kinds import measure_kinds
    from rosa_ray.evaluation.kinds_table import estimated_table, frontier_table, kinds_table
    from rosa_ray.evaluation.predictions import list_predictions
    from rosa_ray.metrics import Ranking
    from rosa_ray.report.run_files import open_run_files
    from rosa_ray.storage import absolute, write_json
    from rosa_ray.studies.compare.tables import score_table

    files = open_run_files(run_dir)
    place = files.place.evaluation
    predictions = list_predictions(place.predictions)
    if files.metrics is None or not predictions:
        raise InputError(f"{run_dir}: no predictions of the test period; run `{files.command('evaluate')}`")
    ranking = Ranking.told(files.metrics["test"])
    document = measure_kinds(predictions, absolute(files.log_dir), Returns(ranking.theta, ranking.level))
    write_json(document, place.value)
    console = Console(width=max(Console().width, TABLE_WIDTH))
    title = f"one ad for each of {document['requests']:,} test requests, at true values"
    told = [kinds_table(document, title), frontier_table(document), estimated_table(document)]
    study = files.study("compare")
    told.append(score_table(study) if study else None)
    for table in told:
        if table is not None:
            console.print(table)
    if document["exact"] is None:
        print("no exact values: the log has no truth, or the test period no candidates")
    if document["estimated"] is None:
        print(f"no estimates: {document['estimated_skipped']}")
    print(f"{place.value}: everything above as JSON; serving.theta={ranking.theta:.2f} is what `dual` takes now")
    return 0
