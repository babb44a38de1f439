"""`rosa report`: one self-contained HTML page about a run."""

from collections.abc import Sequence


def run(run_dir: str, out: str, comparisons: Sequence[str]) -> int:
    """Write the page and print where it is."""
    from rosa_ray.report import write_report

    path = write_report(run_dir, out or None, comparisons)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0
