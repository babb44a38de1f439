"""The sweep as one JSON document, which the console, MLflow and the report read."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import ray

from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.studies.sweep.front import pareto_front, pick_winner, rule
from rosa_ray.studies.sweep.held_out import POLICY_VALUES
from rosa_ray.studies.sweep.memory import StoredTrial, SweepMemory


def sweep_document(config: TuneConfig, memory: SweepMemory, seed: int, command: str) -> dict[str, Any]:
    """Describe the sweep as it stands.

    Returns:
        kind, date, machine, command, metric, objectives (name -> `max` or `min`), policy_value and in words
        policy_value_means (None where the log cannot measure it), space, trials (by number), front (numbers), winner (a
        number, None without a finished trial), default (0), rule, importance (objective -> parameter -> share), and
        sessions, the seconds of each.
    """
    trials = memory.trials()
    complete = [trial for trial in trials if trial.state == "complete"]
    how = next((trial.result["figures"]["policy_value"] for trial in complete), None)
    return {
        "kind": "tune",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {int(ray.cluster_resources().get('CPU', 1))} CPUs",
        "command": command,
        "study": memory.name,
        "mlflow_run_id": memory.run_id,
        "metric": config.metric,
        "objectives": dict(config.directions),
        "policy_value": how,
        "policy_value_means": POLICY_VALUES.get(how or ""),
        "space": {key: {kind: list(values) for kind, values in spec.items()} for key, spec in config.space.items()},
        "trials": [_describe(trial) for trial in trials],
        **_choice(config, complete),
        "default": 0,
        "rule": rule(config.pick, config.max_calibration),
        "importance": memory.importance(seed),
        "sessions": memory.sessions,
    }


def _choice(config: TuneConfig, complete: list[StoredTrial]) -> dict[str, Any]:
    values = {trial.number: trial.values for trial in complete}
    if not values:
        return {"front": [], "winner": None}
    front = pareto_front(values, config.directions)
    off = {trial.number: trial.result["figures"]["calibration"] for trial in complete}
    winner = pick_winner(values, front, config.directions, config.pick, config.max_calibration, off)
    return {"front": front, "winner": winner}


def _describe(trial: StoredTrial) -> dict[str, Any]:
    figures: Mapping[str, Any] = trial.result.get("figures", {})
    return {
        "number": trial.number,
        "state": trial.state,
        "params": dict(trial.params),
        "values": dict(trial.values),
        "figures": dict(figures),
        "history": [list(point) for point in trial.history],
        "epochs": trial.history[-1][0] if trial.history else 0,
        "best_epoch": trial.result.get("best_epoch"),
        "seconds": trial.result.get("total_seconds"),
        "error": trial.error,
        "mlflow_run_id": trial.mlflow_run_id,
    }
