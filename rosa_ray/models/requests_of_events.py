"""Moments of timelines as ad requests: at each, the event that came stands among events of other users.

Shape legend: B users, T events, P requests of a user, K candidates of a request, N = P · K.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

REQUESTS = 4
"""Requests that are drawn of a user in every pass."""

CANDIDATES = 8
"""Candidates of a request: the event that came, and others."""

_OF_THINGS = ("item", "category", "shared")


@dataclass(frozen=True)
class EventRequests:
    """Drawn requests of a batch.

    Attributes:
        position_BP: int64, the event that came; it sees the events before it.
        drawn_BPK: int64, events of the batch, flat in B · T; the one that came is first.
        wrong_BPK: bool, candidates that are no negative: of the same user, or the very item that came.
        real_BP: bool, False for users without events.
    """

    position_BP: Tensor
    drawn_BPK: Tensor
    wrong_BPK: Tensor
    real_BP: Tensor

    @classmethod
    def draw(cls, events: Mapping[str, Tensor], mask_BT: Tensor, user_B: Tensor | None = None) -> "EventRequests":
        """Draw requests and candidates at random; others come as often as they are popular.

        Args:
            user_B: equal for rows that are pieces of one user; None where every row is another user.
        """
        batch, length = mask_BT.shape
        user_B = torch.arange(batch, device=mask_BT.device) if user_B is None else user_B
        count_B1 = mask_BT.sum(1, keepdim=True)
        position_BP = (torch.rand(batch, REQUESTS, device=mask_BT.device) * count_B1).long().clamp_max(length - 1)
        real = mask_BT.flatten().nonzero().squeeze(1)
        real = real if len(real) else real.new_zeros(1)
        others_BPK = real[torch.randint(len(real), (batch, REQUESTS, CANDIDATES - 1), device=mask_BT.device)]
        came_BP1 = (torch.arange(batch, device=mask_BT.device)[:, None] * length + position_BP)[..., None]
        drawn_BPK = torch.cat([came_BP1, others_BPK], dim=-1)
        item_BPK, owner_BPK = events["item"].flatten()[drawn_BPK], user_B[drawn_BPK // length]
        wrong_BPK = (owner_BPK == owner_BPK[..., :1]) | (item_BPK == item_BPK[..., :1])
        wrong_BPK[..., 0] = False
        return cls(position_BP, drawn_BPK, wrong_BPK, (count_B1 > 0).expand_as(position_BP))

    def candidates(self, events: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is known of the candidates, each (B, N): `time_us` and `visible` of their request, and their rows."""
        many = self.drawn_BPK.shape[-1]
        drawn_BN = self.drawn_BPK.flatten(1)
        things = {name: events[name].flatten(0, 1)[drawn_BN] for name in _OF_THINGS if name in events}
        time_us_BP = events["time_us"].gather(1, self.position_BP)
        moments = {"time_us": time_us_BP, "visible": self.position_BP}
        return things | {name: values.repeat_interleave(many, dim=1) for name, values in moments.items()}
