"""What each rule for λ earns, exactly, on all requests of some users of the simulator's test period."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rosa_ray.evaluation.policy_value import join_truth, read_truth
from rosa_ray.features import EncodedUsers, Split, UserRows, encode_users
from rosa_ray.features.encoding import owners
from rosa_ray.inference import predict
from rosa_ray.metrics import Ranking, greedy_policy
from rosa_ray.serving.model import ServedModel
from rosa_ray.storage import read_parquet
from rosa_ray.training.gate_pairs import events_before, history_inputs, repeat_impressions
from rosa_ray.units import DAY_US

RULES = ("offline", "online", "fresh", "learned")


LOADS = (0.0, 0.25, 0.5, 0.75, 1.0)


COUNTS = (2, 3, 5, 9, 17)


HEADS = ("p_ctr", "p_cvr", "value")


@dataclass(frozen=True)
class Population:
    """R requests of the test period with what each score would earn: true expected revenue and cost, each (R,)."""

    users: EncodedUsers
    first_row: np.ndarray
    user: np.ndarray
    history: np.ndarray
    has_states: np.ndarray
    revenue: dict[str, np.ndarray]
    cost: dict[str, np.ndarray]

    @property
    def is_new(self) -> np.ndarray:
        return ~self.has_states | (self.history[:, 0] > 0)


def read_users(folder: Path, count: int) -> UserRows:
    """Users with test requests, from the first file: files hold users by hash."""
    rows = UserRows.from_table(read_parquet(str(sorted(folder.glob("*.parquet"))[0])))
    owner = owners(rows.impression_offsets)
    asked = np.unique(owner[rows.impressions["split"] == Split.POLICY])[:count]
    return take_users(rows, asked)


def take_users(rows: UserRows, users: np.ndarray) -> UserRows:
    table = rows.to_table().take(users.tolist())
    return UserRows.from_table(table.combine_chunks())


def evaluate(model: ServedModel, rows: UserRows, log_dir: str, materialized: str) -> Population:
    """Score all candidates from stored states and from a fresh encoding, and look up what the choices earn."""
    users = encode_users(rows, model.features).select(Split.POLICY)
    cut_us = written_us(users.impressions["time_us"], materialized)
    encoded = events_before(users, cut_us)
    both = repeat_impressions(users, np.stack([encoded, users.impressions["visible"]], axis=1))
    raw = predict(model.ranker, both.trim(model.context_events), 32, model.device)
    scores = {name: values.reshape(-1, 2) for name, values in model.calibration.apply(raw).items()}
    history = history_inputs(users, encoded, model.context_events)
    shown = users.impressions
    keys, first, request = np.unique(shown["request_key"], return_index=True, return_inverse=True)
    truth = read_truth(log_dir)
    if truth is None:
        raise SystemExit(f"{log_dir}: has no truth; give the run of a simulated log")
    true = join_truth(truth, shown["impression_key"], log_dir)
    heads = {"offline": column(scores, 0), "online": column(scores, 1)}
    if model.gate is not None and model.gate.mixes:
        idle = weights(model, history, np.zeros(len(history)))
        heads["mixed"] = {name: idle * heads["offline"][name] + (1 - idle) * heads["online"][name] for name in HEADS}
    revenue, cost = {}, {}
    for name, head in heads.items():
        ranked = Ranking("roi").score(*(head[each] for each in HEADS), shown["expected_cost"])
        chosen = greedy_policy(ranked, shown["request_key"], shown["impression_key"])
        revenue[name] = np.bincount(request, chosen * true["expected_revenue"], minlength=len(keys))
        cost[name] = np.bincount(request, chosen * true["expected_cost"], minlength=len(keys))
    user = owners(users.impression_offsets)[first]
    return Population(users, first, user, history[first], encoded[first] > 0, revenue, cost)


def column(scores: dict[str, np.ndarray], at: int) -> dict[str, np.ndarray]:
    return {name: scores[name][:, at] for name in HEADS}


def written_us(time_us: np.ndarray, materialized: str) -> np.ndarray:
    """When the states of each request were written: at its midnight, or once before the first request."""
    midnight_us = time_us // DAY_US * DAY_US
    return midnight_us if materialized == "daily" else np.full_like(time_us, midnight_us.min())


@torch.no_grad()
def weights(model: ServedModel, history: np.ndarray, load: np.ndarray) -> np.ndarray:
    assert model.gate is not None
    return model.gate(torch.from_numpy(history), torch.from_numpy(load.astype(np.float32))).numpy()


def answered(
    model: ServedModel, population: Population, rule: str, load: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which requests call the encoder, (R,), and the revenue and cost of what is shown."""
    has_history = population.history[:, -1] > 0
    called = {"offline": ~has_history & False, "online": has_history}.get(rule, population.is_new & has_history)
    if rule.startswith("count"):
        called = called & (~population.has_states | (population.history[:, 0] >= int(rule.split()[1])))
    if rule == "learned":
        low = weights(model, population.history, load) < model.gate.threshold  # type: ignore[union-attr]
        called = called & (low | ~population.has_states)
    fresh = "mixed" if rule == "learned" and "mixed" in population.revenue else "online"
    sums = {"revenue": population.revenue, "cost": population.cost}
    return called, {name: np.where(called, values[fresh], values["offline"]) for name, values in sums.items()}


class Bootstrap:
    """Paired draws of users: every rule is valued on the same ones."""

    def __init__(self, user: np.ndarray, replicates: int) -> None:
        self._user, self._count = user, int(user.max()) + 1
        rng = np.random.default_rng(7)
        self._draws = rng.multinomial(self._count, np.full(self._count, 1 / self._count), replicates)

    def roi(self, sums: dict[str, np.ndarray]) -> np.ndarray:
        """ROI of all users, then of each draw."""
        by_user = [np.bincount(self._user, sums[name], minlength=self._count) for name in ("revenue", "cost")]
        revenue, cost = (np.r_[values.sum(), self._draws @ values] for values in by_user)
        return revenue / cost - 1


def interval(draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(draws[1:], (0.025, 0.975))
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}


def on_the_line(population: Population, calls: float, most: float) -> dict[str, np.ndarray]:
    """What calling for a random share of the requests that `fresh` calls for would earn, in expectation."""
    share = np.where(population.is_new, calls / most, 0.0)
    sums = {"revenue": population.revenue, "cost": population.cost}
    return {name: share * values["online"] + (1 - share) * values["offline"] for name, values in sums.items()}


def static_rows(model: ServedModel, population: Population, replicates: int) -> list[dict[str, Any]]:
    """Each rule, the gate at fixed loads; `against_line` is the ROI above random calls for as many requests."""
    bootstrap, size = Bootstrap(population.user, replicates), len(population.user)
    most = float(answered(model, population, "fresh", np.zeros(size))[0].mean())
    rows = []
    fixed = [(rule, 0.0) for rule in (*RULES[:-1], *(f"count {count}" for count in COUNTS))]
    for rule, load in fixed + [("learned", load) for load in LOADS]:
        called, sums = answered(model, population, rule, np.full(size, load))
        calls, roi = float(called.mean()), bootstrap.roi(sums)
        line = bootstrap.roi(on_the_line(population, min(calls, most), most))
        rows.append(
            {"rule": rule, "load": load if rule == "learned" else None, "calls": calls, "roi": interval(roi)}
            | {"against_line": interval(roi - line)}
        )
    return rows
