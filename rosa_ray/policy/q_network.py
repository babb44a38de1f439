"""A small network of action values, in NumPy: one hidden layer, fitted by Adam."""

import numpy as np

from rosa_ray.arrays import Floats, Ints

_DECAY_1, _DECAY_2, _TINY = 0.9, 0.999, 1e-8


class QNetwork:
    """Q(s, .) = W₂ relu(W₁ s + b₁) + b₂.

    Shape legend: N states, F features, H hidden units, A actions.

    Attributes:
        weights: W₁ (F, H), b₁ (H,), W₂ (H, A), b₂ (A,).

    >>> network = QNetwork(1, 16, 2, np.random.default_rng(0))
    >>> states, actions = np.array([[0.0], [1.0]] * 2), np.array([0, 0, 1, 1])
    >>> for _ in range(500):
    ...     network.learn(states, actions, np.array([0.0, 1.0, 1.0, 0.0]), 0.02)
    >>> network.values(states[:2]).argmax(axis=1).tolist()
    [1, 0]
    """

    def __init__(self, features: int, hidden: int, actions: int, rng: np.random.Generator) -> None:
        self.weights: list[Floats] = [
            rng.normal(0, np.sqrt(2 / features), (features, hidden)),
            np.zeros(hidden),
            rng.normal(0, np.sqrt(1 / hidden), (hidden, actions)),
            np.zeros(actions),
        ]
        self._moments = [(np.zeros_like(weight), np.zeros_like(weight)) for weight in self.weights]
        self._steps = 0

    def values(self, states: Floats) -> Floats:
        """Action values of states (..., F), float64 (..., A)."""
        w1, b1, w2, b2 = self.weights
        return np.asarray(np.maximum(states @ w1 + b1, 0) @ w2 + b2)

    def learn(self, states: Floats, actions: Ints, targets: Floats, rate: float) -> None:
        """One step of Adam on the Huber loss between Q(s, a) and its target.

        Args:
            states: (N, F).
            actions: which were taken, (N,), 0 to A - 1.
            targets: what they were worth, (N,).
            rate: learning rate, > 0.
        """
        w1, b1, w2, b2 = self.weights
        hidden = np.maximum(states @ w1 + b1, 0)
        rows = np.arange(len(states))
        error = (hidden @ w2 + b2)[rows, actions] - targets
        slope = np.zeros((len(states), b2.size))
        slope[rows, actions] = np.clip(error, -1, 1) / len(states)
        below = (slope @ w2.T) * (hidden > 0)
        self._descend([states.T @ below, below.sum(0), hidden.T @ slope, slope.sum(0)], rate)

    def copy_of_weights(self) -> list[Floats]:
        """The weights as they are now, which later steps do not change."""
        return [weight.copy() for weight in self.weights]

    def _descend(self, gradients: list[Floats], rate: float) -> None:
        self._steps += 1
        for weight, gradient, (first, second) in zip(self.weights, gradients, self._moments, strict=True):
            first += (1 - _DECAY_1) * (gradient - first)
            second += (1 - _DECAY_2) * (gradient**2 - second)
            scale = np.sqrt(second / (1 - _DECAY_2**self._steps)) + _TINY
            weight -= rate * first / (1 - _DECAY_1**self._steps) / scale
