"""Telling the category of a later event, among all categories: what objectives of pre-training have in common.

Items are many and each is rare; categories are few, and an ad is more often of a category that a state leads to than
of its very item. All categories are compared at once, so no draw of negatives adds noise.

Shape legend: B users, T events, N ads, D width.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from rosa_ray.models.embedding import SharedTables
from rosa_ray.models.event_targets import Targets
from rosa_ray.models.history_readings import readings
from rosa_ray.models.row_softmax import RowSoftmax


class CategoryAhead(nn.Module):
    """From each state, the category of one later event.

    Args:
        count_C: how often each row of the category table occurred.
        targets: from events and mask, which later event each state is asked about; see `event_targets`.
    """

    def __init__(self, width: int, count_C: Tensor, targets: Callable[[Mapping[str, Tensor], Tensor], Targets]) -> None:
        super().__init__()
        self.softmax = RowSoftmax(width, count_C)
        self._targets = targets

    def loss(
        self,
        states_BTD: Tensor,
        events: Mapping[str, Tensor],
        mask_BT: Tensor,
        tables: SharedTables,
        user_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sum of the cross-entropies and their number; see `Objective`."""
        position_BT, there_BT = self._targets(events, mask_BT)
        category_BT = events["category"].gather(1, position_BT)
        return self.softmax.loss(states_BTD[there_BT], category_BT[there_BT], tables.category.weight)

    def scores(
        self, states_BTD: Tensor, events: Mapping[str, Tensor], shown: Mapping[str, Tensor], tables: SharedTables
    ) -> Tensor:
        """What the states before each ad say of its category, (B, N, `WIDTH` of `history_readings`).

        Args:
            events: time_us of the T events.
            shown: category, time_us and visible of the ads, each (B, N).
        """
        lift_BNT = self.softmax.lifts(states_BTD, shown["category"], tables.category.weight)
        return readings(lift_BNT, shown["visible"], shown["time_us"], events["time_us"])
