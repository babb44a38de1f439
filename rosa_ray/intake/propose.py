"""From files to a proposed config: look, guess, write."""

from collections.abc import Sequence
from dataclasses import dataclass

from rosa_ray.errors import InputError
from rosa_ray.intake.draft import Draft, draft_config, draft_known
from rosa_ray.intake.guesses import TableGuess, ads_of, guess_tables
from rosa_ray.intake.public_logs import known_log
from rosa_ray.intake.samples import Unread, read_samples


@dataclass(frozen=True)
class Proposal:
    """A config that reads files, and how it came about.

    Attributes:
        tables: what the files seem to be, in contract order; empty for a public log that is known by name.
        left: locations that are not used, each with the reason.
        known: kind of the source that knows the log by name; empty where none does.
    """

    draft: Draft
    tables: tuple[TableGuess, ...]
    left: tuple[Unread, ...]
    known: str = ""


def propose(locations: Sequence[str], name: str, command: str) -> Proposal:
    """Look at files and propose a config.

    Args:
        locations: files, folders or globs.
        name: of the run.
        command: what checks the config, for its first line.

    Raises:
        InputError: a location holds no files, or no file is a table of a log.
    """
    samples, unread = read_samples(locations)
    config = known_log(samples, locations) if not unread else None
    if config is not None:
        return Proposal(draft_known(config, name, command), (), (), config.kind)
    tables, others = guess_tables(samples)
    left = (*unread, *others)
    names = [table.table for table in tables]
    if "impressions" in names and "ads" not in names:
        tables.append(ads_of(tables[names.index("impressions")]))
    if not tables:
        raise InputError("; ".join(f"{one.location}: {one.reason}" for one in left))
    return Proposal(draft_config(tables, name, command, left), tuple(tables), left)
