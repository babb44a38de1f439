"""The network of action values: its gradient against differences of its loss."""

import numpy as np
import pytest

from rosa_ray.arrays import Floats
from rosa_ray.policy.q_network import QNetwork

RNG = np.random.default_rng(4)
STATES, ACTIONS, TARGETS = RNG.normal(size=(12, 3)), RNG.integers(0, 2, 12), RNG.normal(size=12) * 2


def huber(network: QNetwork) -> float:
    error = np.abs(network.values(STATES)[np.arange(12), ACTIONS] - TARGETS)
    return float(np.where(error < 1, error**2 / 2, error - 0.5).mean())


@pytest.mark.parametrize("part", range(4))
def test_the_first_step_of_adam_goes_down_every_slope(part: int) -> None:
    network = QNetwork(3, 5, 2, np.random.default_rng(1))
    before = network.copy_of_weights()
    slopes = difference_quotients(network, part)
    network.learn(STATES, ACTIONS, TARGETS, 1e-3)
    # Adam's first step has the size of the rate in every direction, whatever the slope.
    expected = np.where(np.abs(slopes) > 1e-6, -1e-3 * np.sign(slopes), 0)
    np.testing.assert_allclose(network.weights[part] - before[part], expected, atol=2e-5)


def test_copied_weights_stand_still() -> None:
    network = QNetwork(3, 5, 2, np.random.default_rng(1))
    kept = network.copy_of_weights()
    shown = [weight.tolist() for weight in kept]
    network.learn(STATES, ACTIONS, TARGETS, 0.1)
    assert [weight.tolist() for weight in kept] == shown
    assert network.weights[0].tolist() != shown[0]


def difference_quotients(network: QNetwork, part: int) -> Floats:
    weight, step = network.weights[part], 1e-6
    slopes = np.zeros_like(weight)
    for place in np.ndindex(weight.shape):
        kept = weight[place]
        weight[place] = kept + step
        above = huber(network)
        weight[place] = kept - step
        slopes[place] = (above - huber(network)) / (2 * step)
        weight[place] = kept
    return slopes
