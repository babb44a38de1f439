"""Which task weights win on AUC, and which on return."""

from rosa_ray.report.blocks import missing
from rosa_ray.report.markup import Child
from rosa_ray.report.run_files import RunFiles
from rosa_ray.report.studies import QUALITY, variants_page

TITLE, ORDER = "Task weights", 72


def render(run: RunFiles) -> Child:
    """A table and the gaps."""
    study = run.study("weights")
    if study is None:
        return missing("The model under other task weights is", "rosa weights CONFIG")
    return variants_page("Task weights", study, QUALITY)
