"""Entry checks shared by the metrics: a NaN or a label of 2 is refused by name, never averaged in."""

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Columns, Floats, Ints


def as_amounts(name: str, values: npt.ArrayLike) -> Floats:
    """Return a 1-D float64 array of finite numbers (scores, money).

    Raises:
        ValueError: not one-dimensional, NaN or infinite; the message says how many and where the first one is.

    >>> as_amounts("cost", [0.5, float("nan")])
    Traceback (most recent call last):
    ValueError: metric input 'cost': 1 of 2 values are NaN or infinite, the first at row 1 (nan)
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"metric input '{name}': shape {array.shape}, needs one dimension (one value per row)")
    _refuse(name, array, ~np.isfinite(array), "NaN or infinite")
    return array


def as_not_negative(name: str, values: npt.ArrayLike) -> Floats:
    """Return a 1-D float64 array of finite numbers >= 0, or raise ValueError."""
    array = as_amounts(name, values)
    _refuse(name, array, array < 0, "negative")
    return array


def as_probabilities(name: str, values: npt.ArrayLike) -> Floats:
    """Return a 1-D float64 array of numbers in [0, 1], or raise ValueError."""
    array = as_amounts(name, values)
    _refuse(name, array, (array < 0) | (array > 1), "outside [0, 1]")
    return array


def as_propensities(name: str, values: npt.ArrayLike) -> Floats:
    """Return a 1-D float64 array of logging probabilities in (0, 1], or raise ValueError.

    >>> as_propensities("propensity", [0.5, 0.0])
    Traceback (most recent call last):
    ValueError: metric input 'propensity': 1 of 2 values are 0 or below, so no weight exists, the first at row 1 (0)
    """
    raw = np.asarray(values, dtype=np.float64)
    if raw.ndim == 1:
        _refuse(name, raw, np.isnan(raw), "missing: the log does not say how likely its ad was")
    array = as_amounts(name, raw)
    _refuse(name, array, array <= 0, "0 or below, so no weight exists")
    _refuse(name, array, array > 1, "above 1, so no probability")
    return array


def as_labels(name: str, values: npt.ArrayLike) -> Ints:
    """Return a 1-D int64 array of 0 and 1, or raise ValueError. Booleans and 0.0/1.0 are accepted."""
    array = as_amounts(name, values)
    _refuse(name, array, (array != 0) & (array != 1), "neither 0 nor 1")
    return array.astype(np.int64)


def as_weights(weights: npt.ArrayLike | None, rows: int) -> Floats:
    """Return how many rows each of n rows stands for, float64 (n,); ones where None is given.

    Raises:
        ValueError: a weight is not finite or not above 0, or there is not one for every row.

    >>> as_weights(None, 2).tolist()
    [1.0, 1.0]
    """
    if weights is None:
        return np.ones(rows)
    array = as_amounts("weight", weights)
    _refuse("weight", array, array <= 0, "0 or below")
    if array.size != rows:
        raise ValueError(f"metric inputs differ in length: weight {array.size}, rows {rows}")
    return array


def conversion_weights(columns: Columns, rows: int) -> Floats:
    """Return what each of n rows stands for in all about conversions, float64 (n,), 0 where these are not known.

    Args:
        columns: `weight` and `conversion_weight`, each 1 without the column.

    >>> conversion_weights({"weight": np.array([2.0, 2.0]), "conversion_weight": np.array([0.0, 1.0])}, 2).tolist()
    [0.0, 2.0]
    """
    weight, known = as_weights(columns.get("weight"), rows), columns.get("conversion_weight")
    return weight if known is None else weight * as_not_negative("conversion_weight", known)


def as_keys(name: str, values: npt.ArrayLike) -> Ints:
    """Return a 1-D int64 array of keys, or raise ValueError when they are not integers."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"metric input '{name}': {array.dtype} of shape {array.shape}, needs 1-D integer keys")
    return array.astype(np.int64)


def require_same_length(**arrays: npt.NDArray[np.generic]) -> None:
    """Raise ValueError when the arrays differ in length.

    >>> require_same_length(p_ctr=np.zeros(2), click=np.zeros(3))
    Traceback (most recent call last):
    ValueError: metric inputs differ in length: p_ctr 2, click 3
    """
    if len({array.shape[0] for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} {array.shape[0]}" for name, array in arrays.items())
        raise ValueError(f"metric inputs differ in length: {sizes}")


def _refuse(name: str, array: Floats, bad: npt.NDArray[np.bool_], reason: str) -> None:
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"metric input '{name}': {int(bad.sum())} of {array.size} values are {reason}, "
            f"the first at row {first} ({array[first]:g})"
        )
