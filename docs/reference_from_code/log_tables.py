"""The contracts of the logs: columns, types, and the rules that a row must keep."""

from docs.reference_from_code.markdown import anchor, code, table
from rosa_ray.schema import CONTRACTS, Column, Contract

_INTRODUCTION = """# Tables of a log

A log has three tables: `events`, `impressions` and `ads`. `candidates` is a fourth one that may be there. Clicks and
conversions stand in the rows of the impressions, or in [tables of their own](../how-to/join-clicks-and-conversions.md).
[Bring your log](../how-to/bring-your-log.md) shows how your columns are mapped to these.

`users` and `items` hold columns that you declare, and `ads`, `impressions` and `candidates` may hold such columns too.
[Add columns of your own](../how-to/bring-your-log.md#add-columns-of-your-own) has their names and types.

A table that lacks a required column is refused. A row that breaks a rule is set aside and counted with its reason.
[See what was lost](../how-to/see-what-was-lost.md) says what becomes of rows that share an id.
"""

_PURPOSE = {
    "events": "What users did.",
    "impressions": "Which ads users were shown, and what became of them.",
    "ads": "The catalogue of ads. An ad may have several rows, each from its `valid_from` on.",
    "clicks": "Clicks, where they have a log of their own. They are joined to the impressions.",
    "conversions": "Conversions and refunds, where they have a log of their own.",
    "users": "What is known of users. A user may have several rows, each from its `valid_from` on.",
    "items": "What is known of items. An item may have several rows, each from its `valid_from` on.",
    "candidates": "Which ads could have been shown for a request. With it the value of a policy can be estimated.",
}


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(contract) for contract in CONTRACTS.values())])


def _section(contract: Contract) -> str:
    rows = [
        (anchor(f"{contract.name}.{column.name}") + code(column.name), _type(column), column.meaning, _rules(column))
        for column in contract.columns
    ]
    lines = [f"## {contract.name}", "", _PURPOSE.get(contract.name, ""), ""]
    lines += [table(["column", "type", "meaning", "set aside are rows that"], rows), ""]
    if contract.row_rules:
        lines += ["Rows are also set aside that", ""]
        lines += [f"- {reason} (`{column}`)" for column, reason, _ in contract.row_rules] + [""]
    return "\n".join(lines)


def _type(column: Column) -> str:
    return str(column.type) if column.required else f"{column.type}, optional"


def _rules(column: Column) -> str:
    reasons = [rule.reason for rule in column.rules]
    return ", or ".join((["are null"] if column.required else []) + reasons)
