"""One self-contained HTML page about a run: what it learned, how well it ranks and what that earns.

Everything on the page comes from files of the run directory. The page loads nothing: charts are inline SVG, the style
sheet is in the page, and every value read from a file is escaped.
"""

from rosa_ray.report.page import render_page, write_report
from rosa_ray.report.run_files import RunFiles, open_run_files

__all__ = ["RunFiles", "open_run_files", "render_page", "write_report"]
