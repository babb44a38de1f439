"""Few large tasks on Ray Data whose own errors come back as themselves.

Ray Data wraps what a function raises in texts of many lines and loses its type. Here a task hands an error back as its
result instead. The worker logs the trace of an error that was not expected.
"""

import logging
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import ray

from rosa_ray.errors import RosaError

logger = logging.getLogger(__name__)


def run_tasks(work: Callable[[Any], Any], items: Sequence[Any], doing: str) -> list[Any]:
    """Call `work` on each item, one Ray Data block an item, and return the results in the items' order.

    Ray must be initialised.

    Args:
        work: picklable; a task that is run again must have the same effect.
        items: arguments.
        doing: what goes on, for messages ("writing runs/demo/log").

    Raises:
        RosaError: as the first failing task raised it, or one line on what else stopped it.
    """

    def one(row: dict[str, bytes]) -> dict[str, bytes]:
        place, item = pickle.loads(row["call"])
        try:
            outcome = work(item)
        except RosaError as error:
            outcome = error
        except Exception as error:
            logger.exception("%s failed in a task", doing)
            outcome = RosaError(f"{doing} failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        return {"outcome": pickle.dumps((place, outcome))}

    calls = [{"call": pickle.dumps(call)} for call in enumerate(items)]
    dataset = ray.data.from_items(calls, override_num_blocks=max(1, len(calls))).map(one)
    outcomes = dict(pickle.loads(row["outcome"]) for row in dataset.take_all())
    failures = [outcome for outcome in outcomes.values() if isinstance(outcome, RosaError)]
    if failures:
        raise failures[0]
    return [outcomes[place] for place in range(len(items))]
