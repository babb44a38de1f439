"""Training throughput: one encoding per user against one encoding per impression.

Both train the same ROSA-Rec on the same impressions with the same loss. The user-major way encodes a user's timeline
once and scores all of its impressions on those states. The other is what peers do: every impression is a row of its
own with its own window of history, encoded for it alone. The work per step is kept equal in impressions.

First a check: both ways give the same scores when a row carries the `(layers + 1) · window` events that a score can
depend on. The timed rows carry `window` events, as peers' do: less work than an equal score would take.

    python benchmarks/train_throughput.py --out benchmarks/results/train_throughput.json
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from record import record, save
from rich.console import Console
from rich.table import Table
from torch import nn

from rosa_ray.features import EncodedUsers, batch_users, collate
from rosa_ray.features.encoding import gather_segments, owners
from rosa_ray.inference import context_events
from rosa_ray.models import LossConfig, LossScales, UserBatch, build_ranker
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.step import Stepper
from rosa_ray.units import DAY_US

ITEMS, CATEGORIES, DENSE = 5000, 200, 28


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    settings = {"width": arguments.width, "layers": arguments.layers, "heads": 4, "window": arguments.window}
    agreement = check_agreement(settings, device)
    rows = [measure(settings, per_user, arguments, device) for per_user in (12, 50)]
    document = record(
        "train_throughput",
        device=device_name(device),
        model=settings,
        impressions_per_step=arguments.impressions_per_step,
        largest_difference=agreement,
        rows=rows,
    )
    show(document)
    save(document, arguments.out)


def check_agreement(settings: dict[str, Any], device: torch.device) -> float:
    """Largest difference of a CTR logit between the two ways; ends the benchmark when they disagree."""
    users = synthetic_users(8, 12, settings["window"])
    model = make(settings, device).eval()
    rows = per_impression(users, context_events(model))
    difference = float(np.abs(scores(model, users, device) - scores(model, rows, device)).max())
    if difference > 1e-4:
        raise SystemExit(f"the two ways disagree by {difference} in a logit")
    return difference


def measure(
    settings: dict[str, Any], per_user: int, arguments: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """Impressions per second of both ways, taken in turns so that both meet the same machine."""
    per_step = arguments.impressions_per_step
    users = synthetic_users(max(per_step // per_user, 1) * 8, per_user, settings["window"])
    ways = {"user_major": users, "per_impression": per_impression(users, settings["window"])}
    sizes = {"user_major": max(per_step // per_user, 1), "per_impression": per_step}
    trainers = {name: Trainer(settings, data, sizes[name], device) for name, data in ways.items()}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(arguments.rounds + 1):
        for name, trainer in trainers.items():
            rate = trainer.run(arguments.seconds)
            if round_:
                rates[name].append(rate)
    fast, slow = (float(np.median(rates[name])) for name in ways)
    return {
        "impressions_per_user": per_user,
        "events_per_user": float(np.diff(users.event_offsets).mean()),
        "user_major_impressions_per_s": round(fast, 1),
        "per_impression_impressions_per_s": round(slow, 1),
        "ratio": round(fast / slow, 2),
        "rounds": {name: [round(rate, 1) for rate in values] for name, values in rates.items()},
    }


class Trainer:
    """Trains one way for a while at a time."""

    def __init__(self, settings: dict[str, Any], users: EncodedUsers, users_per_batch: int, device: torch.device):
        self.users, self.device = users, device
        scales = LossScales(revenue_per_cost=2.0, median_price=20.0, ctcvr=0.01)
        model = make(settings, device).train()
        self.stepper = Stepper(model, training=TrainingConfig(), loss=LossConfig(), scales=scales, device=device)
        self.batches = _endless(users, users_per_batch)

    def run(self, seconds: float) -> float:
        """Take steps for about `seconds`; returns impressions per second, collation included."""
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            batch = UserBatch.from_numpy(collate(self.users, next(self.batches)))
            count += int(batch.impression_mask.sum())
            self.stepper(batch.to(self.device), 1e-3)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
        return count / (time.perf_counter() - began)


def per_impression(users: EncodedUsers, history: int) -> EncodedUsers:
    """Every impression as a user of its own with the last `history` events before it."""
    owner = owners(users.impression_offsets)
    visible = users.impressions["visible"]
    start = users.event_offsets[owner] + np.maximum(visible - history, 0)
    stop = users.event_offsets[owner] + visible
    bounds = np.stack([start, stop], axis=1).reshape(-1)
    rows, offsets = gather_segments(bounds, np.arange(0, 2 * len(owner), 2))
    return EncodedUsers(
        user_key=np.arange(len(owner)),
        event_offsets=offsets,
        events={name: values[rows] for name, values in users.events.items()},
        impression_offsets=np.arange(len(owner) + 1),
        impressions={**users.impressions, "visible": stop - start},
        dense=users.dense,
    )


def synthetic_users(count: int, per_user: int, window: int, seed: int = 0) -> EncodedUsers:
    """Users with one to two windows of history, near the 78 events of a Taobao user; impressions spread over it."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(window, 2 * window + 1, count)
    event_offsets = np.r_[0, np.cumsum(lengths)]
    total, shown = int(event_offsets[-1]), count * per_user
    owner = owners(event_offsets)
    time_us = rng.integers(0, 30 * DAY_US, total)
    time_us = time_us[np.lexsort((time_us, owner))]
    visible = np.sort(
        rng.integers(window // 2, np.repeat(lengths, per_user) + 1).reshape(count, per_user), axis=1
    ).reshape(-1)
    before = np.repeat(event_offsets[:-1], per_user) + visible - 1
    draw = lambda high, size: rng.integers(0, high, size)  # noqa: E731
    item, category = draw(ITEMS, total), draw(CATEGORIES, total)
    shown_item, shown_category = draw(ITEMS, shown), draw(CATEGORIES, shown)
    return EncodedUsers(
        user_key=np.arange(count),
        event_offsets=event_offsets,
        events={
            "time_us": time_us,
            "item": item,
            "category": category,
            "item_key": item + 1,
            "category_key": category + 1,
            "behavior": draw(4, total),
            "gap": draw(34, total),
            "hour": draw(24, total),
            "weekday": draw(7, total),
            "log_price": draw(7000, total),
        },
        impression_offsets=np.arange(count + 1) * per_user,
        impressions={
            "time_us": time_us[before] + 1,
            "visible": visible,
            "item": shown_item,
            "category": shown_category,
            "item_key": shown_item + 1,
            "category_key": shown_category + 1,
            **{name: draw(8, shown) for name in ("campaign", "device", "region", "bid_bucket", "price_bucket")},
            "hour": draw(24, shown),
            "weekday": draw(7, shown),
            "log_price": draw(7000, shown),
            "click": (rng.random(shown) < 0.1).astype(np.float64),
            "conversion": np.zeros(shown),
            "revenue": np.zeros(shown),
            **{name: np.ones(shown) for name in ("weight", "conversion_weight")},
            **{name: rng.uniform(0.1, 1.0, shown) for name in ("cost", "expected_cost", "price", "bid")},
            **{name: np.arange(shown) for name in ("impression_key", "request_key")},
            "split": np.zeros(shown, np.int8),
        },
        dense=rng.normal(size=(shown, 2 * DENSE + 2)).astype(np.float32),
    )


def make(settings: dict[str, Any], device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"item": ITEMS, "category": CATEGORIES, "campaign": 8, "device": 8, "region": 8, "money": 8}
    rates = {"ctr": 0.1, "cvr": 0.1, "log_value": 3.0, "revenue_per_cost": 2.0}
    model = build_ranker("rosa", settings, {**sizes, "dense": 2 * DENSE + 2}, rates)
    nn.init.normal_(model.heads.ctr.weight)  # type: ignore[union-attr, arg-type]
    return model.to(device)


def scores(model: nn.Module, users: EncodedUsers, device: torch.device) -> np.ndarray:
    logits = np.zeros(len(users.impressions["time_us"]))
    for chosen in batch_users(users, 4, None):
        batch = UserBatch.from_numpy(collate(users, chosen)).to(device)
        with torch.inference_mode():
            mask = batch.impression_mask
            logits[batch.row[mask].cpu().numpy()] = model(batch).ctr_logit[mask].cpu().numpy()
    return logits


def device_name(device: torch.device) -> str:
    """What the steps ran on, and with how many threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU thread(s)"


def show(document: dict[str, Any]) -> None:
    title = f"training throughput, {document['device']}; {document['machine']}; {document['date'][:10]}"
    table = Table(
        "impressions/user", "user-major, impressions/s", "per impression, impressions/s", "ratio", title=title
    )
    for row in document["rows"]:
        figures = [f"{row[f'{way}_impressions_per_s']:,.0f}" for way in ("user_major", "per_impression")]
        table.add_row(str(row["impressions_per_user"]), *figures, f"{row['ratio']:.1f}x")
    console = Console()
    console.print(table)
    console.print(f"model {document['model']}; largest difference of a logit {document['largest_difference']}")


def _endless(users: EncodedUsers, users_per_batch: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    while True:
        yield from batch_users(users, users_per_batch, rng)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--impressions-per-step", type=int, default=400, help="the default 8 users of 50 impressions")
    parser.add_argument("--seconds", type=float, default=5.0, help="per way and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="JSON file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
