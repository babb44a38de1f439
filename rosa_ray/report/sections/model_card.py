"""The model card: what the model is for, what it was made from, what it is not, and how to make it again."""

from typing import Any

from rosa_ray.report.blocks import fold, table
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import count, is_number, leaves, minute, plain
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Model card", 110
_SIMULATED = (
    "Trained and tested on simulated users, auctions and responses. Figures say how well the method learns this "
    "simulator, not what it earns on real traffic."
)
_EXPOSED = "Ad exposure was simulated on real timelines: costs, positions and which ads were shown are invented."
_ALWAYS = (
    "Figures hold for the test period above. Behaviour, prices and competitors change; measure again.",
    "It learns from ads that were shown: what the former policy never showed, it judges by resemblance only.",
    "Not for decisions about people, such as credit, employment or housing; not reviewed for fairness.",
    "An item, campaign or region unseen in training shares a bucket with others and is judged by them.",
)
_INPUTS = (
    "the user’s timeline of items, behaviours and times; the ad’s item, category, campaign, bid and price; device, "
    "region and hour"
)
_VERBS = ("preprocess", "train", "evaluate")


def render(run: RunFiles) -> Child:
    """Facts, limits, settings, versions and commands."""
    return [
        table("Model card", ["", ""], _facts(run), words=(1,), class_="card-facts"),
        tag("h3", "Limits"),
        tag("ul", [tag("li", limit) for limit in _limits(run)]),
        tag("h3", "To make it again"),
        _commands(run),
        _settings(run),
    ]


def _facts(run: RunFiles) -> list[list[Child]]:
    model = run.bundle.model if run.bundle else {}
    versions = run.bundle.manifest.versions if run.bundle else {}
    facts = [
        (
            "Use",
            "Ranking the candidate ads of a request by expected return on investment, for a team that owns the log.",
        ),
        ("Model", _model(run, model)),
        ("Inputs", _inputs(run)),
        ("Calibration", _calibration(run)),
        ("Data", _data(run)),
        ("Made", f"{run.bundle.manifest.created}, with {plain(versions)}" if run.bundle else plain(None)),
        ("Code licence", "Apache-2.0"),
        ("Data licence", "That of the log it was trained on; weights and figures derive from it. " + _source(run)),
    ]
    return [[name, fact] for name, fact in facts]


def _model(run: RunFiles, model: dict[str, Any]) -> str:
    if run.bundle is None:
        return "not trained yet"
    version = f"version {run.bundle.model_version}, features {run.bundle.feature_fingerprint}"
    return f"{model['name']}, {version}; {plain(model['config'])}"


def _inputs(run: RunFiles) -> str:
    features = (run.config or {}).get("features", {})
    views = [str(view).replace("_", " ") for view in features.get("views", [])]
    views += [f"{one['of']} by {', '.join(one['by'])}" for one in features.get("counters", [])]
    counters = f"; counters: {plain(views)}" if views else ""
    return f"{_INPUTS}{counters}"


def _calibration(run: RunFiles) -> str:
    settings = (run.config or {}).get("calibration")
    return f"fitted on the validation period; {plain(settings)}" if settings else "none"


def _data(run: RunFiles) -> str:
    if run.data is None:
        return plain(None)
    spec = run.spec or {}
    known = is_number(spec.get("start_us")) and is_number(spec.get("end_us"))
    window = f", {minute(spec['start_us'])} to {minute(spec['end_us'])}" if known else ""
    counts = ", ".join(f"{count(run.data.get(name))} {name}" for name in ("users", "events", "impressions"))
    return f"{counts}{window}"


def _source(run: RunFiles) -> str:
    if _simulated(run):
        return "This log is the built-in simulator’s and free of personal data."
    kind = (run.config or {}).get("source", {}).get("kind", "log")
    return f"Source: {kind}; its publisher’s or owner’s terms apply."


def _simulated(run: RunFiles) -> bool:
    source = (run.config or {}).get("source", {})
    return run.log is not None and run.log.get("kind") == "simulation" and not source.get("path")


def _limits(run: RunFiles) -> list[str]:
    if _simulated(run):
        return [_SIMULATED, *_ALWAYS]
    return [_EXPOSED, *_ALWAYS] if run.log else list(_ALWAYS)


def _commands(run: RunFiles) -> Markup:
    verbs = (("simulate",) if _simulated(run) else ()) + _VERBS
    lines = [run.command(verb) for verb in verbs] + [f"rosa report {run.root}"]
    return tag("pre", tag("code", "\n".join(lines)), class_="scroll", tabindex=0)


def _settings(run: RunFiles) -> Child:
    if not run.config:
        return None
    rows = [[name, plain(value)] for name, value in leaves(run.config)]
    return fold("Every setting of the run", table("Settings", ["Setting", "Value"], rows, words=(1,)))
