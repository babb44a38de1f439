"""What the run was fed: counts, periods, what was set aside, and what the leak guard found."""

from typing import Any

from rosa_ray.report.blocks import fold, missing, table, tiles
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import MISSING, count, is_number, minute, number, percent, plain
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Data", 100
_PERIODS = {"train": "training", "valid": "validation", "test": "test"}
_CANDIDATES = {"policy": "test candidates", "valid_policy": "validation candidates"}
_FINDING = ("severity", "check", "where", "message", "remedy")
_FAULTS = (
    "duplicate_events",
    "duplicate_impressions",
    "impressions_of_unknown_ads",
    "candidates_of_unknown_ads",
)


def render(run: RunFiles) -> Child:
    """Tiles, the periods, what was set aside, the guard's findings."""
    if run.data is None:
        return missing("The data report is", run.command("preprocess"))
    return [
        tiles(
            [
                (name.capitalize(), count(run.data.get(name)), "")
                for name in ("users", "events", "impressions", "candidates")
            ]
        ),
        tag("h3", "Periods"),
        _window(run),
        _periods(run.data),
        _catalogue(run.data),
        tag("h3", "Set aside"),
        _set_aside(run.data),
        _coverage(run.data),
        tag("h3", "Leakage"),
        _leakage(run),
    ]


def _window(run: RunFiles) -> Markup | None:
    spec = run.spec or {}
    bounds = {**spec.get("bounds", {}), **spec}
    times = [bounds.get(name) for name in ("start_us", "valid_us", "test_us", "end_us")]
    if not all(map(is_number, times)):
        return None
    start, valid, test, end = (minute(int(time)) for time in times if time is not None)
    return tag(
        "p", f"From {start} to {end}; validation begins {valid}, test {test}. Periods are cut by time, never by row."
    )


def _periods(data: dict[str, Any]) -> Markup:
    weighted = any(_has_weights(part) for part in data.get("splits", {}).values())
    young = any(part.get("young") for part in data.get("splits", {}).values())
    rows = [
        [
            {**_PERIODS, **_CANDIDATES}.get(name, name),
            *(count(part.get(key)) for key in ("users", "impressions")),
            *([count(round(part["stands_for"]["impressions"]))] if weighted else []),
            *([count(part.get("young"))] if young else []),
            *(_outcomes(part) if name not in _CANDIDATES else [MISSING] * 6),
        ]
        for name, part in data.get("splits", {}).items()
    ]
    meant = [*(["Stand for"] if weighted else []), *(["Too young"] if young else [])]
    head = ["Period", "Users", "Impressions", *meant, "Clicks", "Conversions", "CTR", "CVR", "Revenue", "Cost"]
    return table("Periods", head, rows)


def _catalogue(data: dict[str, Any]) -> Markup | None:
    """How many ads and versions there are, and how many ads came and went."""
    found = data.get("catalogue")
    if not found:
        return None
    ads, versions, begin, end = (count(found.get(name)) for name in ("ads", "versions", "begin", "end"))
    return tag(
        "p", f"The catalogue has {ads} ads in {versions} versions. While the log ran, {begin} began and {end} ended."
    )


def _has_weights(part: dict[str, Any]) -> bool:
    meant = part.get("stands_for", {}).get("impressions")
    return is_number(meant) and meant != part.get("impressions")


def _outcomes(part: dict[str, Any]) -> list[str]:
    counts = [count(part.get(key)) for key in ("clicks", "conversions")]
    rates = [percent(part.get(key), 2) for key in ("ctr", "cvr")]
    return [*counts, *rates, *(number(part.get(key), 0) for key in ("revenue", "cost"))]


def _set_aside(data: dict[str, Any]) -> Child:
    faults = [[name.replace("_", " "), count(data.get(name))] for name in _FAULTS]
    ingest = data.get("ingest", {})
    rejected = [
        [f"{name}: rows that broke the contract", count(n)] for name, n in ingest.get("rows_rejected", {}).items()
    ]
    files = [one for one in ingest.get("files", []) if one.get("status") != "ok" or one.get("violations")]
    faults.append(["files set aside", count(ingest.get("files_set_aside", 0))])
    summary = table("Rows set aside", ["What", "Count"], [*faults, *rejected])
    return [summary, _losses(data), _files(files) if files else None]


def _losses(data: dict[str, Any]) -> Child:
    """Every reason for which rows did not go on, or not as they were."""
    rows = [
        [
            plain(loss.get("table")),
            plain(loss.get("reason")),
            count(loss.get("rows")),
            percent(loss.get("share"), 2),
            "yes" if loss.get("lost") else "no",
            plain(loss.get("example")),
        ]
        for loss in data.get("losses", [])
    ]
    head = ["Table", "Rows that", "Rows", "Share", "Lost", "Example"]
    return table("What was lost, and why", head, rows, words=(1, 4, 5)) if rows else None


def _coverage(data: dict[str, Any]) -> Child:
    """Whether the tables know each other, and what somebody should look at."""
    rows = [
        [plain(share.get("what")), count(share.get("have")), count(share.get("of")), plain(share.get("hint") or None)]
        for share in data.get("coverage", [])
    ]
    warnings = [tag("p", f"Warning: {text}.") for text in data.get("warnings", [])]
    head = ["Coverage", "Have", "Of", "Hint"]
    return [table("Coverage between the tables", head, rows, words=(3,)) if rows else None, _own(data), warnings]


def _own(data: dict[str, Any]) -> Child:
    """How many impressions have a value of each declared column."""
    own = data.get("own", {})
    rows = [
        [plain(name), count(known), percent(known / own["impressions"] if own.get("impressions") else None, 1)]
        for name, known in own.get("known", {}).items()
    ]
    return table("Declared columns", ["Column", "Impressions with a value", "Share"], rows) if rows else None


def _files(files: list[dict[str, Any]]) -> Markup:
    rows = [
        [
            plain(str(one.get("path", "")).rsplit("/", 1)[-1]),
            plain(one.get("contract")),
            plain(one.get("status")),
            _why(one),
        ]
        for one in files
    ]
    return table("Files with faults", ["File", "Contract", "Status", "Why"], rows, words=(1, 2, 3))


def _why(one: dict[str, Any]) -> str:
    return "; ".join(filter(None, [str(one.get("reason") or ""), *map(plain, one.get("violations") or [])])) or plain(
        None
    )


def _leakage(run: RunFiles) -> Child:
    checks = [[name.replace("_", " "), plain(n)] for name, n in (run.data or {}).get("leakage", {}).items()]
    report = table("Checks of the periods", ["Check", "Rows"], checks) if checks else None
    if run.leak_findings is None:
        return [report, missing("Findings of the leak guard are", run.command("train"))]
    return [report, _findings(run.leak_findings)]


def _findings(found: dict[str, Any]) -> Child:
    findings = [[plain(one.get(key)) for key in _FINDING] for one in found.get("findings") or []]
    read = f"It read {count(found.get('rows'))} impressions of {plain(found.get('files_read'))} files."
    skipped = [tag("p", f"Left out: {plain(found['skipped'])}.")] if found.get("skipped") else []
    return [
        tag("p", f"The leak guard found {len(findings) or 'nothing'}{':' if findings else '.'} {read}"),
        table("Findings of the leak guard", [key.capitalize() for key in _FINDING], findings, words=range(5))
        if findings
        else None,
        skipped,
        fold("What each input alone predicts", _powers(found)) if found.get("features") else None,
    ]


def _powers(found: dict[str, Any]) -> Markup:
    rows = [
        [f"{one.get('feature')}: {one.get('label')}", number(one.get("auc")), count(one.get("rows"))]
        for one in found["features"]
    ]
    return table("Strongest single inputs", ["Input: label", "AUC", "Rows"], rows)
