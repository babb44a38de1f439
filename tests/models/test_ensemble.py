"""Members as one ranker: the mean of what they expect, their spread, and states side by side."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rosa_ray.errors import BundleError
from rosa_ray.features import EncodedUsers
from rosa_ray.inference import load_ranker, predict
from rosa_ray.models import Predictions, build_ranker, ensemble_of, join_weights, keeps_states
from rosa_ray.models.ensemble import mean_predictions
from tests.described import described
from tests.models.test_rankers import small, whole_batch
from tests.synthetic import encoded_users

MEMBERS = 3


def members_of(name: str) -> tuple[list[nn.Module], EncodedUsers, dict[str, object]]:
    users, state = encoded_users(events=300)
    members = []
    for seed in range(MEMBERS):
        torch.manual_seed(seed)
        member = build_ranker(name, small(name), state.table_sizes, state.base_rates)
        with torch.no_grad():
            for parameter in member.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        members.append(member.eval())
    return members, users, described(name, small(name), state) | {"members": MEMBERS}


def logit(p: float) -> Tensor:
    return torch.logit(torch.tensor([p], dtype=torch.float64)).float()


def test_clicks_conversions_and_revenue_are_averaged_as_expected_of_an_impression() -> None:
    one = Predictions(logit(0.1), logit(0.5), torch.log(torch.tensor([10.0])))
    other = Predictions(logit(0.3), logit(0.1), torch.log(torch.tensor([40.0])))
    mean = mean_predictions([one, other])
    assert mean.p_ctr.item() == pytest.approx(0.2)
    assert mean.p_cvr.item() == pytest.approx((0.05 + 0.03) / 2 / 0.2)
    assert mean.value.item() == pytest.approx((0.05 * 10 + 0.03 * 40) / (0.05 + 0.03), rel=1e-5)
    assert mean.ctr_spread is not None
    assert mean.ctr_spread.item() == pytest.approx(np.std([0.1, 0.3], ddof=1))


def test_members_that_agree_have_no_spread() -> None:
    one = Predictions(logit(0.1), logit(0.5), torch.zeros(1))
    mean = mean_predictions([one, one, one])
    assert mean.ctr_spread is not None
    assert mean.ctr_spread.item() == 0
    torch.testing.assert_close(mean.ctr_logit, one.ctr_logit)
    torch.testing.assert_close(mean.cvr_logit, one.cvr_logit)


@pytest.mark.parametrize("name", ["rosa", "din"])
def test_an_ensemble_scores_as_the_mean_of_its_members(name: str) -> None:
    members, users, description = members_of(name)
    whole = load_ranker(description, join_weights([member.state_dict() for member in members]))
    assert keeps_states(whole) == keeps_states(members[0])
    found, each = predict(whole, users), [predict(member, users) for member in members]
    np.testing.assert_allclose(found["p_ctr"], np.mean([one["p_ctr"] for one in each], axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["p_ctcvr"], np.mean([one["p_ctcvr"] for one in each], axis=0), rtol=1e-5)
    revenue = [one["p_ctcvr"] * one["value"] for one in each]
    np.testing.assert_allclose(found["p_ctcvr"] * found["value"], np.mean(revenue, axis=0), rtol=1e-5)


def test_states_of_all_members_are_kept_and_extended() -> None:
    members, users, _ = members_of("rosa")
    whole = ensemble_of(members)
    assert keeps_states(whole)
    batch = whole_batch(users.take(np.array([int(np.diff(users.event_offsets).argmax())])))
    with torch.inference_mode():
        states = whole.encode(batch.events)
        assert states.shape[-1] == whole.width == MEMBERS * members[0].width  # type: ignore[operator]
        scored, forward = whole.score(states, batch), whole(batch)
        torch.testing.assert_close(scored.ctr_logit, forward.ctr_logit)
        cache, pieces = whole.empty_cache(), []
        for start in range(0, states.shape[1], 7):
            piece = {column: values[:, start : start + 7] for column, values in batch.events.items()}
            new, cache = whole.extend(piece, cache)
            pieces.append(new)
    torch.testing.assert_close(torch.cat(pieces, dim=1), states, atol=2e-5, rtol=0)


def test_weights_of_too_few_members_are_refused() -> None:
    members, _, description = members_of("din")
    with pytest.raises(BundleError, match="the weights do not fit model 'din'"):
        load_ranker(description, join_weights([member.state_dict() for member in members[:2]]))
