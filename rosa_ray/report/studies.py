"""What the pages of all studies share: variants, intervals, gaps, the paper's figures, trials."""

from collections.abc import Sequence
from typing import Any

from rosa_ray.report.blocks import figure, figures, fold, table
from rosa_ray.report.charts import Row, linear_axis, row_chart
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import MISSING, count, is_number, number, plain

StudyDocument = dict[str, Any]
"""What `compare` and such wrote: `variants`, `gaps`, `paper` and the like."""

Metric = tuple[str, str, int, int]
"""Key, heading, decimals, and which way is better: 1 higher, -1 lower, 0 neither."""

QUALITY: tuple[Metric, ...] = (
    ("auc", "AUC", 4, 1),
    ("cvr_auc", "CVR AUC", 4, 1),
    ("ctcvr_auc", "CTCVR AUC", 4, 1),
    ("logloss", "Log loss", 4, -1),
    ("roi_gain", "ROI gain", 1, 1),
    ("revenue_index", "Revenue index", 3, 1),
    ("policy_roi", "Policy ROI", 3, 1),
    ("covered_share", "Covered share", 3, 1),
    ("pcoc", "PCOC", 3, 0),
)
TRUE: tuple[Metric, ...] = (
    ("true_auc", "AUC*", 4, 1),
    ("true_cvr_auc", "CVR AUC*", 4, 1),
    ("true_excess_logloss", "KL*, nats", 5, -1),
    ("true_cvr_excess_logloss", "CVR KL*, nats", 5, -1),
    ("true_pcoc", "PCOC*", 3, 0),
    ("true_cvr_pcoc", "CVR PCOC*", 3, 0),
    ("true_shown_auc", "AUC*, shown", 4, 1),
    ("true_shown_cvr_auc", "CVR AUC*, shown", 4, 1),
)
"""Against the simulator's true probabilities."""

SPEED: tuple[Metric, ...] = (
    ("latency_p50_ms", "p50, ms", 1, -1),
    ("latency_p99_ms", "p99, ms", 1, -1),
    ("requests_per_s", "Requests per s", 1, 1),
    ("samples_per_s", "Training, impressions per s", 0, 1),
)
_LOWER_IS_BETTER = {key for key, _, _, direction in QUALITY + TRUE if direction < 0}
METRIC_NAMES = {key: name for key, name, *_ in QUALITY + TRUE + SPEED} | {"roi_gain_percent": "return on ad spend, %"}


def about(study: StudyDocument) -> list[Markup]:
    """How the study was made, in two lines."""
    data = study.get("data") or {}
    counts = ", ".join(f"{count(data[key])} {key.replace('_', ' ')}" for key in data if is_number(data[key]))
    seeds = len(study.get("seeds") or [])
    where = " · ".join(str(study[key]) for key in ("machine", "date") if study.get(key))
    source = f", source {plain(data['source'])}" if data.get("source") else ""
    return [
        tag("p", f"{seeds} seed{'s' if seeds != 1 else ''} each; {counts}{source}. {where}".strip()),
        tag("p", tag("code", plain(study.get("command")))) if study.get("command") else Markup(""),
    ]


def verdicts(study: StudyDocument) -> Markup | None:
    """What the study says in words; None of one from before there were any."""
    lines = [tag("li", plain(line)) for line in study.get("verdicts") or []]
    return tag("ul", *lines) if lines else None


def variants_table(title: str, study: StudyDocument, metrics: Sequence[Metric], with_paper: bool) -> Markup:
    """Return a table of variants by metrics: mean, 95 % interval below it, the best in bold, the paper's beside."""
    variants = study["variants"]
    paper = (study.get("paper") or {}) if with_paper else {}
    known = [metric for metric in metrics if any(is_number(_mean(one, metric[0])) for one in variants)]
    quoted = {key for key, *_ in known if any(is_number((paper.get(one["name"]) or {}).get(key)) for one in variants)}
    head: list[Child] = ["Model"]
    for key, name, *_ in known:
        head += [name, tag("span", "paper", class_="paper")] if key in quoted else [name]
    best = {metric[0]: _best(variants, metric) for metric in known}
    rows = [[label(one), *_row(one, known, quoted, best, paper.get(one["name"]) or {})] for one in variants]
    return table(title, head, rows)


def truth_part(study: StudyDocument) -> Child:
    """The variants against the true probabilities, with what the truth itself reaches; None without a truth."""
    if not any(is_number(_mean(one, key)) for one in study["variants"] for key, *_ in TRUE):
        return None
    ceilings = study.get("ceilings") or {}
    reached = [f"{METRIC_NAMES[key]} {number(ceilings[key])}" for key, *_ in TRUE if is_number(ceilings.get(key))]
    words = (
        "Every candidate of the test period counts as a click with its true probability, and as none with the rest; "
        "CVR AUC* likewise among clicks. KL* is the log loss above that of the truth."
    )
    limit = f" The truth itself reaches {', '.join(reached)}." if reached else ""
    return [
        tag("h3", "Against the truth"),
        variants_table("Variants against the truth", study, TRUE, with_paper=False),
        tag("p", f"{words}{limit}", class_="note"),
    ]


def _row(
    one: dict[str, Any], known: Sequence[Metric], quoted: set[str], best: dict[str, float | None], paper: dict[str, Any]
) -> list[Child]:
    cells: list[Child] = []
    for key, _, digits, _ in known:
        mean = _mean(one, key)
        figure_ = number(mean, digits)
        shown = tag("strong", figure_) if is_number(mean) and mean == best[key] else figure_
        cells.append([shown, _interval(one, key, digits)])
        if key in quoted:
            cells.append(tag("span", number(paper.get(key), _paper_digits(key)), class_="paper"))
    return cells


def _interval(one: dict[str, Any], key: str, digits: int) -> Markup | None:
    low, high = (one.get(end, {}).get(key) for end in ("low", "high"))
    if not (is_number(low) and is_number(high)):
        return None
    return tag("small", f"{number(low, digits)} to {number(high, digits)}")


def _paper_digits(key: str) -> int:
    return 3 if key.endswith("auc") else 1 if key == "roi_gain" else 0


def _best(variants: Sequence[dict[str, Any]], metric: Metric) -> float | None:
    key, _, _, direction = metric
    means = [mean for one in variants if is_number(mean := _mean(one, key))]
    return direction * max(direction * mean for mean in means) if means and direction else None


def _mean(one: dict[str, Any], key: str) -> Any:
    return (one.get("mean") or {}).get(key)


def label(one: dict[str, Any]) -> str:
    """The name of a variant as people know it."""
    return str(one.get("label") or one["name"])


def gap_charts(study: StudyDocument) -> list[Markup]:
    """One chart per metric: the champion's lead over each other variant, with its interval and the target."""
    names = {one["name"]: label(one) for one in study["variants"]}
    gaps = [gap for gap in study.get("gaps") or [] if is_number(gap.get("gap"))]
    champion = names.get(study.get("champion", ""), str(study.get("champion")))
    metrics = list(dict.fromkeys(gap["metric"] for gap in gaps))
    return [_gap_chart(metric, champion, names, [gap for gap in gaps if gap["metric"] == metric]) for metric in metrics]


def _gap_chart(metric: str, champion: str, names: dict[str, str], gaps: list[dict[str, Any]]) -> Markup:
    name, digits = (
        METRIC_NAMES.get(metric, metric),
        1 if metric.startswith("roi_gain") else 5 if "excess" in metric else 4,
    )
    rows = [
        Row(
            names.get(gap["baseline"]) or str(gap["baseline"]),
            gap["gap"],
            number(gap["gap"], digits),
            gap.get("low"),
            gap.get("high"),
            gap.get("target"),
        )
        for gap in gaps
    ]
    ends = [end for row in rows for end in (row.value, row.low, row.high, row.reference) if end is not None]
    values = [
        [
            row.label,
            *(number(end, digits) for end in (row.value, row.low, row.high)),
            gap.get("verdict") or MISSING,
            number(row.reference, digits),
        ]
        for row, gap in zip(rows, gaps, strict=True)
    ]
    better = "left" if metric in _LOWER_IS_BETTER else "right"
    note = f"Bars: 95 % intervals; {better} of the line is better. "
    targeted = any(row.reference is not None for row in rows)
    return figure(
        f"{name}: {champion} less the other",
        row_chart(
            f"Gap in {name} to each other variant.", linear_axis(f"difference in {name}", [0.0, *ends]), rows, zero=0.0
        ),
        note + ("Hollow marks: the target." if targeted else ""),
        table(f"Gaps in {name}", ["Against", "Gap", "from", "to", "Verdict", "Target"], values, words=(4,)),
    )


def variants_page(title: str, study: StudyDocument, metrics: Sequence[Metric]) -> list[Child]:
    """All of a study that sets variants of one model side by side."""
    return [
        about(study),
        verdicts(study),
        variants_table(title, study, metrics, with_paper=False),
        tag("p", "Means over seeds, 95 % intervals below, the best in bold.", class_="note"),
        truth_part(study),
        figures(gap_charts(study)),
        trials_table(study),
    ]


def gap_table(study: StudyDocument) -> Markup:
    """Every pair that the study sets against each other, by metric."""
    names = {one["name"]: label(one) for one in study["variants"]}
    rows = [
        [
            names.get(gap["champion"]) or str(gap["champion"]),
            names.get(gap["baseline"]) or str(gap["baseline"]),
            METRIC_NAMES.get(gap["metric"], gap["metric"]),
            *(number(gap.get(key), 1 if gap["metric"] == "roi_gain_percent" else 4) for key in ("gap", "low", "high")),
            gap.get("verdict") or MISSING,
        ]
        for gap in study.get("gaps") or []
        if is_number(gap.get("gap"))
    ]
    return table("Gaps", ["Variant", "less", "in", "Gap", "from", "to", "Verdict"], rows, words=(1, 2, 6))


def _tested(one: dict[str, Any], key: str) -> bool:
    return any(is_number((trial.get("test") or {}).get(key)) for trial in one.get("trials") or [])


def trials_table(study: StudyDocument) -> Markup:
    """Every trial, folded away."""
    keys = [
        key
        for key in ("auc", "cvr_auc", "logloss", "policy_roi", "pcoc", "true_auc", "true_cvr_auc")
        if not key.startswith("true_") or any(_tested(one, key) for one in study["variants"])
    ]
    rows = [
        [
            f"{label(one)}, seed {trial.get('seed')}",
            count(trial.get("best_epoch")),
            number(trial.get("train_seconds"), 0),
            *(number((trial.get("test") or {}).get(key)) for key in keys),
        ]
        for one in study["variants"]
        for trial in one.get("trials") or []
    ]
    head = ["Trial", "Best epoch", "Training, s", *(METRIC_NAMES[key] for key in keys)]
    settings = [
        [label(one), number(one.get("learning_rate"), 5), plain(one.get("settings") or {})] for one in study["variants"]
    ]
    return fold(
        "Every trial, and the settings of each variant",
        [
            table("Trials", head, rows),
            table("Settings", ["Variant", "Learning rate", "Settings"], settings, words=(2,)),
        ],
    )
