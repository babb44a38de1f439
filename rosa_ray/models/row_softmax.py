"""What rows of a table follow a state, among all rows: a softmax that starts at how popular each row is.

Its logits are `log p(row) + q(state) · vector(row)`. So nothing has to be learned to know what is popular, and the dot
product learns how much likelier than usual a row is after the state: the pointwise mutual information. Rows drawn by
popularity give the same loss without the term, as a draw by `p` is corrected by `log p` (Bengio & Senécal 2008; Yi et
al. 2019, §3). This is how large tables are learned.

Shape legend: M states, D width, R rows of the table; B users, T states, N rows asked about.
"""

import math

import torch
from torch import Tensor, nn

MOST_ROWS = 8192
"""Rows of a table that are all looked at for every state; of a larger table as many are drawn."""

_NEVER = -30.0


class RowSoftmax(nn.Module):
    """A projection of states, and the popularity of the rows.

    Args:
        count_R: how often each row occurred. Rows that never did are not among those that may follow.

    Attributes:
        log_share_R: log of the share of each row.
    """

    log_share_R: Tensor

    def __init__(self, width: int, count_R: Tensor) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        with torch.no_grad():
            self.project.weight.copy_(torch.eye(width) / width**0.5)
            self.project.bias.zero_()
        share_R = count_R.double() / count_R.sum().clamp_min(1)
        log_share_R = torch.where(share_R > 0, share_R.log(), _NEVER).float()
        self.register_buffer("log_share_R", log_share_R, persistent=False)

    def loss(self, states_MD: Tensor, row_M: Tensor, vectors_RD: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the rows that followed.

        Args:
            row_M: int64, the row that followed each state; those that were never counted are left out.

        Returns:
            Sum of the losses and their number, scalars.
        """
        known = self.log_share_R[row_M] > _NEVER
        query_MD, row_M = self.project(states_MD[known]), row_M[known]
        told_M = (query_MD * vectors_RD[row_M]).sum(-1).float()
        loss_M = self._log_mean(query_MD, vectors_RD) - told_M - self.log_share_R[row_M]
        return loss_M.sum(), known.sum().float()

    def lifts(self, states_BTD: Tensor, row_BN: Tensor, vectors_RD: Tensor) -> Tensor:
        """Log of how much likelier than usual each row follows each state, (B, N, T); 0 for what is as likely as ever.

        Args:
            states_BTD: T states of each of B users.
            row_BN: int64, N rows to ask about, for each user.
        """
        query_BTD = self.project(states_BTD)
        told_BNT = (vectors_RD[row_BN] @ query_BTD.mT).float()
        return told_BNT - self._log_mean(query_BTD, vectors_RD)[:, None]

    def _log_mean(self, query: Tensor, vectors_RD: Tensor) -> Tensor:
        """Log of the popularity-weighted mean of `exp(query · row)` over the rows, (...)."""
        if len(vectors_RD) <= MOST_ROWS:
            return torch.logsumexp((query @ vectors_RD.T).float() + self.log_share_R, dim=-1)
        drawn = torch.multinomial(self.log_share_R.exp(), MOST_ROWS, replacement=True)
        return torch.logsumexp((query @ vectors_RD[drawn].T).float(), dim=-1) - math.log(MOST_ROWS)
