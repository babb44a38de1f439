"""What the attention of ROSA-Rec learned: how fast each head forgets, and which behaviours it looks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rosa_ray.features.state import read_feature_config
from rosa_ray.report.blocks import figure, figures, heat, missing, table
from rosa_ray.report.charts import Axis, Row, row_chart
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import hours, number
from rosa_ray.report.run_files import RunFiles

if TYPE_CHECKING:
    import torch

TITLE, ORDER = "What the attention learned", 90
_DECAY, _BIAS = "bias.raw_lambda_H", "bias.omega_BhH"
_TICKS = (
    (1, "1 h"),
    (24, "1 d"),
    (24 * 7, "7 d"),
    (24 * 45, "45 d"),
    (24 * 365, "1 y"),
    (24 * 3650, "10 y"),
    (876000, "100 y"),
)


@dataclass(frozen=True)
class Attention:
    """One attention: half-lives in hours, per head, learned and at the start; ω, per behaviour and head."""

    name: str
    half_lives_h: list[float]
    starting_h: list[float]
    omega: list[list[float]]


def render(run: RunFiles) -> Child:
    """Half-lives and behaviour weights of every attention."""
    if run.bundle is None:
        return missing("The trained weights are", run.command("train"))
    layers = attentions(run.bundle.weights())
    if not layers:
        return tag("p", f"Model '{run.bundle.model['name']}' has neither time decay nor behaviour weights.")
    behaviors = run.bundle.features(read_feature_config).behavior_names
    return figures(_half_lives(layers), _weights(layers, behaviors))


def attentions(weights: "dict[str, torch.Tensor]") -> list[Attention]:
    """Every attention that has a decay or behaviour weights, the encoder's layers first."""
    places = {name.removesuffix(part) for name in weights for part in (_DECAY, _BIAS) if name.endswith(part)}
    return [_attention(place, weights) for place in sorted(places, key=lambda place: (not _is_layer(place), place))]


def _attention(place: str, weights: "dict[str, torch.Tensor]") -> Attention:
    from rosa_ray.models.decay import BehaviorDecayBias

    parts = {part: weights.get(place + part) for part in (_DECAY, _BIAS)}
    heads = next(part.shape[-1] for part in parts.values() if part is not None)
    given = parts[_BIAS]
    behaviors = 0 if given is None else given.shape[0]
    bias = BehaviorDecayBias(heads, given is not None, parts[_DECAY] is not None, behaviors)
    starting = bias.half_life_hours_H.tolist() if parts[_DECAY] is not None else []
    bias.load_state_dict({part.removeprefix("bias."): value for part, value in parts.items() if value is not None})
    learned = bias.half_life_hours_H.tolist() if starting else []
    omega = bias.omega_BhH.tolist() if bias.omega_BhH is not None else []
    return Attention(_name(place), learned, starting, omega)


def _is_layer(place: str) -> bool:
    return place.startswith("encoder.layers.")


def _name(place: str) -> str:
    return f"Layer {int(place.split('.')[2]) + 1}" if _is_layer(place) else "Ads"


def _half_lives(layers: list[Attention]) -> Markup | None:
    rows = [
        Row(f"{layer.name}, head {head + 1}", now, hours(now), reference=start, style=1 + index % 3)
        for index, layer in enumerate(layers)
        for head, (now, start) in enumerate(zip(layer.half_lives_h, layer.starting_h, strict=True))
    ]
    if not rows:
        return None
    shortest = min(min(row.value, row.reference or row.value) for row in rows)
    axis = Axis("half-life (logarithmic)", min(0.8, shortest * 0.8), 2e6, _TICKS, "log")
    values = [[row.label, row.text, hours(row.reference or 0)] for row in rows]
    return figure(
        "How long each head remembers",
        row_chart("Half-life of every attention head, from hours to a century.", axis, rows),
        "The time after which an event counts half, in the encoder’s layers and where ads attend to events. "
        "Hollow marks: where training began; one head starts without decay.",
        table("Half-lives", ["Head", "Learned", "At the start"], values),
    )


def _weights(layers: list[Attention], behaviors: Sequence[str]) -> Markup | None:
    shown = [layer for layer in layers if layer.omega]
    if not shown:
        return None
    rows = [
        (f"{layer.name}, head {head + 1}", [(weight[head], number(weight[head], 3)) for weight in layer.omega])
        for layer in shown
        for head in range(len(layer.omega[0]))
    ]
    return figure(
        "Which behaviours each head looks for",
        heat("Behaviour weights", ["Head", *behaviors], rows),
        "ω, added to the attention logit of an event of that behaviour: +0.69 doubles its weight. It starts at 0.",
    )
