"""Which later event a state is asked about: the next one, or any of the next hours.

The very next event mostly says that a user goes on with what it looks at now. An ad comes minutes or days later, so
events further ahead are closer to what it is asked: Pancha et al. 2022 (PinnerFormer, arXiv 2205.04507) draw them from
the next weeks and call it a dense all-action loss.

Every function returns the position of one event per state, int64 (B, T), and whether there is one, bool (B, T). A
position without an event is in [0, T), so that it may be read and thrown away.

Shape legend: B users, T events; padding stands at the end.
"""

import torch
from torch import Tensor

Targets = tuple[Tensor, Tensor]

_NEVER_US = torch.iinfo(torch.int64).max // 4


def next_event(mask_BT: Tensor) -> Targets:
    """The event after each one.

    >>> position, there = next_event(torch.tensor([[True, True, False]]))
    >>> position.tolist(), there.tolist()
    ([[1, 2, 2]], [[True, False, False]])
    """
    length = mask_BT.shape[1]
    position = torch.arange(1, length + 1, device=mask_BT.device).expand(mask_BT.shape)
    there = torch.zeros_like(mask_BT)
    there[:, :-1] = mask_BT[:, 1:]
    return position.clamp_max(length - 1), there & mask_BT


def any_within(time_us_BT: Tensor, mask_BT: Tensor, span_us: int) -> Targets:
    """One of the events of the next `span_us`, drawn at random: on average the loss of all of them.

    >>> times, real = torch.tensor([[0, 4, 5, 90]]), torch.ones(1, 4, dtype=torch.bool)
    >>> position, there = any_within(times, real, span_us=5)
    >>> there.tolist(), position[0, 0].item() in (1, 2), position[0, 1].item()
    ([[True, True, False, False]], True, 2)
    """
    length = mask_BT.shape[1]
    ordered_us = torch.where(mask_BT, time_us_BT, _NEVER_US).contiguous()
    real_B1 = mask_BT.sum(1, keepdim=True)
    end = torch.searchsorted(ordered_us, ordered_us + span_us, right=True).minimum(real_B1)
    place = torch.arange(length, device=mask_BT.device).expand(mask_BT.shape)
    count = (end - place - 1).clamp_min(0)
    # By time first, so that padding at the end changes no draw.
    drawn = (torch.rand(mask_BT.T.shape, device=mask_BT.device).T * count).long()
    return (place + 1 + drawn).clamp_max(length - 1), (count > 0) & mask_BT
