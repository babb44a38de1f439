"""Window attention: the blocked path against the plain masked one, and the reach of a state."""

import torch

from rosa_ray.models.decay import BehaviorDecayBias
from rosa_ray.models.encoder import CausalEncoder, WindowAttention
from rosa_ray.units import HOUR_US


def random_events(batch: int, length: int) -> dict[str, torch.Tensor]:
    steps = torch.randint(0, 30 * HOUR_US, (batch, length))
    return {"time_us": 1_700_000_000_000_000 + steps.cumsum(1), "behavior": torch.randint(0, 4, (batch, length))}


def plain_attention(attention: WindowAttention, x: torch.Tensor, events: dict[str, torch.Tensor]) -> torch.Tensor:
    """Per query, in a loop: softmax over its last W keys of qk/√E + ω − λΔt."""
    query, key, value = attention.split(x)
    out = torch.zeros_like(query)
    hours = events["time_us"].double() / HOUR_US
    for i in range(x.shape[1]):
        keys = slice(max(i - attention.window + 1, 0), i + 1)
        logits = (query[:, :, i : i + 1] * key[:, :, keys]).sum(-1) / query.shape[-1] ** 0.5
        logits = logits + attention.bias.omega_BhH[events["behavior"][:, keys]].transpose(1, 2)
        elapsed = (hours[:, i : i + 1] - hours[:, keys]).float()
        logits = logits - attention.bias.lambda_per_hour_H[:, None] * elapsed[:, None]
        out[:, :, i] = (torch.softmax(logits, -1)[..., None] * value[:, :, keys]).sum(2)
    return attention.project_out(out.transpose(1, 2).flatten(2))


def test_blocks_of_any_length_equal_the_plain_loop() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(12, 3, 5, BehaviorDecayBias(3)).eval()
    with torch.no_grad():
        attention.bias.omega_BhH.normal_()
    for length in (1, 4, 5, 10, 11, 15, 23):
        x, events = torch.randn(2, length, 12), random_events(2, length)
        with torch.no_grad():
            torch.testing.assert_close(attention(x, events), plain_attention(attention, x, events), atol=1e-5, rtol=0)


def test_a_state_reaches_layers_times_window_minus_one_back_and_not_an_event_further() -> None:
    torch.manual_seed(0)
    encoder = CausalEncoder(width=8, layers=3, heads=2, window=4, dropout=0.0, behavior_bias=True, decay=False).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    x, events = torch.randn(1, 30, 8, requires_grad=True), random_events(1, 30)
    (encoder(x, events)[0, 20] * torch.randn(8)).sum().backward()
    touched = torch.nonzero(x.grad[0].abs().sum(-1)).flatten()
    assert touched.min() == 20 - encoder.reach
    assert touched.max() == 20
