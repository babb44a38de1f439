"""Second-price auctions in blocks: what was for sale, what it was worth, and what the others bid for it."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints


@dataclass(frozen=True)
class Auctions:
    """Blocks of auctions in time order. A block is spent from one budget.

    Shape legend: B blocks, T auctions of a block.

    Attributes:
        price_BT: int64, the market price: the highest bid of the others, which the winner pays, >= 0. Any whole unit;
            for iPinYou fen per thousand impressions.
        value_BT: float64, what winning is worth, >= 0, in expected clicks: the predicted click probability.
        click_BT: int64, 1 where the impression was clicked, else 0.

    >>> auctions = Auctions.in_blocks([3, 5, 2, 4, 9], [0.1, 0.2, 0.1, 0.3, 0.5], [0, 0, 1, 0, 0], 2)
    >>> auctions.price_BT.tolist(), auctions.blocks, auctions.length
    ([[3, 5], [2, 4]], 2, 2)
    """

    price_BT: Ints
    value_BT: Floats
    click_BT: Ints

    def __post_init__(self) -> None:
        shapes = {array.shape for array in (self.price_BT, self.value_BT, self.click_BT)}
        if len(shapes) > 1 or self.price_BT.ndim != 2:
            raise ValueError(f"prices, values and clicks need one shape (blocks, auctions), not {sorted(shapes)}")
        if not self.price_BT.size:
            raise ValueError("there are no auctions")
        if self.price_BT.min() < 0 or not (np.isfinite(self.value_BT).all() and self.value_BT.min() >= 0):
            raise ValueError("prices and values must be finite and not negative")

    @classmethod
    def in_blocks(
        cls, price: npt.ArrayLike, value: npt.ArrayLike, click: npt.ArrayLike, auctions_per_block: int
    ) -> "Auctions":
        """Cut a log of n auctions, in time order, into blocks of equal length; a shorter rest is left out.

        Args:
            price, value, click: as of the class, each (n,).
            auctions_per_block: T, at least 1.

        Raises:
            ValueError: there is no whole block, or a number is negative or not finite.
        """
        blocks = len(np.asarray(price)) // auctions_per_block
        shape = (blocks, auctions_per_block)
        cut = [np.asarray(array)[: blocks * auctions_per_block].reshape(shape) for array in (price, value, click)]
        return cls(cut[0].astype(np.int64), cut[1].astype(np.float64), cut[2].astype(np.int64))

    @property
    def blocks(self) -> int:
        """B, at least 1."""
        return self.price_BT.shape[0]

    @property
    def length(self) -> int:
        """T, auctions of a block, at least 1."""
        return self.price_BT.shape[1]

    def halves(self) -> tuple["Auctions", "Auctions"]:
        """The first half of the blocks, to tune on, and the others, to test on. Of an odd number the test has one more.

        Raises:
            ValueError: there is one block only.
        """
        if self.blocks < 2:
            raise ValueError("one block cannot be halved into tuning and test")
        middle = self.blocks // 2
        first, last = slice(0, middle), slice(middle, None)
        return self._of(first), self._of(last)

    def budget(self, share: float | Fraction) -> int:
        """What a block may spend, in the unit of prices: a share of what all its auctions cost at the mean price.

        This is `c0` of Cai et al., WSDM 2017: share x T x mean market price, rounded down.

        >>> Auctions.in_blocks([3, 5, 2, 4], [0.1] * 4, [0] * 4, 2).budget(Fraction(1, 2))
        3
        """
        total = Fraction(int(self.price_BT.sum()), self.blocks)
        return int(total * Fraction(share))

    def _of(self, blocks: slice) -> "Auctions":
        return Auctions(self.price_BT[blocks], self.value_BT[blocks], self.click_BT[blocks])
