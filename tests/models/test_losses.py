import math

import numpy as np
import pytest
import torch

from rosa_ray.models import (
    LossConfig,
    LossScales,
    Predictions,
    UserBatch,
    bills_clicks,
    labelled_loss,
    loss_terms,
    unlabelled_tasks,
)
from rosa_ray.models.losses import (
    LEAST_SIGMA,
    ctcvr_loss,
    ctr_loss,
    high_value_weight,
    log1m_exp,
    roi_loss,
    value_loss,
)

SCALES = LossScales(revenue_per_cost=2.0, median_price=10.0, ctcvr=0.5)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def predicted(
    p_ctr: list[float], p_cvr: list[float], value: list[float], log_sigma: float | None = None
) -> Predictions:
    rows = [torch.tensor([row], dtype=torch.float64) for row in (p_ctr, p_cvr, value)]
    sigma = None if log_sigma is None else torch.tensor(log_sigma, dtype=torch.float64)
    return Predictions(torch.logit(rows[0]), torch.logit(rows[1]), torch.log(rows[2]), sigma)


def test_ctr_loss_is_the_cross_entropy() -> None:
    loss = ctr_loss(predicted([0.8, 0.8], [0.5, 0.5], [1, 1]), torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    assert loss[0].tolist() == pytest.approx([-math.log(0.8), -math.log(0.2)])


def test_ctcvr_loss_is_the_cross_entropy_of_the_product() -> None:
    loss = ctcvr_loss(predicted([0.5, 0.5], [0.2, 0.2], [1, 1]), torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    assert loss[0].tolist() == pytest.approx([-math.log(0.1), -math.log(0.9)])


@pytest.mark.parametrize("scale", [-40.0, 40.0])
def test_ctcvr_loss_and_its_gradient_stay_finite_at_the_ends(scale: float) -> None:
    ctr, cvr = (torch.tensor([[scale, scale]], requires_grad=True) for _ in range(2))
    loss = ctcvr_loss(Predictions(ctr, cvr, torch.zeros(1, 2)), torch.tensor([[1.0, 0.0]]))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(ctr.grad).all()
    assert torch.isfinite(cvr.grad).all()


def test_log1m_exp_at_both_ends() -> None:
    x = torch.tensor([-1e-6, -math.log(2), -50.0], dtype=torch.float64)
    expected = [math.log(1e-6), math.log(0.5), -math.exp(-50)]
    assert log1m_exp(x).tolist() == pytest.approx(expected, rel=1e-5)


def test_roi_loss_is_the_tweedie_deviance_of_power_one_and_a_half() -> None:
    """Mean 0.5 · 0.4 · 15 = 3; a spend of 0.5 at 2 per unit is 1: y = 8 against μ = 3, and y = 0; each raised by 1."""
    predictions = predicted([0.5, 0.5], [0.4, 0.4], [15.0, 15.0])
    revenue, cost = torch.tensor([[8.0, 0.0]], dtype=torch.float64), torch.full((1, 2), 0.5, dtype=torch.float64)
    power = 1.5

    def deviance(y: float, mu: float) -> float:
        parts = y ** (2 - power) / ((1 - power) * (2 - power)), y * mu ** (1 - power) / (1 - power)
        return 2 * (parts[0] - parts[1] + mu ** (2 - power) / (2 - power))

    expected = [deviance(9, 4), deviance(1, 4)]
    assert expected == pytest.approx([2.0, 2.0])
    halves = [SCALES.ctcvr * part for part in expected]
    assert roi_loss(predictions, revenue, cost, SCALES)[0].tolist() == pytest.approx(halves)


def test_a_conversion_where_none_was_expected_does_not_outweigh_everything() -> None:
    revenue, cost = torch.tensor([[8.0]]), torch.tensor([[0.5]])
    losses = [roi_loss(predicted([p], [0.4], [15.0]), revenue, cost, SCALES).item() for p in (1e-4, 1e-8, 1e-12)]
    assert losses[2] == pytest.approx(losses[0], rel=0.01)
    assert losses[2] <= 8.0


def test_roi_loss_is_least_at_the_mean_of_skewed_revenue() -> None:
    revenue = torch.tensor([[0.0, 0.0, 0.0, 8.0]], dtype=torch.float64)
    cost = torch.full_like(revenue, 0.5)
    losses = {
        mean: roi_loss(predicted([0.5] * 4, [0.5] * 4, [4 * mean] * 4), revenue, cost, SCALES).sum().item()
        for mean in (1.0, 1.9, 2.0, 2.1, 4.0)
    }
    assert min(losses, key=losses.__getitem__) == 2.0


def test_value_loss_is_the_log_normal_likelihood_of_its_mean() -> None:
    """sigma = 1 and expectation e^1.5 put the median at e; revenue e² lies one sigma above it."""
    predictions = predicted([0.5], [0.5], [math.exp(1.5)], log_sigma=0.0)
    assert value_loss(predictions, torch.tensor([[math.exp(2)]], dtype=torch.float64)).item() == pytest.approx(0.5)


def test_the_spread_stops_where_revenue_is_the_price() -> None:
    """Without a floor, 400 steps of 0.05 end at a spread of e^-20 and a slope of 1e17."""
    log_sigma = torch.tensor(-1.0, requires_grad=True)
    log_value = torch.full((1, 8), math.log(30.0), requires_grad=True)
    optimizer = torch.optim.Adam([log_sigma, log_value], lr=0.05)
    for _ in range(400):
        loss = value_loss(Predictions(log_value, log_value, log_value, log_sigma), torch.full((1, 8), 30.0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(math.log(LEAST_SIGMA), abs=0.05)
    assert log_sigma.item() > math.log(LEAST_SIGMA) - 1
    assert log_value.detach()[0].tolist() == pytest.approx([math.log(30.0)] * 8, abs=0.05)


def test_a_spread_at_its_floor_grows_when_revenue_spreads() -> None:
    log_sigma = torch.tensor(math.log(LEAST_SIGMA) - 0.1, requires_grad=True)
    log_value = torch.full((1, 2), math.log(30.0))
    value_loss(Predictions(log_value, log_value, log_value, log_sigma), torch.tensor([[15.0, 60.0]])).sum().backward()
    assert log_sigma.grad < 0


def test_tasks_without_labels_lose_their_weight() -> None:
    full = {"clicks": 24.0, "conversions": 2.0, "revenue": 5.0, "cost": 1.0}
    assert labelled_loss(LossConfig(), full) == LossConfig()
    nothing = {"clicks": 1.0, "conversions": 0.0, "revenue": 0.0, "cost": 0.0}
    assert labelled_loss(LossConfig(), nothing) == LossConfig(beta=0.0, gamma=0.0, value=0.0)
    assert unlabelled_tasks(nothing) == {
        "cvr": "no conversion among 1 click of the training period",
        "roi": "no revenue and no cost in the training period",
        "value": "no revenue in the training period",
    }


def test_value_loss_is_zero_for_a_catalogue_price() -> None:
    assert value_loss(predicted([0.5], [0.5], [3.0]), torch.ones(1, 1)).item() == 0


def test_high_value_weight() -> None:
    price = torch.tensor([10.0, 10 * (math.e - 1), 1e9])
    weight = high_value_weight(price, LossConfig(kappa=0.5, high_value_cap=3.0), SCALES)
    assert weight.tolist() == pytest.approx([1 + 0.5 * math.log(2), 1.5, 2.5])
    assert high_value_weight(price, LossConfig(kappa=0.0), SCALES).tolist() == [1, 1, 1]


def test_terms_leave_padding_free_impressions_and_unsold_rows_out() -> None:
    shape = (1, 4)
    labels = {
        "click": np.array([[1, 0, 1, 1]]),
        "conversion": np.array([[1, 0, 0, 1]]),
        "revenue": np.array([[8.0, 0, 0, 5.0]]),
        "cost": np.array([[0.5, 0.0, 0.5, 0.5]]),
        "expected_cost": np.ones(shape),
        "price": np.full(shape, 10.0),
        "weight": np.ones(shape),
    }
    arrays = {name: values.astype(np.float32) for name, values in labels.items()}
    mask = np.array([[True, True, True, False]])
    batch = UserBatch.from_numpy(
        {
            "event_mask": mask,
            "impression_mask": mask,
            "dense": np.zeros((*shape, 1), np.float32),
            "row": np.zeros(shape, np.int64),
            **arrays,
        }
    )
    terms = loss_terms(predicted([0.5] * 4, [0.4] * 4, [15.0] * 4, -1.0), batch, LossConfig(kappa=0.0), SCALES)
    weights = {task: weight.item() for task, (_, weight) in terms.items()}
    assert weights == {"ctr": 3, "cvr": 3, "roi": 2, "value": 1, "next": 0}
    assert terms["ctr"][0].item() == pytest.approx(3 * math.log(2))
    assert terms["roi"][0].item() == pytest.approx(0.5 * (2.0 + 2.0), rel=1e-5)


P_CTR, P_CVR, VALUE = 0.1, 0.4, 15.0
ROWS = np.array([900, 60, 20, 20])
"""Of 1,000 impressions: not clicked; clicked; bought for 10; bought for 20."""
BILLINGS = {
    "impressions": lambda click, bid: bid * 0.7,
    "clicks": lambda click, bid: bid * 7 * click,
    "both": lambda click, bid: bid * (0.5 + 5 * click),
}


def whole_law(billing: str) -> tuple[UserBatch, LossScales]:
    """Every outcome as often as the law says, at two bids that the outcome does not know of."""
    click = np.tile(np.repeat([0.0, 1, 1, 1], ROWS), 2)
    revenue = np.tile(np.repeat([0.0, 0, 10, 20], ROWS), 2)
    bid = np.repeat([0.1, 0.3], 1000)
    labels = {
        "click": click,
        "conversion": (revenue > 0).astype(float),
        "revenue": revenue,
        "cost": BILLINGS[billing](click, bid),
        "expected_cost": bid,
        "price": np.full(2000, VALUE),
    }
    totals = {
        "revenue": revenue.sum(),
        "cost": labels["cost"].sum(),
        "expected_cost": bid.sum(),
        "cost_of_clicks": labels["cost"] @ click,
        "expected_cost_of_clicks": bid @ click,
    }
    rates = {"ctr": P_CTR, "cvr": P_CVR, "log_value": math.log(VALUE)}
    scales = LossScales.of({**rates, "revenue_per_cost": totals["revenue"] / totals["cost"]}, totals)
    here = torch.ones(1, 2000, dtype=torch.bool)
    columns = {name: torch.tensor(values[None]) for name, values in labels.items()}
    return UserBatch({}, here, {}, here, here, columns, here), scales


@pytest.mark.parametrize("gamma", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("billing", BILLINGS)
def test_the_least_expected_loss_is_at_the_true_probabilities(billing: str, gamma: float) -> None:
    batch, scales = whole_law(billing)
    logits = torch.tensor([logit(0.3), logit(0.3)], dtype=torch.float64, requires_grad=True)
    value = torch.full((1, 2000), math.log(VALUE), dtype=torch.float64)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        terms = loss_terms(Predictions(*logits[:, None, None].expand(2, 1, 2000), value), batch, LossConfig(), scales)
        means = {task: total / weight.clamp_min(1) for task, (total, weight) in terms.items()}
        total = means["ctr"] + means["cvr"] + gamma * means["roi"]
        total.backward()
        return total

    optimizer.step(loss)
    assert torch.sigmoid(logits).tolist() == pytest.approx([P_CTR, P_CVR], rel=1e-4)


def test_costs_are_those_expected_where_they_come_with_clicks() -> None:
    spends = {billing: whole_law(billing)[1].spend for billing in BILLINGS}
    assert spends == {"impressions": "cost", "clicks": "expected_cost", "both": "expected_cost"}


def test_features_of_earlier_versions_read_as_paid_impressions() -> None:
    assert not bills_clicks({"cost": 5.0, "revenue": 9.0})
