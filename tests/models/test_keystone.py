"""The keystone: encoder states depend on the past only, so one encoding serves training and serving alike.

What that means for scores is held for every ranker in `test_rankers`.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import EncodedUsers
from rosa_ray.models import build_ranker
from rosa_ray.models.rankers.rosa import Ranker
from tests.synthetic import encoded_users

WINDOW = 6


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"behavior_bias": False},
        {"decay": False},
        {"shared_tables": False},
        {"foresight": True, "transitions": True, "field_attention": True},
    ],
)
def trained(request: pytest.FixtureRequest) -> tuple[Ranker, EncodedUsers]:
    """A ranker whose every weight is random, so that no part is silent at its starting value."""
    users, state = encoded_users(events=600)
    torch.manual_seed(1)
    config = {
        "width": 16,
        "layers": 2,
        "heads": 2,
        "window": WINDOW,
        "match_window": WINDOW,
        "hidden": (16,),
        **request.param,
    }
    ranker = build_ranker("rosa", config, state.table_sizes, state.base_rates)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return ranker.eval(), users


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_incremental_states_equal_recomputed_states(data: st.DataObject) -> None:
    users, state = encoded_users(events=200)
    torch.manual_seed(2)
    config = {"width": 16, "layers": 3, "heads": 2, "window": WINDOW, "hidden": (8,)}
    ranker = build_ranker("rosa", config, state.table_sizes, state.base_rates).eval()
    one = users.take(np.array([int(np.diff(users.event_offsets).argmax())]))
    events = {name: torch.from_numpy(values)[None] for name, values in one.events.items()}
    length = events["item"].shape[1]
    cuts = sorted(data.draw(st.sets(st.integers(1, length - 1), max_size=6)))
    with torch.inference_mode():
        whole = ranker.encode(events)
        cache, pieces = ranker.encoder.empty_cache(), []
        for start, stop in zip([0, *cuts], [*cuts, length], strict=True):
            piece, cache = ranker.extend({name: value[:, start:stop] for name, value in events.items()}, cache)
            pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-5, rtol=0)
    assert cache.time_us_BC.shape[1] == min(length, WINDOW - 1)


def test_states_recomputed_from_the_kept_tail_are_the_same(trained: tuple[Ranker, EncodedUsers]) -> None:
    ranker, users = trained
    one = users.take(np.array([int(np.diff(users.event_offsets).argmax())]))
    events = {name: torch.from_numpy(values)[None] for name, values in one.events.items()}
    tail = {name: value[:, -ranker.context_events :] for name, value in events.items()}
    assert tail["item"].shape[1] < events["item"].shape[1]
    with torch.inference_mode():
        whole, kept = ranker.encode(events), ranker.encode(tail)
    torch.testing.assert_close(kept[:, -WINDOW:], whole[:, -WINDOW:], atol=1e-5, rtol=0)
