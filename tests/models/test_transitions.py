"""What follows what in the events of others: counted by hand on small worlds."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.models import transitions as module
from rosa_ray.models.transitions import HORIZONS, KINDS, LATELY, LONG, NAMES, PRIOR_PAIRS, Counted, Pairs, Transitions
from rosa_ray.schema import FOLDS

A, B, C = 1, 2, 3
ROWS = 4
WORLD = [[A, B, C], [A, B], [A, B, C]]
TO_B = [[A, B], [C, A]] * 9
"""Half of all pairs end in B, and all that begin with A do."""


def pairs_of(sequences: Sequence[Sequence[int]], folds: Sequence[int], horizon: int) -> Pairs:
    """Pairs of users with these events, in these folds."""
    offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    row = np.array([row for sequence in sequences for row in sequence], np.int64)
    return Pairs.count(row, offsets, np.array(folds), ROWS, horizon)


def lift(pairs: Pairs, first: int, then: int, fold: int | None) -> float:
    told = None if fold is None else torch.tensor([fold])
    return float(pairs.log_lift(torch.tensor([first]), torch.tensor([then]), told)[0])


def part(sequences: Sequence[Sequence[int]], folds: Sequence[int]) -> Transitions:
    """Items follow each other as given, and categories never."""
    found = Transitions(dict.fromkeys(KINDS, ROWS))
    offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    row = np.array([row for sequence in sequences for row in sequence], np.int64)
    found.take([found.count({"item": row, "category": np.zeros_like(row)}, offsets, np.array(folds))])
    return found


def read(transitions: Transitions, events: Sequence[int], ad: int, visible: int, fold: int = 0) -> dict[str, float]:
    """Scalars of one ad by name, of items."""
    row = torch.tensor([list(events) or [0]])
    events_of = {"item": row, "category": torch.zeros_like(row)}
    shown = {"item": torch.tensor([[ad]]), "category": torch.tensor([[0]]), "visible": torch.tensor([[visible]])}
    found = transitions(shown, events_of, torch.tensor([fold]))[0, 0]
    assert found.shape == (transitions.width,)
    assert found[len(NAMES) :].abs().max() == 0
    return dict(zip(NAMES, found[: len(NAMES)].tolist(), strict=True))


def test_a_lift_is_pairs_over_those_expected_of_other_folds() -> None:
    """Fold 0 has no users. Of 5 pairs A is first of 3 and B second of 3: by chance they were 3 · 3 / 5."""
    pairs = pairs_of(WORLD, [1, 2, 3], horizon=1)
    for fold in (0, None):
        assert lift(pairs, A, B, fold) == pytest.approx(math.log((3 + PRIOR_PAIRS) / (3 * 3 / 5 + PRIOR_PAIRS)))
        assert lift(pairs, A, C, fold) == pytest.approx(math.log((0 + PRIOR_PAIRS) / (3 * 2 / 5 + PRIOR_PAIRS)))
        assert lift(pairs, B, A, fold) == pytest.approx(0)


def test_the_readers_own_fold_does_not_count() -> None:
    pairs = pairs_of(WORLD, [1, 2, 3], horizon=1)
    assert lift(pairs, A, B, 1) == pytest.approx(math.log((2 + PRIOR_PAIRS) / (2 * 2 / 3 + PRIOR_PAIRS)))


def test_a_horizon_reaches_over_events_between_and_not_over_users() -> None:
    pairs = pairs_of([[A, B, C], [A, B, C]], [1, 2], horizon=2)
    assert pairs.counts.sum() == 6
    assert lift(pairs, A, C, 0) == pytest.approx(math.log((2 + PRIOR_PAIRS) / (4 * 4 / 6 + PRIOR_PAIRS)))
    assert lift(pairs, C, A, 0) == pytest.approx(0)


def test_a_pair_that_was_seen_once_is_none_and_a_missing_row_says_nothing() -> None:
    pairs = pairs_of([[A, B], [0, 0, 0]], [1, 1], horizon=1)
    assert lift(pairs, A, B, 0) == pytest.approx(math.log(PRIOR_PAIRS / (1 + PRIOR_PAIRS)))
    assert pairs.counts.sum() == 1
    for first, then in ((0, 0), (0, A), (A, 0)):
        assert lift(pairs, first, then, 0) == 0


def test_of_a_pair_that_others_had_once_nothing_is_read_whatever_the_reader_did() -> None:
    once = pairs_of([[A, B], [A, B], [C, B]], [1, 2, 3], horizon=1)
    assert lift(once, A, B, 1) == pytest.approx(math.log(PRIOR_PAIRS / (1 * 2 / 2 + PRIOR_PAIRS)))


def test_scalars_of_an_ad_after_the_last_events() -> None:
    transitions = part(WORLD, [1, 2, 3]).train()
    near, far = transitions.pairs["item", HORIZONS[0]], transitions.pairs["item", HORIZONS[1]]
    found = read(transitions, [C, B, A, C], ad=B, visible=3)
    steps = [lift(far, first, B, 0) for first in (A, B, C)]
    assert found["next"] == pytest.approx(lift(near, A, B, 0))
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


def test_the_most_frequent_pairs_are_kept_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAIRS", 2)
    whole = pairs_of([[A, B], [B, C], [C, A]] * 2 + [[B, C], [C, A]], [0] * 8, horizon=1)
    kept = Pairs.none(ROWS).merge(whole)
    assert kept.codes.tolist() == [B * ROWS + C, C * ROWS + A]
    assert kept.before.equal(whole.before)


TIMELINES = st.lists(st.lists(st.integers(0, ROWS - 1), max_size=8), min_size=1, max_size=6)


@given(TIMELINES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_parts_in_any_order_are_the_whole(sequences: list[list[int]], cut: int, order: "np.random.Generator") -> None:
    folds = [number % FOLDS for number in range(len(sequences))]
    users = list(zip(sequences, folds, strict=True))
    whole = pairs_of(sequences, folds, 3)
    parts = [part for part in (users[:cut], users[cut:]) if part]
    order.shuffle(parts)
    merged = Pairs.none(ROWS)
    for some in parts:
        merged = merged.merge(pairs_of([sequence for sequence, _ in some], [fold for _, fold in some], 3))
    for name in ("codes", "counts", "before", "after"):
        assert getattr(merged, name).equal(getattr(whole, name)), name


@given(TIMELINES)
def test_counted_pairs_are_those_of_a_loop(sequences: list[list[int]]) -> None:
    found, horizon = pairs_of(sequences, [0] * len(sequences), 3), 3
    expected: dict[int, int] = {}
    for rows in sequences:
        for at, first in enumerate(rows):
            for then in rows[at + 1 : at + 1 + horizon]:
                if first and then:
                    expected[first * ROWS + then] = expected.get(first * ROWS + then, 0) + 1
    assert dict(zip(found.codes.tolist(), found.counts.sum(1).tolist(), strict=True)) == expected


def test_nothing_counted_is_read_as_nothing() -> None:
    transitions = Transitions(dict.fromkeys(KINDS, ROWS))
    transitions.take([])
    assert isinstance(transitions.nothing(), Counted)
    assert set(read(transitions, [A], B, 1).values()) == {0.0}
