"""What an impression may use of its user's history: the last W events before it, pooled, counted or listed.

Every function takes `visible`, the number of the user's events strictly before an impression, so that one timeline
serves all of a user's impressions and no later event can be seen.

Shape legend: B users, T events, N impressions of a user, D width, W window, P pairs of an impression and an event.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def window_mask(visible_BN: Tensor, length: int, window: int) -> Tensor:
    """Bool (B, N, T): the event is among the last `window` of the `visible` ones.

    >>> window_mask(torch.tensor([[0, 3]]), 4, 2).int().tolist()
    [[[0, 0, 0, 0], [0, 1, 1, 0]]]
    """
    position = torch.arange(length, device=visible_BN.device)
    return (position < visible_BN[..., None]) & (position >= visible_BN[..., None] - window)


def window_mean(x_BTD: Tensor, mask_BNT: Tensor) -> Tensor:
    """Mean of the masked events, (B, N, D); zero where there is none.

    >>> window_mean(torch.tensor([[[1.0], [3.0], [9.0]]]), window_mask(torch.tensor([[0, 2]]), 3, 5)).tolist()
    [[[0.0], [2.0]]]
    """
    weight = mask_BNT.to(x_BTD.dtype)
    return weight @ x_BTD / weight.sum(-1, keepdim=True).clamp_min(1)


def last_visible(states_BTD: Tensor, visible_BN: Tensor, null_D: Tensor) -> Tensor:
    """State of the last visible event, (B, N, D); `null_D` where there is none.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> last_visible(states, torch.tensor([[0, 2]]), torch.tensor([-1.0])).tolist()
    [[[-1.0], [3.0]]]
    """
    null_B1D = null_D.to(states_BTD.dtype).expand(states_BTD.shape[0], 1, -1)
    states = torch.cat([null_B1D, states_BTD], dim=1)
    return states.gather(1, visible_BN[..., None].expand(-1, -1, states.shape[-1]))


@dataclass(frozen=True)
class WindowPairs:
    """Every impression with each event of its window, as flat rows: no padding among them.

    Attributes:
        event: int64 (P,), rows of (B, T, ...) flattened to (B·T, ...).
        impression: int64 (P,), ascending rows of (B, N, ...) flattened to (B·N, ...).
        impressions: B·N.
    """

    event: Tensor
    impression: Tensor
    impressions: int

    @classmethod
    def of(cls, visible_BN: Tensor, length: int, window: int) -> "WindowPairs":
        """List the pairs.

        Args:
            length: T, width of the padded timelines.

        >>> pairs = WindowPairs.of(torch.tensor([[0, 3], [1, 1]]), length=4, window=2)
        >>> pairs.event.tolist(), pairs.impression.tolist()
        ([1, 2, 4, 4], [1, 1, 2, 3])
        """
        visible = visible_BN.flatten()
        user = torch.arange(visible_BN.shape[0], device=visible.device).repeat_interleave(visible_BN.shape[1])
        counts = visible.clamp_max(window)
        impression = torch.repeat_interleave(counts)
        # The window ends at `visible` of the user's row of T. Pairs are numbered through all impressions, so taking off
        # the pairs up to and with this impression turns a pair's number into its event's place.
        shift = user * length + visible - counts.cumsum(0)
        return cls(torch.arange(len(impression), device=visible.device) + shift[impression], impression, len(visible))

    def split(self, size: int) -> list["WindowPairs"]:
        """Parts of at most `size` pairs, at least one."""
        parts = zip(self.event.split(size), self.impression.split(size), strict=True)
        return [WindowPairs(event, impression, self.impressions) for event, impression in parts]

    def events(self, flat: Tensor) -> Tensor:
        """Each pair's row of (B, T, ...), (P, ...)."""
        return flat.flatten(0, 1).index_select(0, self.event)

    def ads(self, flat: Tensor) -> Tensor:
        """Each pair's row of (B, N, ...), (P, ...)."""
        return flat.flatten(0, 1).index_select(0, self.impression)

    def total(self, values: Tensor) -> Tensor:
        """Sum of (P, K) values per impression, (B·N, K)."""
        zeros = values.new_zeros(self.impressions, values.shape[-1])
        return zeros.index_add(0, self.impression, values)
