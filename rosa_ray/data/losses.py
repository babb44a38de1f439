"""What a log lost on the way in, and why: one list of reasons with their rows, for the terminal and the report.

A row is lost where no model learns from it. Copies, versions and rows outside of the configured period are told too,
but they are not losses.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rosa_ray.labels.outcomes import NOT_KNOWN, OUTCOMES, OVERDRAWN
from rosa_ray.schema import ADS, CANDIDATES, CONTRACTS, CONVERSIONS, EVENTS, IMPRESSIONS, ITEMS, USERS
from rosa_ray.schema.spans import STRAY, STRAY_REMEDY


@dataclass(frozen=True)
class Reason:
    """Why rows are told of.

    Attributes:
        text: completes "N rows …".
        lost: no model learns from these rows, though it should.
        remedy: what to do about them; empty where nothing is wrong.
        always: any such row makes the run partial.
    """

    text: str
    lost: bool
    remedy: str = ""
    always: bool = False


def _label_reasons(table: str) -> dict[str, Reason]:
    """What became of clicks and conversions of logs of their own."""
    told = [*OUTCOMES.get(table, {}).values(), *([OVERDRAWN] if table == CONVERSIONS.name else [])]
    return {one.name: Reason(one.text, one.lost, one.remedy) for one in told}


@dataclass(frozen=True)
class Loss:
    """Rows of one table that were set aside, merged or noted for one reason.

    Attributes:
        rows, of: how many, and how many rows the table had.
        lost: nothing of them goes on.
        example: one of them in words, empty where none is known.
    """

    table: str
    reason: str
    rows: int
    of: int
    lost: bool
    example: str = ""
    remedy: str = ""

    @property
    def share(self) -> float:
        """Of the table's rows.

        >>> Loss("events", "are copies", 1, 4, False).share
        0.25
        """
        return self.rows / self.of if self.of else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return asdict(self) | {"share": self.share}


_THINGS = {ADS.name: "an ad", USERS.name: "a user", ITEMS.name: "an item"}
"""Tables whose rows are versions -> what of."""

_KEYS = {EVENTS.name: "event_id", ADS.name: "ad_id", USERS.name: "user_id", ITEMS.name: "item_id"}
_DATED = {
    **dict.fromkeys(_THINGS, ("valid_from", "since when a row holds")),
    IMPRESSIONS.name: ("updated_time", "which row is the newest"),
}


def reasons(table: str) -> dict[str, Reason]:
    """Counts of the fold that are told of, in the order of a report.

    >>> reasons("ads")["conflicting_ads"].lost
    True
    """
    key = _KEYS.get(table, "impression_id")
    dated, told = _DATED.get(table, ("", ""))
    newest = f"a column {table}.{dated} would say {told}" if dated else ""
    renumber = f'source.columns: {{{table}: {{{key}: "#row"}}}} numbers the rows anew'
    thing = _THINGS.get(table)
    versions = f"are later versions of {thing} (a request takes the one of its time)" if thing else ""
    return {
        **_label_reasons(table),
        f"outlying_{table}": Reason(STRAY, True, STRAY_REMEDY),
        f"conflicting_{table}": Reason(f"contradict another row of their {key}", True, newest or renumber),
        **_of_ads(table),
        f"left_out_{table}": Reason("lie outside of preprocess.from_time and until_time, or after labels.as_of", False),
        f"shared_ids_of_{table}": Reason(f"have an {key} that names something else too (kept)", False, renumber, True),
        f"versions_of_{table}": Reason(versions or "are older versions of a row", False),
        f"duplicate_{table}": Reason("are copies of a row", False),
        **({f"unchanged_{table}": Reason(f"repeat what their {_noun(table)} was before", False)} if versions else {}),
        **(
            {
                "conversions_without_a_click": Reason("convert without a click (counted, no label)", False),
                **{name: Reason(text, False) for name, text in NOT_KNOWN.items()},
            }
            if table == IMPRESSIONS.name
            else {}
        ),
        **(
            {"category_of_the_ad": Reason("say no category and take that of their item's ad", False)}
            if table == EVENTS.name
            else {}
        ),
    }


def _noun(table: str) -> str:
    """What a row of ads, users or items is of.

    >>> _noun("items")
    'item'
    """
    return _THINGS[table].partition(" ")[2]


def _of_ads(table: str) -> dict[str, Reason]:
    """What may be wrong between a row and its ad."""
    if table not in (IMPRESSIONS.name, CANDIDATES.name):
        return {}
    counted = " (counted, but not learned from)" if table == IMPRESSIONS.name else ""
    return {
        f"{table}_of_unknown_ads": Reason(
            f"are of ads that the catalogue lacks{counted}", True, "add these ads to ads"
        ),
        f"{table}_before_their_ads": Reason("come before the first version of their ad (which they take)", False),
        f"{table}_after_their_ads": Reason("come after the end of their ad (kept)", False),
    }


_REPEATED = ("duplicate_ads", "unchanged_ads")
"""What is no news of ads that are read out of the impressions."""


def list_losses(
    files: Iterable[Mapping[str, Any]], counts: Mapping[str, int], examples: Mapping[str, str]
) -> list[Loss]:
    """All reasons that hold for a row at least.

    Args:
        files: `FileReport` of every input file as a dictionary.
        counts, examples: of the fold and of the catalogue, by the names in `reasons`.
    """
    files = list(files)
    losses = []
    for table in CONTRACTS:
        mine = [file for file in files if file["contract"] == table]
        read = sum(file["rows_read"] for file in mine)
        losses += [*_broken_rules(table, mine, read), *_broken_files(table, mine, read)]
        untold = _REPEATED if table == ADS.name and _shown_by(mine, files) else ()
        losses += [
            Loss(table, reason.text, counts[name], read, reason.lost, examples.get(name, ""), reason.remedy)
            for name, reason in reasons(table).items()
            if counts.get(name) and name not in untold
        ]
    return losses


def _shown_by(ads: list[Mapping[str, Any]], files: list[Mapping[str, Any]]) -> bool:
    """Whether the ads are those that the impressions show: a row for each of these, which says nothing new."""
    shown = {file["path"] for file in files if file["contract"] == IMPRESSIONS.name}
    return all(file["path"] in shown for file in ads)


def lost_shares(losses: Iterable[Loss]) -> dict[str, float]:
    """Share of each table's rows that was lost.

    >>> lost_shares([Loss("ads", "a", 1, 8, True), Loss("ads", "b", 1, 8, True), Loss("ads", "c", 4, 8, False)])
    {'ads': 0.25}
    """
    shares: dict[str, float] = {}
    for loss in losses:
        shares[loss.table] = shares.get(loss.table, 0.0) + (loss.share if loss.lost else 0.0)
    return shares


def told_always(counts: Mapping[str, int]) -> bool:
    """Whether rows are there of which a single one makes the run partial."""
    every = (item for table in CONTRACTS for item in reasons(table).items())
    return any(reason.always and counts.get(name) for name, reason in every)


def _broken_rules(table: str, files: list[Mapping[str, Any]], read: int) -> list[Loss]:
    rows: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    noted: Counter[tuple[str, str]] = Counter()
    for file in files:
        for name, tally in (("violations", rows), ("noted", noted)):
            for broken in file.get(name, ()):
                key = broken["column"], broken["reason"]
                tally[key] += broken["rows"]
                if example := broken.get("example"):
                    examples.setdefault(key, f"{_base(file)} {example}")
    return [
        Loss(table, f"{column} {reason}", number, read, lost, examples.get((column, reason), ""))
        for tally, lost in ((rows, True), (noted, False))
        for (column, reason), number in tally.items()
    ]


def _broken_files(table: str, files: list[Mapping[str, Any]], read: int) -> list[Loss]:
    """Rows of files that were set aside whole, without those that a rule had set aside before."""
    broken = [file for file in files if file["status"] != "ok"]
    rows = sum(file["rows_read"] - sum(one["rows"] for one in file.get("violations", ())) for file in broken)
    return [Loss(table, "lie in files that were set aside", rows, read, True, _base(broken[0]))] if rows else []


def _base(file: Mapping[str, Any]) -> str:
    return str(file["path"]).rsplit("/", 1)[-1]
