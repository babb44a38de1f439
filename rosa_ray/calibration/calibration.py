"""The fitted calibration of a model: a curve per probability head and a factor of the value.

A model learns the rates of all impressions, since rows of a thinned log weigh what they stand for. Bundles from before
that learned the rates of the kept rows: theirs are corrected as in He et al. 2014, §6.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.calibration.curve import Curve
from rosa_ray.calibration.returns import Returns
from rosa_ray.calibration.value import weigh_value

FORMAT_VERSION = 1

WEIGHTED_VALUE_VERSION = 2
"""Of documents with a weight of the learned value, which earlier code would leave out."""


def correct_sampling(probabilities: npt.ArrayLike, negative_keep_rate: float) -> Floats:
    """Return probabilities on all impressions, from those learned where only a share of the negatives was kept.

    `p / (p + (1 - p) / w)` (He et al. 2014, §6.3).

    Args:
        negative_keep_rate: w, in (0, 1].

    >>> correct_sampling([0.5], 0.25).tolist()
    [0.2]
    """
    p = np.asarray(probabilities, np.float64)
    return p if negative_keep_rate == 1.0 else p / (p + (1.0 - p) / negative_keep_rate)


@dataclass(frozen=True)
class Calibration:
    """What turns raw scores into calibrated ones.

    p_ctr is calibrated on all impressions and p_cvr on the clicked ones, as ESMM defines the heads; their product is
    the calibrated p_ctcvr (Ma et al. 2018, §3). Within a head the order of scores never changes.

    >>> Calibration(value_factor=2.0).apply({"p_ctr": np.array([0.5]), "p_cvr": np.array([0.5]),
    ...                                      "value": np.array([3.0])})["value"].tolist()
    [6.0]

    Attributes:
        ctr, cvr: of the probability heads; the CTR curve takes probabilities after the sampling correction.
        value_factor: of the expected value of a conversion, above 0; 1 where the price is exact.
        value_weight: of what the value head learned beside the catalogue price, in [0, 1]; 0 is the price.
        negative_keep_rate: below 1 in bundles from before rows had weights: the share of the impressions without a
            click that the training log kept.
        conversions: what the factor was fitted on.
        returns: what ranking by return needs; it changes no score.
        fallbacks: parts that nothing could be fitted to, `ctr`, `cvr` or `value`, each with the reason.

    Raises:
        ValueError: the factor or the rate is out of range.
    """

    ctr: Curve = field(default_factory=Curve)
    cvr: Curve = field(default_factory=Curve)
    value_factor: float = 1.0
    negative_keep_rate: float = 1.0
    conversions: float = 0.0
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    value_weight: float = 1.0
    returns: Returns = field(default_factory=Returns)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value_factor) and self.value_factor > 0):
            raise ValueError(f"value factor is {self.value_factor}; it must be finite and above 0")
        if not 0 < self.negative_keep_rate <= 1:
            raise ValueError(f"negative keep rate is {self.negative_keep_rate}; it must be in (0, 1]")
        if not 0 <= self.value_weight <= 1:
            raise ValueError(f"value weight is {self.value_weight}; it must be in [0, 1]")

    @property
    def is_identity(self) -> bool:
        """Whether it changes no score."""
        plain = self.value_factor == 1.0 and self.value_weight == 1.0 and self.negative_keep_rate == 1.0
        return plain and self.ctr.is_identity and self.cvr.is_identity

    def apply(self, scores: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return calibrated scores; the identity returns them bit for bit.

        Args:
            scores: p_ctr, p_cvr and value, any equal shape, and the catalogue price where the value has a weight;
                p_ctcvr is made anew, further columns are kept.
        """
        if self.is_identity:
            return dict(scores)
        p_ctr = self.ctr(correct_sampling(scores["p_ctr"], self.negative_keep_rate))
        p_cvr = self.cvr(scores["p_cvr"])
        calibrated = {"p_ctr": p_ctr, "p_cvr": p_cvr, "p_ctcvr": p_ctr * p_cvr}
        value = scores["value"]
        if self.value_weight != 1.0:
            value = weigh_value(value, scores["price"], self.value_weight)
        return {**scores, **calibrated, "value": value * self.value_factor}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        weighted = {} if self.value_weight == 1.0 else {"weight": self.value_weight}
        document: dict[str, Any] = {
            "version": WEIGHTED_VALUE_VERSION if weighted else FORMAT_VERSION,
            "negative_keep_rate": self.negative_keep_rate,
            "heads": {"ctr": self.ctr.to_dict(), "cvr": self.cvr.to_dict()},
            "value": {"factor": self.value_factor, "conversions": _whole(self.conversions), **weighted},
        }
        document |= {"returns": self.returns.to_dict()} if self.returns != Returns() else {}
        return document | ({"fallbacks": dict(self.fallbacks)} if self.fallbacks else {})

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Calibration":
        """Inverse of `to_dict`.

        Raises:
            ValueError: it is no calibration of this format.
        """
        try:
            if document["version"] not in (FORMAT_VERSION, WEIGHTED_VALUE_VERSION):
                read = f"{FORMAT_VERSION} and {WEIGHTED_VALUE_VERSION}"
                raise ValueError(f"its version is {document['version']}, this code reads {read}")
            return cls(
                ctr=Curve.from_dict(document["heads"]["ctr"]),
                cvr=Curve.from_dict(document["heads"]["cvr"]),
                value_factor=float(document["value"]["factor"]),
                negative_keep_rate=float(document["negative_keep_rate"]),
                conversions=float(document["value"]["conversions"]),
                fallbacks=dict(document.get("fallbacks", {})),
                value_weight=float(document["value"].get("weight", 1.0)),
                returns=Returns.from_dict(document["returns"]) if "returns" in document else Returns(),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it lacks or misspells {error}") from error


def _whole(count: float) -> float | int:
    return int(count) if count == int(count) else count
