"""`rosa train`: fit the model on preprocessed data and write its bundle."""

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.settings.plain import redacted
from workloads.places import record_config


def run(config: RunConfig) -> int:
    """Train, or go on with a training that stopped."""
    from rosa_ray.data.leakage.guard import guard
    from rosa_ray.data.user_rows import require_behaviors, require_keep_rate
    from rosa_ray.training.trainer import train

    run_dir = record_config(config)
    require_keep_rate(run_dir.data, config.preprocess.negative_keep_rate)
    require_behaviors(run_dir.data, config.features)
    if config.leak_guard.action != "off":
        print("\n".join(guard(run_dir.data.root, config.leak_guard, config.source).lines()))
    with connected(config.ray):
        result = train(
            model=config.model,
            loss=config.loss,
            pretrain=config.pretrain,
            training=config.training,
            calibration=config.calibration,
            gate=config.gate,
            tracking=config.tracking,
            seed=config.seed,
            data_dir=run_dir.data.root,
            run_dir=run_dir.root,
            config=redacted(config),
        )
    print(
        f"{result.bundle_dir}: model {result.model_version}, epoch {result.best_epoch} of {result.epochs}, "
        f"{result.seconds:.1f} s, {result.samples_per_s:,.0f} impressions/s"
    )
    return 0
