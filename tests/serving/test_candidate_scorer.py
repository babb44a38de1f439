"""What ads are scored against: how histories are cut and completed."""

import numpy as np

from rosa_ray.features import EVENT_COLUMNS
from rosa_ray.serving.candidate_scorer import History


def timeline(*time_us: int) -> dict[str, np.ndarray]:
    return {name: np.array(time_us) for name in EVENT_COLUMNS}


def test_a_history_keeps_what_the_model_reads() -> None:
    history = History.of(timeline(1, 2, 3, 4, 5), np.ones((2, 8), np.float32), score_events=4)
    assert history.events["time_us"].tolist() == [2, 3, 4, 5]
    assert history.states.shape == (2, 8)


def test_stored_events_are_preceded_by_older_ones_and_never_by_newer() -> None:
    stored = History(timeline(4, 5), np.ones((2, 8), np.float32))
    completed = stored.preceded_by(timeline(1, 2, 3, 4, 5, 6, 7), score_events=4)
    assert completed.events["item_key"].tolist() == [2, 3, 4, 5]
    assert completed.states is stored.states


def test_nothing_precedes_where_there_is_no_room_or_nothing_stored() -> None:
    stored, empty = History(timeline(4, 5), np.ones((2, 8))), History(timeline(), np.ones((0, 8)))
    assert stored.preceded_by(timeline(1, 2, 4, 5), score_events=2) is stored
    assert stored.preceded_by(timeline(4, 5, 6), score_events=9) is stored
    assert empty.preceded_by(timeline(1, 2), score_events=9) is empty
