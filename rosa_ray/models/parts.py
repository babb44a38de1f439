"""The parts of a ranker that may learn at rates of their own: what events teach, and what clicks alone teach."""

from collections.abc import Collection

from torch import nn

PARTS = {"tables": ("tables",), "encoder": ("events", "encoder", "blocks", "norm", "next_event")}
"""Parts that the task of the next event teaches, each with the attributes of a ranker that make it up."""

HEADS = "heads"
"""The part of all else: ads, context, cross-attention and heads."""


def part_of(name: str) -> str:
    """Part of a parameter, by its name in a ranker or in a ranker that DDP wraps.

    >>> part_of("tables.item.weight"), part_of("module.encoder.norm.weight"), part_of("ads.norm.weight")
    ('tables', 'encoder', 'heads')
    """
    attribute = name.removeprefix("module.").partition(".")[0]
    return next((part for part, attributes in PARTS.items() if attribute in attributes), HEADS)


def freeze_parts(model: nn.Module, parts: Collection[str]) -> None:
    """Let no gradient reach some parts of a ranker, so that a step costs less. Call it before DDP wraps the ranker."""
    for name, parameter in model.named_parameters():
        if part_of(name) in parts:
            parameter.requires_grad_(False)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Optimizer groups, two for each `part`: matrices decay; embeddings, biases, norms and decay rates do not."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim >= 2 and id(parameter) not in embeddings
        groups.setdefault((part_of(name), decays), []).append(parameter)
    return [
        {"part": part, "params": parameters, "weight_decay": weight_decay if decays else 0.0}
        for (part, decays), parameters in groups.items()
    ]
