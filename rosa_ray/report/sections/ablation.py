"""What each part of the model adds: the same model without it."""

from rosa_ray.report.blocks import missing
from rosa_ray.report.markup import Child
from rosa_ray.report.run_files import RunFiles
from rosa_ray.report.studies import QUALITY, SPEED, variants_page

TITLE, ORDER = "What each part adds", 70


def render(run: RunFiles) -> Child:
    """What each part adds, in words, in a table and as gaps."""
    study = run.study("ablate")
    if study is None:
        return missing("An ablation of the model’s parts is", "rosa ablate CONFIG")
    return variants_page("Ablations", study, QUALITY + SPEED[:1])
