"""LightGBM's trees at work, by its C interface alone.

The Python package imports pandas and scikit-learn, which every replica would pay for when it starts. Predicting needs
none of it. The library is the same, and so are the numbers.

Source: https://lightgbm.readthedocs.io/en/stable/C-API.html.
"""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # noqa: F401  # brings the OpenMP library that LightGBM's wheel leaves out

from rosa_ray.arrays import Floats
from rosa_ray.errors import ConfigError

_FLOAT32, _RAW_SCORE, _ALL = 0, 1, -1


class Forest:
    """Trees read from LightGBM's text.

    Attributes:
        rounds: how many trees there are.

    Raises:
        ConfigError: LightGBM cannot be loaded.
        ValueError: the text is none of its models.
    """

    def __init__(self, text: str) -> None:
        self.text, self._handle = text, ctypes.c_void_p()
        self._library = library()
        rounds = ctypes.c_int()
        loaded = self._library.LGBM_BoosterLoadModelFromString
        self._check(loaded(text.encode(), ctypes.byref(rounds), ctypes.byref(self._handle)))
        self.rounds = rounds.value

    def raw_score(self, values: npt.NDArray[np.float32]) -> Floats:
        """Sum of the leaves of every row of a matrix (I, C), float64 (I,).

        Raises:
            ValueError: the trees ask for another number of columns.
        """
        values = np.ascontiguousarray(values, np.float32)
        rows, columns = values.shape
        found, count = np.empty(rows), ctypes.c_int64()
        self._check(
            self._library.LGBM_BoosterPredictForMat(
                self._handle,
                values.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_int(_FLOAT32),
                ctypes.c_int32(rows),
                ctypes.c_int32(columns),
                ctypes.c_int(1),
                ctypes.c_int(_RAW_SCORE),
                ctypes.c_int(0),
                ctypes.c_int(_ALL),
                b"num_threads=1",
                ctypes.byref(count),
                found.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
            )
        )
        return found

    def __reduce__(self) -> tuple[type["Forest"], tuple[str]]:
        return Forest, (self.text,)

    def __del__(self) -> None:
        if self._handle:
            self._library.LGBM_BoosterFree(self._handle)

    def _check(self, code: int) -> None:
        if code:
            raise ValueError(f"LightGBM: {self._library.LGBM_GetLastError().decode()}")


@cache
def library() -> Any:
    """LightGBM's library.

    Raises:
        ConfigError: it, or the OpenMP library that it needs, is not installed.
    """
    package = importlib.util.find_spec("lightgbm")
    places = sorted(Path(package.origin).parent.glob("*/lib_lightgbm.*")) if package and package.origin else []
    try:
        if not places:
            raise OSError("it is not installed")
        opened = ctypes.CDLL(str(places[0]))
    except OSError as error:
        raise ConfigError(
            f"boosted trees need lightgbm, which cannot be loaded: {error}; install lightgbm and libgomp1, or set "
            "model.boosted=false and leave trees out of study.models"
        ) from error
    opened.LGBM_GetLastError.restype = ctypes.c_char_p
    return opened
