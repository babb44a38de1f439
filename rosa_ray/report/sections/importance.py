"""What each input is worth to each head: what is lost when it is permuted, with intervals."""

from collections.abc import Mapping
from typing import Any

from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Row, linear_axis, row_chart
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import count, is_number, number
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "What each input is worth", 52
_GREY = 0
_WORDS = {"auc_lost": "AUC lost", "logloss_added": "Log loss added", "log_error_added": "Squared log error added"}
_NAMES = {"auc": "AUC", "logloss": "log loss", "log_error": "squared log error"}
_OTHER_HEAD = 4
_STYLES = {"clicks": 1, "conversions": 2, "click and conversion": 3}
_NOTE = "Bars: 95 % intervals over users and permutations. Grey: within chance."


def render(run: RunFiles) -> Child:
    """A chart and a table per head."""
    found, command = run.importance, run.command("evaluate --importance")
    if found is None:
        return missing("Figures by input are", command)
    current = (run.metrics or {}).get("model_version")
    if current and found.get("model_version") != current:
        return missing(
            f"Figures by input are of model {found.get('model_version')}; those of model {current} are", command
        )
    heads = found.get("heads") or {}
    charts = [_head(name, head) for name, head in heads.items() if head.get("fields")]
    reasons = [
        tag("p", f"Nothing can be said of {name}: {head.get('undefined')}.", class_="missing")
        for name, head in heads.items()
        if not head.get("fields")
    ]
    return [_about(found), figures(*charts) if charts else None, reasons]


def _about(found: Mapping[str, Any]) -> Markup:
    words = (
        f"One input at a time was exchanged between {count(found.get('rows'))} test impressions of "
        f"{count(found.get('users'))} users, {count(found.get('repeats'))} times. What a head loses is what the input "
        "is worth to this model. Inputs that say the same share their worth, and none of it is a cause."
    )
    return tag("p", words)


def _head(name: str, head: Mapping[str, Any]) -> Markup:
    measure = head["measure"]
    words, style = _WORDS[measure], _STYLES.get(name, _OTHER_HEAD)
    known = [(field, figures) for field, figures in head["fields"].items() if _is_interval(figures.get(measure))]
    known.sort(key=lambda one: (-one[1][measure]["mean"], one[0]))
    rows = [_row(field, figures[measure], figures["finding"], style) for field, figures in known]
    ends = [0.0, *(end for row in rows for end in (row.value, row.low, row.high) if end is not None)]
    chart = row_chart(f"{words} by input, of {name}.", linear_axis(words, ends), rows, zero=0.0)
    return figure(f"{name.capitalize()}: {words} without an input", chart, _note(head), _table(name, head, known))


def _row(field: str, figures: Mapping[str, float], finding: str, style: int) -> Row:
    shown = _GREY if finding == "within chance" else style
    return Row(field, figures["mean"], number(figures["mean"]), figures["low"], figures["high"], style=shown)


def _note(head: Mapping[str, Any]) -> str:
    base = ", ".join(f"{_NAMES.get(name, name)} {number(value)}" for name, value in head["baseline"].items())
    rows, positives = count(head["rows"]), count(head["positives"])
    counts = f"{rows} rows" if rows == positives else f"{rows} rows, {positives} positive"
    return f"{counts}; as it is: {base}. {_NOTE}"


def _table(name: str, head: Mapping[str, Any], known: list[tuple[str, Mapping[str, Any]]]) -> Markup:
    measures = [measure for measure in _WORDS if measure in known[0][1]] if known else []
    columns = [column for measure in measures for column in (_WORDS[measure], "95 %")]
    rows = [
        [field, figures["finding"], *(cell for measure in measures for cell in _cells(figures[measure]))]
        for field, figures in known
    ]
    return table(f"Inputs: {name}", ["Input", "Finding", *columns], rows, words=(1,))


def _cells(figures: Any) -> tuple[str, str]:
    if not _is_interval(figures):
        return number(None), number(None)
    mean, low, high = (number(round(figures[name], 4) + 0.0) for name in ("mean", "low", "high"))
    return mean, f"{low} … {high}"


def _is_interval(figures: Any) -> bool:
    return isinstance(figures, Mapping) and all(is_number(figures.get(end)) for end in ("mean", "low", "high"))
