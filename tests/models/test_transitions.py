"""What follows what in the events of others: counted by hand on small worlds."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from rosa_ray.models.transitions import HORIZONS, KINDS, LATELY, LONG, NAMES, Counted, Transitions
from rosa_ray.units import NO_PRICE

A, B, C = 1, 2, 3
ROWS = 4
WORLD = [[A, B, C], [A, B], [A, B, C]]
TO_B = [[A, B], [C, A]] * 9
"""Half of all pairs end in B, and all that begin with A do."""


def part(sequences: Sequence[Sequence[int]], folds: Sequence[int]) -> Transitions:
    """Items follow each other as given, and categories never."""
    found = Transitions(dict.fromkeys(KINDS, ROWS))
    offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    row = np.array([row for sequence in sequences for row in sequence], np.int64)
    columns = {"item": row, "category": np.zeros_like(row), "log_price": np.full_like(row, NO_PRICE)}
    found.take([found.count(columns, offsets, np.array(folds))])
    return found


def read(transitions: Transitions, events: Sequence[int], ad: int, visible: int, fold: int = 0) -> dict[str, float]:
    """Scalars of one ad by name, of items."""
    row = torch.tensor([list(events) or [0]])
    events_of = {"item": row, "category": torch.zeros_like(row)}
    shown = {"item": torch.tensor([[ad]]), "category": torch.tensor([[0]]), "visible": torch.tensor([[visible]])}
    found = transitions(shown, events_of, torch.tensor([fold])).values[0, 0]
    assert found.shape == (transitions.width,)
    assert found[len(NAMES) :].abs().max() == 0
    return dict(zip(NAMES, found[: len(NAMES)].tolist(), strict=True))


def test_scalars_of_an_ad_after_the_last_events() -> None:
    transitions = part(WORLD, [1, 2, 3]).train()
    near, far = transitions.pairs["item", HORIZONS[0]], transitions.pairs["item", HORIZONS[1]]
    found = read(transitions, [C, B, A, C], ad=B, visible=3)
    read_by = torch.tensor([0])
    steps = [float(far.log_lift(torch.tensor([first]), torch.tensor([B]), read_by)[0]) for first in (A, B, C)]
    assert found["next"] == pytest.approx(float(near.log_lift(torch.tensor([A]), torch.tensor([B]), read_by)[0]))
    assert [found[f"follow_{n}"] for n in (1, 2, 3)] == pytest.approx(steps)
    assert found["follow_4"] == found["follow_5"] == 0
    assert found["mean_lately"] == found["mean_long"] == pytest.approx(np.mean(steps))
    assert found["most_lately"] == found["most_long"] == pytest.approx(max(steps))


def test_without_events_there_is_nothing_to_follow() -> None:
    assert set(read(part(WORLD, [1, 2, 3]), [], ad=B, visible=0).values()) == {0.0}


def test_only_the_last_events_are_read() -> None:
    transitions = part(TO_B, [1, 2, 3] * 6)
    many = [A] + [C] * LONG
    assert read(transitions, many, ad=B, visible=len(many))["most_long"] <= 0
    assert read(transitions, many[:-1], ad=B, visible=LONG)["most_long"] > 0
    assert read(transitions, many, ad=B, visible=LATELY + 1)["most_lately"] <= 0
    assert read(transitions, many, ad=B, visible=LATELY)["most_lately"] > 0


def test_in_training_a_user_reads_the_counts_of_other_folds_alone() -> None:
    transitions = part(TO_B, [2] * 18).train()
    own, others = (read(transitions, [A], B, 1, fold=fold)["next"] for fold in (2, 1))
    assert own == 0
    assert others == pytest.approx(read(transitions.eval(), [A], B, 1, fold=2)["next"])


def test_new_weights_are_read_at_once_however_many_pairs_they_hold() -> None:
    transitions = part(WORLD, [1, 2, 3]).eval()
    before = read(transitions, [A], B, 1)
    transitions.load_state_dict(part([[B, A], [C, B]] * 9, [1] * 18).state_dict())
    assert before["next"] > 0 == read(transitions, [A], B, 1)["next"]
    assert read(transitions, [B], A, 1)["next"] > 0


def test_weights_of_other_tables_and_of_none_are_refused() -> None:
    transitions = part(WORLD, [1, 2, 3])
    wider = Transitions(dict.fromkeys(KINDS, ROWS + 1)).state_dict()
    with pytest.raises(RuntimeError, match="item_1_before has shape"):
        transitions.load_state_dict(wider)
    with pytest.raises(RuntimeError, match="Missing key"):
        transitions.load_state_dict({})


def test_running_means_of_weights_keep_the_pairs() -> None:
    transitions = part(WORLD, [1, 2, 3])
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), transitions)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.7), use_buffers=True
    )
    for _ in range(5):
        averaged.update_parameters(model)
    for name, values in model.state_dict().items():
        assert averaged.module.state_dict()[name].equal(values), name


def test_nothing_counted_is_read_as_nothing() -> None:
    transitions = Transitions(dict.fromkeys(KINDS, ROWS))
    transitions.take([])
    assert isinstance(transitions.nothing(), Counted)
    assert set(read(transitions, [A], B, 1).values()) == {0.0}
