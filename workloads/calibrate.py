"""`rosa calibrate`: fit the calibration of a trained model anew, on the validation period of the data as it is now."""

import math

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.training.recalibrate import Recalibration
from rosa_ray.words import counted
from workloads.places import record_config


def run(config: RunConfig) -> int:
    """Write the run's bundle with a new calibration."""
    from rosa_ray.training.recalibrate import recalibrate

    run_dir = record_config(config)
    with connected(config.ray):
        found = recalibrate(
            config.calibration,
            data_dir=run_dir.data.root,
            run_dir=run_dir.root,
            actors=config.training.workers,
            use_gpu=config.training.use_gpu,
        )
    print("\n".join(lines(run_dir.bundle, found)))
    return 0


def lines(bundle_dir: str, found: Recalibration) -> list[str]:
    r"""What a person is told of a calibration.

    >>> levels = {"pcoc": {"clicks": (1.25, 1.0)}, "level_error": {"clicks": 0.1}}
    >>> found = Recalibration("a1", "b2", 900.0, 30.0, 0.0, **levels, fallbacks={"cvr": "no conversion"})
    >>> print(*lines("RUN/bundle", found), sep="\n")
    RUN/bundle: model a1 -> b2, calibrated on 900 impressions, 30 clicks and 0 conversions
    PCOC of clicks there: 1.250 -> 1.000; 0.82 to 1.22 on a day to come (95 %)
    nothing could be fitted to cvr: no conversion
    """
    rows = [counted(found.impressions, "impression"), counted(found.clicks, "click")]
    said = f"calibrated on {rows[0]}, {rows[1]} and {counted(found.conversions, 'conversion')}"
    return [
        f"{bundle_dir}: model {found.former} -> {found.version}, {said}",
        *(_level(head, *pcoc, found.level_error[head]) for head, pcoc in found.pcoc.items()),
        *(f"nothing could be fitted to {part}: {reason}" for part, reason in found.fallbacks.items()),
    ]


def _level(head: str, before: float, after: float, error: float) -> str:
    low, high = (after * math.exp(side * 1.96 * error) for side in (-1, 1))
    return f"PCOC of {head} there: {before:.3f} -> {after:.3f}; {low:.2f} to {high:.2f} on a day to come (95 %)"
