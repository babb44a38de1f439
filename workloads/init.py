"""`rosa init`: look at files and write a config that reads them."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.intake.guesses import TableGuess, confidence_word
from rosa_ray.intake.propose import Proposal, propose


def run(files: Sequence[str], out: str, force: bool) -> int:
    """Write the config, and print what was guessed from what.

    Raises:
        ConfigError: the file to write is there, and `force` is not given.
        InputError: a location holds no files, no file is a table of a log, or the config cannot be written.
    """
    path = Path(out)
    if path.exists() and not force:
        raise ConfigError(f"{path}: is there already; name another file with --out, or overwrite it with --force")
    proposal = propose(files, path.stem, f"rosa check {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(proposal.draft.text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    _print(proposal, path)
    return 0


def _print(proposal: Proposal, path: Path) -> None:
    console = Console()
    if proposal.known:
        print(f"the public log '{proposal.known}': its columns, units and zones are known")
    for guess in proposal.tables:
        console.print(_table(guess))
    for one in proposal.left:
        print(f"not used: {one.location}: {one.reason}")
    for choice in proposal.draft.choices:
        print(f"choose: {choice}")
    count = len(proposal.draft.choices)
    decisions = f", {count} line{'s' * (count > 1)} to decide" if count else ""
    print(f"{path}: written{decisions}; next: rosa check {path}")


def _table(guess: TableGuess) -> Table:
    sample = guess.sample
    files = f", {sample.files} files" if sample.files > 1 else ""
    sure = confidence_word(guess.confidence)
    table = Table(
        title=f"{sample.location}{files}: {guess.table} ({sure}, {guess.confidence:.0%})", title_justify="left"
    )
    for name in ("column", "from", "how sure", "why", "values", "examples"):
        table.add_column(name, overflow="fold")
    for found in guess.columns.values():
        sure = f"{confidence_word(found.confidence)} {found.confidence:.0%}"
        examples = ", ".join(text[:24] for text in found.found.examples[:2])
        table.add_row(found.column, found.file_column or "''", sure, found.why, found.found.describe(), examples)
    for entry in guess.missing:
        table.add_row(entry.name, "none", "", "", "", "")
    return table
