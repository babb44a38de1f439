"""How well the stored states describe a user at the time of a request: what λ is decided on."""

from dataclasses import dataclass

import numpy as np

from rosa_ray.models.gate import HISTORY_INPUTS
from rosa_ray.schema import Behavior
from rosa_ray.serving.messages import Columns, OfflineStates
from rosa_ray.units import HOUR_US, SECOND_US


@dataclass(frozen=True)
class Freshness:
    """A user's history and its stored states at one moment.

    Attributes:
        history_events: events of the user before the request, as many as the encoder can use.
        has_states: there are states that the serving model encoded.
        events_since: events after the last encoded one; all of them without states.
        stale: a late event landed among the encoded ones.
        staleness_s: request time minus the time of the last encoded event, None without states.
        actions_since: those of `events_since` that are more than a view.
        idle_s: request time minus the time of the last event, None without history.
        events_last_hour: events within an hour before the request, as many as the encoder can use.
    """

    history_events: int
    has_states: bool
    events_since: int
    stale: bool
    staleness_s: float | None
    actions_since: int = 0
    idle_s: float | None = None
    events_last_hour: int = 0

    @property
    def gate_inputs(self) -> dict[str, float]:
        """`HISTORY_INPUTS` by name. A late event among the encoded ones counts as one event more that states lack."""
        values = {name: float(getattr(self, name) or 0.0) for name in HISTORY_INPUTS}
        values["events_since"] = min(self.events_since + self.stale, self.history_events)
        return values


def freshness_of(events: Columns, offline: OfflineStates | None, time_us: int) -> Freshness:
    """Describe a user at a request.

    Args:
        events: `EVENT_COLUMNS` of the events before the request, as many as the encoder can use.
        offline: stored states of the serving model, None if there are none.
    """
    event_us, count = events["time_us"], len(events["time_us"])
    stored = offline if offline is not None and len(offline.states) else None
    since = count if stored is None else min(stored.events_since, count)
    return Freshness(
        history_events=count,
        has_states=stored is not None,
        events_since=since,
        stale=stored is not None and stored.stale,
        staleness_s=None if stored is None else (time_us - int(stored.events["time_us"][-1])) / SECOND_US,
        actions_since=int((events["behavior"][count - since :] != Behavior.VIEW).sum()),
        idle_s=(time_us - int(event_us[-1])) / SECOND_US if count else None,
        events_last_hour=count - int(np.searchsorted(event_us, time_us - HOUR_US, side="left")),
    )
