"""Which task weights win on AUC, and which on return."""

from rosa_ray.report.blocks import figures, missing
from rosa_ray.report.markup import Child, tag
from rosa_ray.report.run_files import RunFiles
from rosa_ray.report.studies import QUALITY, about, gap_charts, metrics_table, trials_table

TITLE, ORDER = "Task weights", 72


def render(run: RunFiles) -> Child:
    """A table and the gaps."""
    study = run.study("weights")
    if study is None:
        return missing("The model under other task weights is", "rosa weights CONFIG")
    return [
        about(study),
        metrics_table("Task weights", study, QUALITY, with_paper=False),
        tag("p", "Means over seeds, 95 % intervals below, the best in bold.", class_="note"),
        figures(gap_charts(study)),
        trials_table(study),
    ]
