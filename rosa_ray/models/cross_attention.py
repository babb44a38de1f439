"""Candidate ads attend to the user's states: the ad is the query, states are keys and values (paper §3.3).

The request time enters here and nowhere else, through the decay. A learned null token stands for "nothing in the
history matters" and makes an empty history work; old events fade against it.

Shape legend: B users, T events, N ads, D width, H heads, E = D / H, W window.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.models.decay import BehaviorDecayBias
from rosa_ray.schema import BEHAVIORS

_LEAST_MASS, _ODDS_SCALE = 1e-6, 5.0


class CandidateAttention(nn.Module):
    """(B, N, D) ads over (B, T, D) states."""

    def __init__(
        self,
        width: int,
        heads: int,
        window: int,
        behavior_bias: bool = True,
        decay: bool = True,
        behaviors: int = len(BEHAVIORS),
        fields: int = 0,
    ) -> None:
        super().__init__()
        self.heads, self.window, self.key_kinds = heads, window, 1 + behaviors
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.null_key_value = nn.Parameter(torch.randn(2 * width) * width**-0.5)
        self.project_out = nn.Linear(width, width)
        self.bias = BehaviorDecayBias(heads, behavior_bias, decay, behaviors)
        self.intensities = heads * behaviors
        self._start_as_matching(width)
        self.query_fields = nn.Linear(fields * width, width, bias=False) if fields else None
        self.key_value_fields = nn.Linear(fields * width, 2 * width, bias=False) if fields else None

    def _start_as_matching(self, width: int) -> None:
        """Start with queries and keys in one rotation of the same space, and values that come back unrotated.

        An ad then attends to events that resemble it from the first step, and the answer can be compared with the ad
        coordinate by coordinate.
        """
        nn.init.orthogonal_(self.query.weight)
        nn.init.orthogonal_(self.project_out.weight)
        for bias in (self.query.bias, self.key_value.bias, self.project_out.bias):
            nn.init.zeros_(bias)
        with torch.no_grad():
            self.key_value.weight[:width].copy_(self.query.weight)
            self.key_value.weight[width:].copy_(self.project_out.weight.T)

    def forward(
        self,
        ads_BND: Tensor,
        states_BTD: Tensor,
        *,
        ad_time_us_BN: Tensor,
        state_time_us_BT: Tensor,
        behavior_BT: Tensor,
        visible_BN: Tensor,
        ad_fields: Tensor | None = None,
        event_fields: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            ad_time_us_BN: request times.
            visible_BN: number of events strictly before each request; the last W of them are attended to.
            ad_fields, event_fields: (B, N, F·D) and (B, T, F·D), fields side by side, where there are `fields`.

        Returns:
            What the history says of each ad, (B, N, D); and how strongly, (B, N, `intensities`): per head and
            behaviour, the log odds of the attention on those events against the null token. Softmax attention keeps
            only proportions; the odds are a soft count of matching events, weighted by recency, that the mix lost
            (Zhou et al. 2018, DIN §4.3, drop the softmax for the same reason).
        """
        batch, count, width = ads_BND.shape
        query, pairs = self.query(ads_BND), self.key_value(states_BTD)
        if self.query_fields is not None and self.key_value_fields is not None:
            query, pairs = query + self.query_fields(ad_fields), pairs + self.key_value_fields(event_fields)
        query = query.view(batch, count, self.heads, -1).transpose(1, 2)
        null = self.null_key_value.to(states_BTD.dtype).expand(batch, 1, -1)
        pairs = torch.cat([null, pairs], dim=1)
        key, value = pairs.view(batch, -1, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        position = torch.arange(states_BTD.shape[1], device=states_BTD.device)
        seen = (position < visible_BN[..., None]) & (position >= visible_BN[..., None] - self.window)
        bias = self.bias(ad_time_us_BN[:, :, None] - state_time_us_BT[:, None, :], behavior_BT, seen)
        with_null = functional.pad(bias, (1, 0)).to(query.dtype)
        labelled = torch.cat([value, self._kinds(behavior_BT, value)], dim=-1)
        mixed = functional.scaled_dot_product_attention(query, key, labelled, with_null)
        interest, mass = mixed.split([width // self.heads, self.key_kinds], dim=-1)
        return self.project_out(interest.transpose(1, 2).flatten(2)), self._intensity(mass)

    def _kinds(self, behavior_BT: Tensor, value: Tensor) -> Tensor:
        """What each key is, one-hot: the null token, then the behaviours; (B, H, 1 + T, `key_kinds`)."""
        kind = functional.one_hot(functional.pad(behavior_BT + 1, (1, 0)), self.key_kinds).to(value.dtype)
        return kind[:, None].expand(-1, self.heads, -1, -1)

    def _intensity(self, mass_BHNK: Tensor) -> Tensor:
        """Log odds of each behaviour's attention against the null token's, (B, N, H · behaviours)."""
        log_mass = torch.log(mass_BHNK.float() + _LEAST_MASS)
        odds = (log_mass[..., 1:] - log_mass[..., :1]) / _ODDS_SCALE
        return odds.transpose(1, 2).flatten(2).to(mass_BHNK.dtype)
