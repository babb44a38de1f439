"""A load as one HTML page that opens offline."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rosa_ray.load.figures import KindFigures, LoadFigures, Stretch
from rosa_ray.report.blocks import figure, figures, table, tiles
from rosa_ray.report.charts import Series, line_chart, linear_axis, log_axis
from rosa_ray.report.layout import Part, save_page, whole_page
from rosa_ray.report.markup import Child, tag
from rosa_ray.report.numbers import MISSING, count, number

_SHOWN_STRETCHES = 200


def write_page(load: LoadFigures, stretches: Sequence[Stretch], asked: str, out: str | Path) -> Path:
    """Write the page.

    Args:
        asked: what was sent where, in words.

    Raises:
        InputError: the page cannot be written.
    """
    facts = [asked, f"written {datetime.now(UTC).date().isoformat()}"]
    parts: list[Part] = [
        ("figures", "What callers saw", [tiles(_tiles(load)), _kinds(load)]),
        ("course", "Second by second", _course(load)),
        ("stretches", "Answers that were alike", _stretches(stretches)),
    ]
    return save_page(whole_page("Load", "Load on a service", facts, parts), Path(out))


def _tiles(load: LoadFigures) -> list[tuple[str, str, str]]:
    found = [
        ("Failed", count(load.failed), f"of {sum(one.requests for one in load.kinds.values()):,} requests"),
        ("Degraded", count(load.degraded), "rankings that lacked a part"),
    ]
    for kind, one in load.kinds.items():
        found.append((f"{kind} p99, ms", number(one.percentiles_ms.get("99"), 1), f"{one.per_s:g} answered a second"))
    return found


def _kinds(load: LoadFigures) -> Child:
    names = list(next(iter(load.kinds.values())).percentiles_ms) if load.kinds else []
    rows = [_row(kind, one, names) for kind, one in load.kinds.items()]
    head = ["Kind", "Sent", "Answered a second", "Failed", *(f"p{name}, ms" for name in names), "Longest, ms", "Why"]
    late = f"The client sent one in a hundred {load.client_late_ms:.1f} ms late or more."
    note = "Every latency counts from the time at which the request was due."
    return [table("Requests", head, rows, words=(len(head) - 1,)), tag("p", note), tag("p", late)]


def _row(kind: str, one: KindFigures, names: Sequence[str]) -> list[Child]:
    reasons = "; ".join(f"{times} x {reason}" for reason, times in one.reasons.items()) or MISSING
    times = [number(one.percentiles_ms.get(name), 1) for name in names]
    return [kind, count(one.requests), number(one.per_s, 1), count(one.failed), *times, number(one.max_ms, 1), reasons]


def _course(load: LoadFigures) -> Child:
    if len(load.by_second) < 2:
        return tag("p", "The load was shorter than two seconds.")
    at = np.array([second.at_s for second in load.by_second], float)
    axis = linear_axis("seconds since the begin", at)
    p50, p99 = (np.array([getattr(second, name) for second in load.by_second]) for name in ("p50_ms", "p99_ms"))
    times = [Series("p50", at, p50, 1), Series("p99", at, p99, 2)]
    lacking = [Series("failed", at, np.array([second.failed for second in load.by_second], float), 1)]
    lacking.append(Series("degraded", at, np.array([second.degraded for second in load.by_second], float), 2))
    answered = np.r_[p50[np.isfinite(p50)], p99[np.isfinite(p99)]]
    label = linear_axis("requests", *(one.y for one in lacking))
    drawn = line_chart("failed and degraded requests of each second", axis, label, lacking)
    charts = [figure("Requests that failed or lacked a part", drawn)]
    if answered.size:
        label = log_axis("latency, ms", np.maximum(answered, 0.1))
        charts.insert(0, figure("Latency", line_chart("latency of each second", axis, label, times)))
    return figures(*charts)


def _stretches(stretches: Sequence[Stretch]) -> Child:
    rows = [
        [
            f"{one.from_s:.1f} to {one.to_s:.1f}",
            one.kind,
            count(one.answers),
            str(one.status or "no answer"),
            one.reason or one.model_version or MISSING,
            " ".join(one.degraded) or MISSING,
            number(one.p50_ms, 0),
            number(one.max_ms, 0),
        ]
        for one in stretches[:_SHOWN_STRETCHES]
    ]
    head = ["Seconds", "Kind", "Answers", "Status", "Model or reason", "Lacked", "p50, ms", "Longest, ms"]
    more = len(stretches) - _SHOWN_STRETCHES
    rest = tag("p", f"{more:,} further stretches are not shown.") if more > 0 else None
    return [table("Stretches", head, rows, words=(1, 3, 4, 5)), rest]
