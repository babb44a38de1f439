"""Whom ads are for: optional lists of devices and regions, kept once for all ads that share them."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

EVERYONE = 0
"""The number of the target of ads without lists."""

KEPT_CONTEXTS = 256
"""Pairs of device and region whose answer is kept."""

_Lists = tuple[tuple[str, ...] | None, tuple[str, ...] | None]


class Targets:
    """Numbers targets, and tells which of them a context meets.

    >>> targets = Targets()
    >>> mobile = targets.number(["mobile"], None)
    >>> targets.met("mobile", None)[[EVERYONE, mobile]], targets.met(None, "north")[[EVERYONE, mobile]]
    (array([ True,  True]), array([ True, False]))
    """

    def __init__(self) -> None:
        self._lists: list[_Lists] = [(None, None)]
        self._number_of: dict[_Lists, int] = {(None, None): EVERYONE}
        self._met: OrderedDict[tuple[str | None, str | None], np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lists)

    def number(self, devices: Sequence[str] | None, regions: Sequence[str] | None) -> int:
        """The number of a target; None is every device, or every region."""
        lists = (None if devices is None else tuple(devices), None if regions is None else tuple(regions))
        number = self._number_of.setdefault(lists, len(self._lists))
        if number == len(self._lists):
            self._lists.append(lists)
        return number

    def met(self, device: str | None, region: str | None) -> np.ndarray:
        """Which targets a context meets, bool (len(self),). What a request does not say is in no list."""
        context = device, region
        known = self._met.pop(context, np.empty(0, bool))
        new = [_has(devices, device) and _has(regions, region) for devices, regions in self._lists[len(known) :]]
        met = self._met[context] = np.append(known, new).astype(bool) if new else known
        while len(self._met) > KEPT_CONTEXTS:
            self._met.popitem(last=False)
        return met


def _has(wanted: tuple[str, ...] | None, said: str | None) -> bool:
    return wanted is None or said in wanted
