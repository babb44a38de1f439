"""`rosa value`: what the models of a run would earn by every kind of score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rosa_ray.errors import ConfigError, InputError

if TYPE_CHECKING:
    from rosa_ray.calibration import Returns

TABLE_WIDTH = 140


def run(run_dir: str, budgets: str = "") -> int:
    """Value the run's model by every kind of score, print it, and print what its studies say of other models.

    Args:
        budgets: shares of the spend without budgets, such as ".2,.5"; empty spends none.

    Raises:
        ConfigError: a share is none.
        InputError: the run was not evaluated, or its log lacks what budgets need.
    """
    shares = parse_shares(budgets)
    from rosa_ray.calibration import Returns
    from rosa_ray.evaluation.budgets_table import budgets_tables
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
    returns, log_dir = Returns(ranking.theta, ranking.level), absolute(files.log_dir)
    document = measure_kinds(predictions, log_dir, returns)
    if shares:
        document["budgets"] = _spend(predictions, log_dir, returns, shares)
    write_json(document, place.value)
    console = Console(width=max(Console().width, TABLE_WIDTH))
    title = f"one ad for each of {document['requests']:,} test requests, at true values"
    told = [kinds_table(document, title), frontier_table(document), estimated_table(document)]
    study = files.study("compare")
    told.append(score_table(study) if study else None)
    told += budgets_tables(document)
    for table in told:
        if table is not None:
            console.print(table)
    if document["exact"] is None:
        print("no exact values: the log has no truth, or the test period no candidates")
    if document["estimated"] is None:
        print(f"no estimates: {document['estimated_skipped']}")
    print(f"{place.value}: everything above as JSON; serving.theta={ranking.theta:.2f} is what `dual` takes now")
    return 0


def parse_shares(text: str) -> list[float]:
    """Read shares of a spend.

    Raises:
        ConfigError: one is no number above 0 and up to 1.

    >>> parse_shares(".2,.5"), parse_shares("")
    ([0.2, 0.5], [])
    """
    try:
        shares = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        shares = [0.0]
    if not all(0 < share <= 1 for share in shares):
        raise ConfigError(f"--budgets is '{text}'; it is a list of numbers above 0 and up to 1, such as .2,.5")
    return shares


def _spend(predictions: Sequence[str], log_dir: str, returns: "Returns", shares: Sequence[float]) -> dict[str, Any]:
    from rosa_ray.evaluation.budgets import measure_budgets, read_log

    return measure_budgets(read_log(predictions, log_dir, returns.level), shares)
