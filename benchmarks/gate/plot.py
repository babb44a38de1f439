"""ROI against calls of the encoder, and against latency."""

from pathlib import Path
from typing import Any

from gate.population import RULES

COLORS = {"offline": "#8c8c8c", "online": "#c44e52", "fresh": "#dd8452", "learned": "#4c72b0"}


def plot(document: dict[str, Any], path: Path) -> None:
    """ROI against calls of the encoder, and against mean and p99 latency."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    matplotlib.rcParams["svg.fonttype"] = "none"
    figure, (left, *rest) = pyplot.subplots(1, 3, figsize=(13, 4), sharey=True)
    by_rule = {rule: [row for row in document["static"] if row["rule"] == rule] for rule in RULES}
    ends = [by_rule[rule][0] for rule in ("offline", "fresh")]
    left.plot([row["calls"] for row in ends], [row["roi"]["value"] for row in ends], "--", color="#bbbbbb", zorder=0)
    counts = [row for row in document["static"] if row["rule"].startswith("count")]
    left.plot([row["calls"] for row in counts], [row["roi"]["value"] for row in counts], "x", color="#8c8c8c")
    for rule, rows in by_rule.items():
        left.plot([row["calls"] for row in rows], [row["roi"]["value"] for row in rows], "o-", color=COLORS[rule])
    left.set(xlabel="encoder calls per request", ylabel="policy ROI")
    for axis, figure_of in zip(rest, ("mean_ms", "p99_ms"), strict=True):
        for rule in RULES:
            rows = [row for row in document["replayed"] if row["rule"] == rule]
            axis.plot([row[figure_of] for row in rows], [row["roi"]["value"] for row in rows], "o-", color=COLORS[rule])
            for row in rows:
                axis.annotate(f"{row['rate']:g}", (row[figure_of], row["roi"]["value"]), fontsize=7)
        axis.set(xlabel=f"{figure_of[:-3]} latency, ms (numbers: rate)", xscale="log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(ticker.ScalarFormatter())
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    rest[-1].legend(handles=[pyplot.Line2D([], [], color=COLORS[rule], marker="o", label=rule) for rule in RULES])
    figure.tight_layout()
    figure.savefig(path)
