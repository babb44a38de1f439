"""What a training step costs against the rows of the item table, which every worker holds whole.

Takes the CPU time of steps of ROSA-Rec on made-up users with ever larger item tables. The users stay the same, so
what grows is the price of rows that no batch looks at: AdamW and the running mean touch all of them, and DDP would
send all of their gradients.

    python benchmarks/embedding_scale.py --out benchmarks/results/embedding_scale.json
"""

import argparse
import gc
import time
from typing import Any

import numpy as np
import torch
from record import record, save
from rich.console import Console
from rich.table import Table
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from train_throughput import CATEGORIES, DENSE, synthetic_users

from rosa_ray.features import batch_users, collate
from rosa_ray.models import LossConfig, LossScales, UserBatch, build_ranker
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.step import Stepper


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    rows = [measure(size, arguments) for size in arguments.rows]
    slope_ms, base_ms = np.polyfit([row["item_rows"] / 1e6 for row in rows], [row["step_cpu_ms"] for row in rows], 1)
    document = record(
        "embedding_scale",
        width=arguments.width,
        step_cpu_ms_without_rows=round(float(base_ms), 1),
        step_cpu_ms_per_million_rows=round(float(slope_ms), 1),
        bytes_per_row=rows[-1]["bytes_per_row"],
        rows=rows,
    )
    show(document)
    save(document, arguments.out)


def measure(item_rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Median CPU time of a step, and the bytes that training keeps per row of the item table."""
    gc.collect()
    torch.manual_seed(0)
    settings = {"width": arguments.width, "layers": 2, "heads": 4, "window": 50}
    sizes = {"item": item_rows, "category": CATEGORIES, "campaign": 8, "device": 8, "region": 8, "money": 8}
    rates = {"ctr": 0.1, "cvr": 0.1, "log_value": 3.0, "revenue_per_cost": 2.0}
    ranker = build_ranker("rosa", settings, {**sizes, "dense": 2 * DENSE + 2}, rates)
    averaged = AveragedModel(ranker, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
    training = TrainingConfig(workers=1)
    scales = LossScales(revenue_per_cost=2.0, median_price=20.0, ctcvr=0.01)
    stepper = Stepper(ranker, training=training, loss=LossConfig(), scales=scales, device=torch.device("cpu"))
    users = synthetic_users(64, 50, settings["window"])
    chosen = next(batch_users(users, 8, np.random.default_rng(0), np.random.default_rng(0)))
    batch = UserBatch.from_numpy(collate(users, chosen))
    seconds = []
    for _ in range(arguments.steps + 1):
        began = time.process_time()
        stepper(batch, 1e-3)
        averaged.update_parameters(ranker)
        seconds.append(time.process_time() - began)
    return {
        "item_rows": item_rows,
        "step_cpu_ms": round(float(np.median(seconds[1:])) * 1e3, 1),
        "bytes_per_row": _bytes_per_row(ranker.tables.item.weight, stepper, averaged),
    }


def _bytes_per_row(weight: torch.nn.Parameter, stepper: Stepper, averaged: AveragedModel) -> int:
    """Weight, gradient, both moments of AdamW, running mean."""
    moments = [value for value in stepper.optimizer.state[weight].values() if value.shape == weight.shape]
    tensors = [weight, weight.grad, *moments, averaged.module.tables.item.weight]
    return sum(tensor.element_size() * tensor.shape[1] for tensor in tensors if tensor is not None)


def show(document: dict[str, Any]) -> None:
    """Print the rows and the slope."""
    table = Table("item rows", "CPU ms a step", "bytes per row", title="a training step against rows of the item table")
    for row in document["rows"]:
        table.add_row(f"{row['item_rows']:,}", f"{row['step_cpu_ms']:.1f}", str(row["bytes_per_row"]))
    Console().print(table)
    print(f"{document['step_cpu_ms_per_million_rows']} CPU ms a step per million rows")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 250_000, 500_000, 1_000_000])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--out", default="", help="JSON file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
