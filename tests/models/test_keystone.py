"""The keystone: encoder states depend on the past only, so one encoding serves training and serving alike."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import EncodedUsers, collate
from rosa_ray.models import UserBatch, build_ranker
from rosa_ray.models.rankers.rosa import Ranker
from tests.synthetic import encoded_users

WINDOW = 6


@pytest.fixture(scope="module", params=[{}, {"behavior_bias": False}, {"decay": False}, {"shared_tables": False}])
def trained(request: pytest.FixtureRequest) -> tuple[Ranker, EncodedUsers]:
    """A ranker whose every weight is random, so that no part is silent at its starting value."""
    users, state = encoded_users(events=600)
    torch.manual_seed(1)
    config = {"width": 16, "layers": 2, "heads": 2, "window": WINDOW, "hidden": (16,), **request.param}
    ranker = build_ranker("rosa", config, state.table_sizes, state.base_rates)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return ranker.eval(), users


def scores(ranker: Ranker, users: EncodedUsers) -> np.ndarray:
    """All three outputs of every impression, (I, 3), all users in one padded batch."""
    with torch.inference_mode():
        batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
        out = ranker(batch)
    stacked = torch.stack([out.ctr_logit, out.cvr_logit, out.log_value], dim=-1)
    flat = np.empty((len(users.dense), 3), np.float32)
    flat[batch.row[batch.impression_mask].numpy()] = stacked[batch.impression_mask].numpy()
    return flat


def history_before(users: EncodedUsers, impression: int) -> EncodedUsers:
    """A request by hand: one user, only the events before the impression, one candidate."""
    user = int(np.searchsorted(users.impression_offsets, impression, side="right") - 1)
    start = users.event_offsets[user]
    stop = start + users.impressions["visible"][impression]
    return EncodedUsers(
        user_key=users.user_key[user : user + 1],
        event_offsets=np.array([0, stop - start]),
        events={name: values[start:stop] for name, values in users.events.items()},
        impression_offsets=np.array([0, 1]),
        impressions={name: values[impression : impression + 1] for name, values in users.impressions.items()},
        dense=users.dense[impression : impression + 1],
    )


def test_user_major_scores_equal_per_request_scores(trained: tuple[Ranker, EncodedUsers]) -> None:
    ranker, users = trained
    together = scores(ranker, users)
    one_by_one = np.concatenate([scores(ranker, history_before(users, row)) for row in range(len(users.dense))])
    assert (users.impressions["visible"] == 0).any()
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)


def test_a_later_event_changes_no_earlier_score(trained: tuple[Ranker, EncodedUsers]) -> None:
    ranker, users = trained
    before = scores(ranker, users)
    cut = int(np.median(users.impressions["time_us"]))
    changed = users.events["time_us"] >= cut
    replaced = np.where(changed, (users.events["item"] + 7) % 30, users.events["item"])
    behavior = np.where(changed, 3 - users.events["behavior"], users.events["behavior"])
    events = {**users.events, "item": replaced, "behavior": behavior}
    after = scores(ranker, EncodedUsers(**{**users.__dict__, "events": events}))
    early = users.impressions["time_us"] <= cut
    np.testing.assert_array_equal(before[early], after[early])
    assert np.abs(before[~early] - after[~early]).max() > 1e-3


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


def test_trimming_events_no_impression_needs_changes_no_score(trained: tuple[Ranker, EncodedUsers]) -> None:
    ranker, users = trained
    late = users.keep_impressions(users.impressions["time_us"] > np.median(users.impressions["time_us"]))
    trimmed = late.trim(ranker.context_events)
    assert len(trimmed.events["item"]) < len(late.events["item"])
    np.testing.assert_allclose(scores(ranker, trimmed), scores(ranker, late), atol=1e-5)


def test_permuting_candidates_permutes_scores(trained: tuple[Ranker, EncodedUsers]) -> None:
    ranker, users = trained
    before = scores(ranker, users)
    order = np.concatenate(
        [
            np.random.default_rng(0).permutation(np.arange(start, stop))
            for start, stop in zip(users.impression_offsets[:-1], users.impression_offsets[1:], strict=True)
        ]
    )
    shuffled = EncodedUsers(
        **{
            **users.__dict__,
            "impressions": {name: values[order] for name, values in users.impressions.items()},
            "dense": users.dense[order],
        }
    )
    np.testing.assert_allclose(scores(ranker, shuffled), before[order], atol=1e-5)


def test_padding_and_company_change_no_score(trained: tuple[Ranker, EncodedUsers]) -> None:
    ranker, users = trained
    together = scores(ranker, users)
    alone = np.concatenate([scores(ranker, users.take(np.array([user]))) for user in range(len(users))])
    np.testing.assert_allclose(together, alone, atol=1e-5)
