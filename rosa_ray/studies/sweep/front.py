"""Which trials nothing beats, and which of them wins."""

from collections.abc import Mapping, Sequence

Values = Mapping[str, float]


def pareto_front(values: Mapping[int, Values], directions: Mapping[str, str]) -> list[int]:
    """Return the trials that no other one equals or beats in every objective and beats in one, by number.

    Args:
        values: objectives of every finished trial.
        directions: `max` or `min` of each objective.

    >>> values = {0: {"roi": 1.0, "off": 0.1}, 1: {"roi": 2.0, "off": 0.3}, 2: {"roi": 0.9, "off": 0.2}}
    >>> pareto_front(values, {"roi": "max", "off": "min"})
    [0, 1]
    """
    goods = {number: _goods(found, directions) for number, found in values.items()}
    return sorted(
        number
        for number, mine in goods.items()
        if not any(theirs != mine and all(map(float.__ge__, theirs, mine)) for theirs in goods.values())
    )


def pick_winner(
    values: Mapping[int, Values],
    front: Sequence[int],
    directions: Mapping[str, str],
    pick: str,
    max_calibration: float,
    calibration: Mapping[int, float | None],
) -> int:
    """Return the trial of the front with the best `pick` among those calibrated well enough.

    Where none is, the best calibrated one of the front wins; of equals the first.

    Args:
        calibration: |log PCOC| of every finished trial; None counts as infinitely far off.

    >>> values = {0: {"roi": 1.0}, 1: {"roi": 2.0}, 2: {"roi": 3.0}}
    >>> pick_winner(values, [0, 1, 2], {"roi": "max"}, "roi", 0.2, {0: 0.0, 1: 0.1, 2: 0.9})
    1
    """
    off = {number: value if (value := calibration.get(number)) is not None else float("inf") for number in front}
    good = [number for number in front if off[number] <= max_calibration]
    if not good:
        return min(front, key=lambda number: (off[number], number))
    sign = 1.0 if directions[pick] == "max" else -1.0
    return max(good, key=lambda number: (sign * values[number][pick], -number))


def rule(pick: str, max_calibration: float) -> str:
    """The rule of `pick_winner` in words."""
    return (
        f"best {pick} of the front among trials whose |log PCOC| is at most {max_calibration:g}; "
        "the best calibrated one where none is"
    )


def _goods(found: Values, directions: Mapping[str, str]) -> list[float]:
    return [float(found[name] if way == "max" else -found[name]) for name, way in directions.items()]
