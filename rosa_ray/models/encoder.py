"""The behaviour-aware causal encoder with a sliding window.

Nothing here depends on a request: the state of event j is a function of events up to j, computed once and valid for
ever. A layer's event attends to itself and the W - 1 events before it, so L layers reach back L·(W - 1) events.

Shape legend: B users, T events, M new events, C cached events (at most W - 1), D width, H heads, E = D / H.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.errors import ConfigError
from rosa_ray.models.decay import BehaviorDecayBias
from rosa_ray.schema import BEHAVIORS

Events = Mapping[str, Tensor]


@dataclass(frozen=True)
class EncoderCache:
    """Per-layer keys and values of a user's last W - 1 events, so that a new event costs one token.

    Attributes:
        key_LBHCE, value_LBHCE: one (B, H, C, E) tensor per layer.
        time_us_BC, behavior_BC: int64 (B, C).
    """

    key_LBHCE: tuple[Tensor, ...]
    value_LBHCE: tuple[Tensor, ...]
    time_us_BC: Tensor
    behavior_BC: Tensor

    @property
    def nbytes(self) -> int:
        """Memory that the cache holds, bytes."""
        tensors = (*self.key_LBHCE, *self.value_LBHCE, self.time_us_BC, self.behavior_BC)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class WindowAttention(nn.Module):
    """Causal multi-head attention over the last `window` events with behaviour bias and time decay."""

    bias: BehaviorDecayBias

    def __init__(self, width: int, heads: int, window: int, bias: BehaviorDecayBias) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.bias = bias

    def split(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each (B, H, T, E)."""
        batch, length, _ = x_BTD.shape
        qkv = self.project_in(x_BTD).view(batch, length, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Attention of Q queries on K keys with added logits `bias` (..., H, Q, K); → (..., Q, D)."""
        mixed = functional.scaled_dot_product_attention(query, key, value, bias.to(query.dtype))
        return self.project_out(mixed.transpose(-3, -2).flatten(-2))

    def forward(self, x_BTD: Tensor, events: Events) -> Tensor:
        """Full sequences, (B, T, D) to (B, T, D), in blocks of W queries on 2 W keys: time linear in T."""
        length, window = x_BTD.shape[1], self.window
        if length <= 2 * window:
            return self._forward_dense(x_BTD, events)
        blocks = -(-length // window)
        padded = functional.pad(x_BTD, (0, 0, 0, blocks * window - length))
        time_us = functional.pad(events["time_us"], (0, blocks * window - length)).unflatten(1, (blocks, window))
        behavior = functional.pad(events["behavior"], (0, blocks * window - length)).unflatten(1, (blocks, window))
        query, key, value = (part.unflatten(2, (blocks, window)).transpose(1, 2) for part in self.split(padded))
        key_time, key_behavior = _with_previous(time_us), _with_previous(behavior)
        allowed = _band(window, 2 * window, window, window, x_BTD.device).repeat(blocks, 1, 1)
        allowed[0, :, :window] = False
        bias = self.bias(time_us[..., None] - key_time[..., None, :], key_behavior, allowed)
        mixed = self.attend(query, _with_previous(key), _with_previous(value), bias)
        return mixed.flatten(1, 2)[:, :length]

    def _forward_dense(self, x_BTD: Tensor, events: Events) -> Tensor:
        query, key, value = self.split(x_BTD)
        time_us = events["time_us"]
        allowed = _band(x_BTD.shape[1], x_BTD.shape[1], 0, self.window, x_BTD.device)
        bias = self.bias(time_us[:, :, None] - time_us[:, None, :], events["behavior"], allowed)
        return self.attend(query, key, value, bias)

    def extend(self, x_BMD: Tensor, events: Events, cache: EncoderCache, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Attention of M new events on the cached and new keys; also returns the joined keys and values."""
        query, key, value = self.split(x_BMD)
        key = torch.cat([cache.key_LBHCE[layer], key], dim=2)
        value = torch.cat([cache.value_LBHCE[layer], value], dim=2)
        key_time = torch.cat([cache.time_us_BC, events["time_us"]], dim=1)
        key_behavior = torch.cat([cache.behavior_BC, events["behavior"]], dim=1)
        cached, new = cache.time_us_BC.shape[1], x_BMD.shape[1]
        allowed = _band(new, cached + new, cached, self.window, x_BMD.device)
        bias = self.bias(events["time_us"][:, :, None] - key_time[:, None, :], key_behavior, allowed)
        return self.attend(query, key, value, bias), key, value


class EncoderLayer(nn.Module):
    """Pre-norm Transformer layer. It starts as the identity: a state is the event itself until training adds to it."""

    def __init__(self, attention: WindowAttention, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        narrow = nn.Linear(4 * width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), narrow)
        self.dropout = nn.Dropout(dropout)
        for last in (attention.project_out, narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x_BTD: Tensor, events: Events) -> Tensor:
        return self.finish(x_BTD, self.attention(self.attention_norm(x_BTD), events))

    def extend(self, x_BMD: Tensor, events: Events, cache: EncoderCache, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        mixed, key, value = self.attention.extend(self.attention_norm(x_BMD), events, cache, layer)
        return self.finish(x_BMD, mixed), key, value

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class CausalEncoder(nn.Module):
    """L layers and a final norm: event embeddings (B, T, D) to states (B, T, D)."""

    def __init__(
        self,
        *,
        width: int,
        layers: int,
        heads: int,
        window: int,
        dropout: float,
        behavior_bias: bool,
        decay: bool,
        behaviors: int = len(BEHAVIORS),
    ) -> None:
        super().__init__()
        self.width, self.heads, self.window = width, heads, window
        self.layers = nn.ModuleList(
            EncoderLayer(
                WindowAttention(width, heads, window, BehaviorDecayBias(heads, behavior_bias, decay, behaviors)),
                width,
                dropout,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    @property
    def reach(self) -> int:
        """Events before j, j not counted, that the state of j can depend on: L·(W - 1)."""
        return len(self.layers) * (self.window - 1)

    def forward(self, x_BTD: Tensor, events: Events) -> Tensor:
        for layer in self.layers:
            x_BTD = layer(x_BTD, events)
        return self.norm(x_BTD)

    def empty_cache(self, batch: int = 1) -> EncoderCache:
        """The cache of users without events."""
        weight = self.norm.weight
        nothing = weight.new_empty(batch, self.heads, 0, self.width // self.heads)
        none = torch.empty(batch, 0, dtype=torch.int64, device=weight.device)
        parts = (nothing,) * len(self.layers)
        return EncoderCache(parts, parts, none, none)

    def extend(self, x_BMD: Tensor, events: Events, cache: EncoderCache) -> tuple[Tensor, EncoderCache]:
        """States of M new events, (B, M, D), and the cache after them. No padding: all users have M new events."""
        keys, values = [], []
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, EncoderLayer)
            x_BMD, key, value = layer.extend(x_BMD, events, cache, index)
            keys.append(_last(key, self.window - 1, 2))
            values.append(_last(value, self.window - 1, 2))
        time_us = _last(torch.cat([cache.time_us_BC, events["time_us"]], 1), self.window - 1, 1)
        behavior = _last(torch.cat([cache.behavior_BC, events["behavior"]], 1), self.window - 1, 1)
        return self.norm(x_BMD), EncoderCache(tuple(keys), tuple(values), time_us, behavior)


class NoEncoder(CausalEncoder):
    """Stands where an ablation takes the encoder away: every state is zero, whatever happened."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"layers": 0})

    def forward(self, x_BTD: Tensor, events: Events) -> Tensor:
        return 0 * super().forward(x_BTD, events)

    def extend(self, x_BMD: Tensor, events: Events, cache: EncoderCache) -> tuple[Tensor, EncoderCache]:
        states_BMD, cache = super().extend(x_BMD, events, cache)
        return 0 * states_BMD, cache


def require_whole_heads(width: int, heads: int) -> None:
    """Refuse a width that attention heads cannot share.

    Raises:
        ConfigError: the heads do not divide the width.
    """
    if heads < 1 or width % heads:
        raise ConfigError(f"model.width is {width}; it must be a multiple of model.heads, which is {heads}")


def _last(tensor: Tensor, count: int, dim: int) -> Tensor:
    size = tensor.shape[dim]
    return tensor.narrow(dim, max(size - count, 0), min(count, size))


def _band(queries: int, keys: int, shift: int, window: int, device: torch.device) -> Tensor:
    """Bool (queries, keys): key j is at most query i + shift, and among its last `window` positions."""
    position = torch.arange(queries, device=device)[:, None] + shift
    key = torch.arange(keys, device=device)
    return (key <= position) & (key > position - window)


def _with_previous(blocks: Tensor) -> Tensor:
    """Join every block, (B, blocks, ..., W[, E]), along W with the block before it (zeros before the first)."""
    axis = -2 if blocks.dim() == 5 else -1
    previous = torch.cat([torch.zeros_like(blocks[:, :1]), blocks[:, :-1]], dim=1)
    return torch.cat([previous, blocks], dim=axis)
