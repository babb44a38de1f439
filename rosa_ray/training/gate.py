"""Fits the gate after training: replayed pairs of the validation period, then λ by gradient descent on few numbers."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rosa_ray.calibration import Calibration
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.features import FeatureState, Split, UserRows, encode_users
from rosa_ray.inference import load_ranker
from rosa_ray.models import keeps_states
from rosa_ray.models.gate import Gate, GateConfig, gate_loss
from rosa_ray.run_dir import DataDir
from rosa_ray.storage import read_parquet
from rosa_ray.training.config import GateTrainingConfig
from rosa_ray.training.gate_pairs import GatePairs, concat_pairs, draw_cuts, replay_pairs
from rosa_ray.training.gate_report import LOADS, PairTensors, gate_report, weighted_mean

THRESHOLDS = tuple(step / 20 for step in range(1, 20))

LEAST_PAIRS = 200

LEAST_PRICE = 1e-4
"""Where encoding gains nothing, full load must still close the gate; nats."""

_CHECK_EVERY, _PAIRS_PER_STEP, _USERS_PER_BLOCK = 20, 2048, 500


@dataclass(frozen=True)
class FittedGate:
    """A gate, and what it is worth on the users it was not fitted on; see `gate_report`."""

    gate: Gate
    report: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: those of `Gate.to_dict`, and `report`."""
        return self.gate.to_dict() | {"report": self.report}


def fit_run_gate(
    config: GateTrainingConfig,
    *,
    description: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    calibration: Calibration,
    state: FeatureState,
    layout: DataDir,
    seed: int,
    use_gpu: bool | Literal["auto"] = "auto",
) -> FittedGate | None:
    """Fit the gate of a trained ranker on a bounded sample of the validation period, in this process.

    Args:
        description, weights: of the ranker; see `rosa_ray.inference.load_ranker`.
        calibration: of its scores.
        layout: where the preprocessed data is.
        use_gpu: False keeps to the CPU.

    Returns:
        None where there is nothing to gate: it is switched off, the ranker keeps no states, or the validation period
        has fewer than `LEAST_PAIRS` pairs, no click among them, or a single user.

    Raises:
        InputError: there is no preprocessed data.
    """
    ranker = load_ranker(description, weights)
    gated: bool = config.enabled and keeps_states(ranker)
    if not gated:
        return None
    started_s = time.perf_counter()
    device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
    pairs = collect_pairs(config, ranker.to(device), calibration, state, layout, seed, device)
    replayed_s = time.perf_counter() - started_s
    if pairs is None or len(pairs) < LEAST_PAIRS or not pairs.label.any() or len(np.unique(pairs.user_key)) < 2:
        return None
    fitted = fit_gate(pairs, config, seed)
    fitted.report["seconds"] = {
        "replay": round(replayed_s, 1),
        "fit": round(time.perf_counter() - started_s - replayed_s, 1),
    }
    return fitted


def collect_pairs(
    config: GateTrainingConfig,
    ranker: torch.nn.Module,
    calibration: Calibration,
    state: FeatureState,
    layout: DataDir,
    seed: int,
    device: str = "cpu",
) -> GatePairs | None:
    """Replay the first `config.users` users with validation impressions; files hold users by hash, as a sample does."""
    rng = np.random.default_rng(seed)
    parts: list[GatePairs] = []
    wanted = config.users
    for path, rows in list_user_files(layout.users):
        table = read_parquet(path)
        for start in range(0, rows, _USERS_PER_BLOCK):
            block = UserRows.from_table(table.slice(start, _USERS_PER_BLOCK).combine_chunks())
            users = encode_users(block, state).select(Split.VALID)
            users = users.take(np.arange(min(wanted, len(users))))
            if len(users):
                time_us = users.impressions["time_us"]
                shift_us = state.config.local_us(time_us) - time_us
                cut_us = draw_cuts(time_us, config.cuts, config.daily_share, shift_us, rng)
                parts.append(replay_pairs(ranker, users, cut_us, calibration, device=device))
            wanted -= len(users)
            if wanted <= 0:
                return concat_pairs(parts)
    return concat_pairs(parts) if parts else None


def fit_gate(pairs: GatePairs, config: GateTrainingConfig, seed: int) -> FittedGate:
    """Fit λ by Adam; the best step on users held out is kept, and they decide the threshold.

    Args:
        pairs: of at least two users.
    """
    held = held_out(pairs.user_key, config.holdout, seed)
    fit, check = PairTensors.of(pairs.take(~held)), PairTensors.of(pairs.take(held))
    price = config.encode_price
    price = max(float(fit.mean(fit.gain(), fit.is_new).nan_to_num()), LEAST_PRICE) if price is None else price
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        gate = Gate(GateConfig(config.hidden))
        gate.standardize(fit.history)
        steps = _descend(gate, fit, check, price, config)
    target = check.target(config.label_share)
    gate.threshold, gate.mixes = best_threshold(gate, check, target, price)
    report = {"config": asdict(config), "encode_price": price, "steps": steps, "fitted_pairs": len(fit.history)}
    return FittedGate(gate.eval(), report | gate_report(gate, check))


def best_threshold(gate: Gate, pairs: PairTensors, target: Tensor, price: float) -> tuple[float, bool]:
    """The threshold, and whether to mix below it, that cost least: log loss and the price of calls, over `LOADS`."""
    idle = pairs.weights(gate, 0.0)
    under_load = [pairs.weights(gate, load) for load in LOADS]
    offline, online, mixed = (pairs.loss(weight, target) for weight in (1 + 0 * idle, 0 * idle, idle))
    costs = {}
    for threshold in THRESHOLDS:
        for mixes, called in ((False, online), (True, mixed)):
            costs[threshold, mixes] = sum(
                float(pairs.mean(torch.where(weight >= threshold, offline, called + price * load)))
                for load, weight in zip(LOADS, under_load, strict=True)
            )
    return min(costs, key=lambda choice: costs[choice])


def held_out(user_key: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mask of the pairs of some users; at least one user on each side."""
    users, position = np.unique(user_key, return_inverse=True)
    turn = np.random.default_rng(seed).permutation(len(users))[position]
    held: np.ndarray = turn < min(max(round(share * len(users)), 1), len(users) - 1)
    return held


def _descend(gate: Gate, fit: PairTensors, check: PairTensors, price: float, config: GateTrainingConfig) -> int:
    """Fit in place; returns the steps taken."""
    optimizer = torch.optim.Adam(gate.parameters(), lr=config.learning_rate)
    target, check_target = fit.target(config.label_share), check.target(config.label_share)
    best, best_state, waited, step = float("inf"), gate.state_dict(), 0, 0
    for step in range(config.steps + 1):
        if step % _CHECK_EVERY == 0:
            loss = _checked_loss(gate, check, check_target, price)
            waited = 0 if loss < best else waited + 1
            if loss < best:
                best, best_state = loss, {name: values.clone() for name, values in gate.state_dict().items()}
            if waited >= config.patience:
                break
        rows = torch.randint(len(target), (min(len(target), _PAIRS_PER_STEP),))
        load = torch.rand(len(rows))
        weight = gate(fit.history[rows], load)
        optimizer.zero_grad()
        losses = gate_loss(weight, load, fit.p_off[rows], fit.p_on[rows], target[rows], price)
        weighted_mean(losses, fit.stands_for[rows]).backward()
        optimizer.step()
    gate.load_state_dict(best_state)
    return step


@torch.no_grad()
def _checked_loss(gate: Gate, pairs: PairTensors, target: Tensor, price: float) -> float:
    """Mean loss over `LOADS`."""
    loads = [torch.full((len(target),), load) for load in LOADS]
    losses = [gate_loss(gate(pairs.history, load), load, pairs.p_off, pairs.p_on, target, price) for load in loads]
    return float(torch.stack([pairs.mean(loss) for loss in losses]).mean())
