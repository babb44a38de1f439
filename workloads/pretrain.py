"""`rosa pretrain`: teach the encoder and the tables by what users did, before any click is looked at."""

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.settings.plain import redacted
from workloads.places import record_config


def run(config: RunConfig) -> int:
    """Pre-train, or go on with a pre-training that stopped; `rosa train` then starts from the result."""
    from rosa_ray.data.user_rows import require_behaviors
    from rosa_ray.training.pretrain import pretrain_alone

    run_dir = record_config(config)
    require_behaviors(run_dir.data, config.features)
    with connected(config.ray):
        result = pretrain_alone(
            model=config.model,
            loss=config.loss,
            pretrain=config.pretrain,
            training=config.training,
            tracking=config.tracking,
            seed=config.seed,
            data_dir=run_dir.data.root,
            run_dir=run_dir.root,
            config=redacted(config),
        )
    print(f"{run_dir.pretrained(result['digest']).root}: {summary(result)}")
    return 0


def summary(result: dict[str, object]) -> str:
    """A pre-training in one line.

    >>> summary({"epochs": 3, "best_epoch": 2, "loss": 4.5, "blank_loss": 6.0, "seconds": 60.0, "events_per_s": 9000.0})
    'epoch 2 of 3, loss on held-out events 4.5000 (without history 6.0000), 60.0 s, 9,000 events/s'
    >>> summary({"epochs": 0, "started_from": "runs/yesterday"})
    'the weights of runs/yesterday, on the ids of this log'
    """
    if not result["epochs"]:
        return f"the weights of {result['started_from']}, on the ids of this log"
    return (
        f"epoch {result['best_epoch']} of {result['epochs']}, loss on held-out events {result['loss']:.4f} "
        f"(without history {result['blank_loss']:.4f}), {result['seconds']:.1f} s, "
        f"{result['events_per_s']:,.0f} events/s"
    )
