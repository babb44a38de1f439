"""`rosa cluster check`: hold files for `ray up`, KubeRay and `serve deploy` against what goes wrong on a cluster."""

from collections.abc import Sequence
from pathlib import Path

import typer

from rosa_ray.cluster import check_files
from rosa_ray.errors import ConfigError


def run(files: Sequence[str], verbs: Sequence[str]) -> int:
    """Print what is wrong with the files, a line each.

    Args:
        verbs: that `python -m workloads` takes, for the entrypoints of jobs.

    Raises:
        InputError: a file is missing or not YAML.
        ConfigError: something is wrong.
    """
    findings = check_files([Path(file) for file in files], {"workloads": verbs})
    for finding in findings:
        typer.secho(str(finding), fg=typer.colors.YELLOW, err=True)
    if findings:
        wrong = ", ".join(sorted({finding.file for finding in findings}))
        raise ConfigError(f"{len(findings)} finding{'s' * (len(findings) > 1)} in {wrong}")
    print(f"{', '.join(files)}: nothing found")
    return 0
