"""The page about a run: every section, in order."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from rosa_ray.report.layout import save_page, whole_page
from rosa_ray.report.run_files import RunFiles, open_run_files
from rosa_ray.report.sections import all_sections


def write_report(run_dir: str | Path, out: str | Path | None = None, studies: Sequence[str | Path] = ()) -> Path:
    """Write the page about a run.

    Args:
        run_dir: a local run directory, whole or partial: what is missing is said on the page.
        out: where to write; None is `report.html` in the run directory.
        studies: comparison files that are not in the run directory.

    Returns:
        The file written.

    Raises:
        InputError: this is no run directory, one of its files is damaged, or the page cannot be written.
        BundleError: the bundle is damaged.
    """
    run = open_run_files(run_dir, studies)
    path = Path(out or run.place.report)
    return save_page(render_page(run, datetime.now(UTC).date()), path)


def render_page(run: RunFiles, today: date) -> str:
    """Return the page. The same files and date give the same bytes."""
    version = (run.metrics or run.train or {}).get("model_version")
    facts = [f"model {version}" if version else None, f"written {today.isoformat()}"]
    sections = [(section.name, section.title, section.render(run)) for section in all_sections()]
    return whole_page(f"{run.name}: ROSA-Rec report", f"Report of run {run.name}", facts, sections)
