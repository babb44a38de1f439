"""Hourly deep Q-learning: in each period of a block a network picks the multiplier of a linear bid.

A reconstruction after Zhao et al., KDD 2018 (Deep Reinforcement Learning for Sponsored Search Real-Time Bidding). The
paper learns on aggregates of hours, since single auctions drift. It gives neither code nor all settings, so states,
actions and network here are this project's own choice:

- a period is a 20th of a block;
- the state is budget left, time left, their ratio, and wins, spend and value of the last period;
- the action multiplies the price per click of `Linear`, by one of nine factors;
- the reward is the expected clicks of the period, as a share of what `Linear` wins in a block;
- double DQN without discount learns from ε-greedy replays of the tuning blocks. The weights that win most there stay.
"""

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders.linear import Linear, scaled
from rosa_ray.policy.q_network import QNetwork
from rosa_ray.policy.replay import Bidder, Outcome, State, replay, whole_bids

PERIODS = 20
FACTORS = np.array([0.4, 0.55, 0.7, 0.85, 1.0, 1.2, 1.4, 1.8, 2.5])
_FEATURES, _HIDDEN = 6, 32
EPISODES = 60
"""Replays to learn from."""
_TRIALS, _STEPS, _BATCH, _RATE = 4, 60, 256, 2e-3
_MOST_KEPT = 80_000
"""Transitions to learn from; older ones are forgotten."""

Transitions = tuple[Floats, Ints, Floats, Floats, Floats]
"""States (N, F), actions (N,), rewards (N,), next states (N, F), and 1 where the block went on (N,)."""


class HourlyDqn:
    """Bids factor x price per click of `Linear` x value.

    Attributes:
        linear: the bidder whose price is multiplied.
        network: action values; None before a fit.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.linear = Linear()
        self.network: QNetwork | None = None
        self._explore = 0.0
        self._length, self._budget = 1, 0

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Play the tuning blocks again and again, and learn from what was won."""
        self._length, self._budget = tuning.length, budget
        self.linear.fit(tuning, budget)
        scale = float(replay(self.linear, tuning, budget).expected_clicks.mean()) or 1.0
        network = self.network = QNetwork(_FEATURES, _HIDDEN, FACTORS.size, self._rng)
        kept: list[Transitions] = []
        best, best_won = network.copy_of_weights(), -1.0
        for episode in range(EPISODES):
            self._explore = max(1 - 1.5 * episode / EPISODES, 0.05)
            outcome = replay(self, tuning, budget, trials=_TRIALS)
            kept = _newest([*kept, self._transitions(outcome, tuning, scale)])
            self._learn(network, [np.concatenate(column) for column in zip(*kept, strict=True)])
            if episode % 4 == 3:
                self._explore = 0.0
                won = float(replay(self, tuning, budget).expected_clicks.sum())
                if won > best_won:
                    best, best_won = network.copy_of_weights(), won
        network.weights, self._explore = best, 0.0

    def start(self, shape: tuple[int, ...]) -> None:
        self._period = -1
        self._left = self._left_at_start = np.full(shape, self._budget, np.int64)
        self._due_from = self._length
        self._won, self._worth, self._last = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._factor = np.ones(shape)
        self._states: list[Floats] = []
        self._actions: list[Ints] = []

    def bid(self, state: State, value: Floats) -> Ints:
        paid = self._left > state.budget_left
        self._won += paid
        self._worth += paid * self._last
        period = (self._length - state.auctions_left) * PERIODS // self._length
        if period > self._period:
            self._act(state)
            self._period = period
        self._left, self._last = state.budget_left, value
        per_click = self.linear.base_price / self.linear.mean_value
        return whole_bids(scaled(per_click * self._factor, value), state.budget_left)

    def _act(self, state: State) -> None:
        features = self._features(state)
        best = (
            np.zeros(self._factor.shape, np.int64) if self.network is None else self.network.values(features).argmax(-1)
        )
        if self._explore:
            drawn = self._rng.integers(0, FACTORS.size, best.shape)
            best = np.where(self._rng.random(best.shape) < self._explore, drawn, best)
        self._factor = FACTORS[best]
        self._states.append(features)
        self._actions.append(best)
        self._left_at_start, self._due_from = state.budget_left, state.auctions_left
        self._won, self._worth = np.zeros(best.shape), np.zeros(best.shape)

    def _features(self, state: State) -> Floats:
        """Budget, time, their ratio; wins, spend and value of the last period; each of order 1, (..., F)."""
        passed = max(self._due_from - state.auctions_left, 1)
        time_left = state.auctions_left / self._length
        budget_left = state.budget_left / max(self._budget, 1)
        spend = (self._left_at_start - state.budget_left) / max(self._budget * passed / self._length, 1)
        worth = self._worth / (passed * self.linear.mean_value)
        each = (
            budget_left,
            np.full(budget_left.shape, time_left),
            budget_left / time_left,
            self._won / passed,
            spend,
            worth,
        )
        return np.minimum(np.stack(each, axis=-1), 3.0)

    def _transitions(self, outcome: Outcome, tuning: Auctions, scale: float) -> Transitions:
        """What each period of the last replay taught; a replay may end early, where all budgets are gone."""
        states, actions = np.stack(self._states), np.stack(self._actions)
        starts = -(-np.arange(PERIODS) * self._length // PERIODS)
        starts = np.unique(starts)[: len(states)]
        rewards = np.add.reduceat(outcome.won * tuning.value_BT, starts, axis=-1) / scale
        following = np.concatenate([states[1:], states[-1:]])
        goes_on = np.ones(actions.shape)
        goes_on[-1] = 0
        return (
            states.reshape(-1, _FEATURES),
            actions.ravel(),
            np.moveaxis(rewards, -1, 0).ravel(),
            following.reshape(-1, _FEATURES),
            goes_on.ravel(),
        )

    def _learn(self, network: QNetwork, transitions: list[Floats]) -> None:
        states, actions, rewards, following, goes_on = transitions
        target = QNetwork(_FEATURES, _HIDDEN, FACTORS.size, np.random.default_rng(0))
        target.weights = network.copy_of_weights()
        for _ in range(_STEPS):
            rows = self._rng.integers(0, len(states), _BATCH)
            chosen = network.values(following[rows]).argmax(-1)
            ahead = target.values(following[rows])[np.arange(_BATCH), chosen]
            network.learn(states[rows], actions[rows].astype(np.int64), rewards[rows] + goes_on[rows] * ahead, _RATE)


def _newest(kept: list[Transitions]) -> list[Transitions]:
    """The last transitions that fit, whole replays at a time, and at least one."""
    while len(kept) > 1 and sum(len(each[0]) for each in kept) > _MOST_KEPT:
        kept = kept[1:]
    return kept


def build(seed: int) -> Bidder:
    """A bidder that draws its first weights, its exploration and its batches by the seed."""
    return HourlyDqn(seed)
