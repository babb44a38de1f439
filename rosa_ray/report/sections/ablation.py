"""What each part of the model adds: the same model without it."""

from rosa_ray.report.blocks import figures, missing
from rosa_ray.report.markup import Child, tag
from rosa_ray.report.run_files import RunFiles
from rosa_ray.report.studies import QUALITY, SPEED, about, gap_charts, metrics_table, trials_table

TITLE, ORDER = "What each part adds", 70


def render(run: RunFiles) -> Child:
    """A table and the gaps."""
    study = run.study("ablate")
    if study is None:
        return missing("An ablation of the model’s parts is", "rosa ablate CONFIG")
    return [
        about(study),
        metrics_table("Ablations", study, QUALITY + SPEED[:1], with_paper=False),
        tag("p", "Means over seeds, 95 % intervals below, the best in bold.", class_="note"),
        figures(gap_charts(study)),
        trials_table(study),
    ]
