"""Every exit code of `rosa`, from the errors that carry them."""

from collections.abc import Iterator

from docs.reference_from_code.markdown import code, summary, table
from rosa_ray.errors import EXIT_PARTIAL, RosaError
from workloads.command_line import INTERRUPTED

_INTRODUCTION = """# Exit codes

`rosa` answers a script with its exit code, and a person with one line on stderr.
The line names the place, the cause and what would be right. `--debug` adds the traceback.
"""


def page() -> str:
    """The page as Markdown."""
    rows = [("0", "", "The job is done."), *_errors()]
    rows.append((str(EXIT_PARTIAL), "", "The job is done, but some input was lost or looks wrong, and was named."))
    rows.append((str(INTERRUPTED), "", "Somebody pressed Ctrl-C."))
    rows.sort(key=lambda row: int(row[0]))
    return f"{_INTRODUCTION}\n{table(['code', 'error', 'what happened'], rows)}\n"


def _errors() -> Iterator[tuple[str, str, str]]:
    known: dict[int, list[type[RosaError]]] = {}
    every: list[type[RosaError]] = [RosaError, *_below(RosaError)]
    for error in every:
        known.setdefault(error.exit_code, []).append(error)
    for exit_code, errors in known.items():
        meaning = " ".join(summary(error) for error in errors)
        if errors[0] is RosaError:
            errors, meaning = errors[:1], "Something failed that has no closer name, or that nobody foresaw."
        yield str(exit_code), ", ".join(code(error.__name__) for error in errors), meaning


def _below(error: type[RosaError]) -> Iterator[type[RosaError]]:
    for child in error.__subclasses__():
        if child.__module__ == RosaError.__module__:
            yield child
            yield from _below(child)
