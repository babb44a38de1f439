"""What jobs tell a person in the same words."""

import typer


def print_set_aside(path: str, reason: str) -> None:
    """Name an input file that was set aside, and why, on stderr."""
    typer.secho(f"set aside: {path}: {reason.removeprefix(path + ': ')}", fg=typer.colors.YELLOW, err=True)
