"""One policy walked through the moments of all users: what it is asked, what follows, and what it is told."""

import numpy as np

from rosa_ray.arena.estimates import Estimates, Impressions
from rosa_ray.arena.ledger import Ledger
from rosa_ray.arena.policies import Policy
from rosa_ray.arena.schedule import Moments, Round
from rosa_ray.arena.slates import NONE, Slates, true_slates
from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.slate import Shown
from rosa_ray.simulation.clockwork import Clockwork
from rosa_ray.units import DAY_US


class Walk:
    """One policy on one clockwork.

    Args:
        moments: every moment of every user.
        policy: who chooses; it has learned what there is to learn before the first day.
        estimates: what it sees.
        ledger: takes what it spends and earns.
        impressions_A: of each ad before.
        cluster_UC: how much each user belongs to each cluster.

    Attributes:
        requests: takes the slates with true values, where it is a list.
        impressions_A: of each ad so far.
    """

    def __init__(
        self,
        moments: Moments,
        clock: Clockwork,
        policy: Policy,
        estimates: Estimates,
        ledger: Ledger,
        impressions_A: Floats,
        cluster_UC: Floats,
        requests: list[Slates] | None = None,
    ) -> None:
        self._moments, self._clock, self._policy = moments, clock, policy
        self._estimates, self._ledger, self._cluster_UC = estimates, ledger, cluster_UC
        self.impressions_A, self.requests, self._day = impressions_A.copy(), requests, -1

    def advance(self, part: Round) -> None:
        """Walk one round."""
        rows, time_us = part.rows, self._moments.time_us[part.moments]
        self._clock.complete_conversions(rows, time_us)
        if part.is_request:
            self._turn(int(time_us[0] // DAY_US))
            self._serve(rows, time_us, part.moments)
        else:
            self._clock.act(rows, time_us, self._moments.opens[part.moments])

    def _turn(self, day: int) -> None:
        """Learn at midnight."""
        if self._estimates.nightly and 0 <= self._day < day:
            self._estimates.midnight()
            self._policy.retrained()
        self._day = day

    def _serve(self, rows: Ints, time_us: Ints, moments: Ints) -> None:
        clock, ledger = self._clock, self._ledger
        offers, uniform = clock.offer(rows, time_us), clock.rng.random(len(rows))
        open_M = ledger.left_M(int(time_us[0])) > 0
        clusters, counted = self._cluster_UC[rows], self.impressions_A
        slates = true_slates(
            clock.world, offers, time_us, moments, rows, uniform, open_M, counted, clusters, clock.users.region_N[rows]
        )
        if self.requests is not None:
            self.requests.append(slates)
        seen = self._estimates.on(slates) if self._policy.reads_estimates else slates
        chosen = _checked(self._policy.choose(seen), slates)
        campaign, auctions = slates.of(chosen, "campaign_NK"), []

        def limit(won: np.ndarray, cost: Floats) -> np.ndarray:
            auctions.append(won)
            return ledger.affordable(time_us, campaign, won, cost)

        outcomes = clock.show(rows, time_us, self._moments.following_us[moments], offers, chosen, limit)
        (won,), happened, asked = auctions, outcomes.won_N, chosen != NONE
        ledger.requests += len(rows)
        ledger.reach(slates.campaign_NK, slates.region, campaign, happened)
        ledger.unanswered += int((~asked).sum())
        revenue = slates.of(chosen, "p_ctr_NK") * slates.of(chosen, "p_cvr_NK") * slates.of(chosen, "value_NK")
        answers = outcomes.click_N, outcomes.conversion_N
        ledger.add(time_us, rows, campaign, happened, asked & ~won, won & ~happened, outcomes.cost_N, revenue, *answers)
        ad = slates.of(chosen, "ad_NK")[happened]
        if self._estimates.nightly:
            self._estimates.tell(Impressions.of(slates, chosen, happened, *answers))
        np.add.at(self.impressions_A, ad, 1)
        if happened.any():
            # Conversions come later, so an impression that has just been shown brought nothing yet.
            self._policy.tell(
                Shown(
                    time_us=time_us[happened],
                    user_key=rows[happened],
                    ad_key=ad,
                    campaign_key=campaign[happened],
                    cost=outcomes.cost_N[happened],
                    revenue=np.zeros(int(happened.sum())),
                    click=outcomes.click_N[happened],
                    p_ctr=seen.of(chosen, "p_ctr_NK")[happened],
                    clusters=clusters[happened],
                )
            )


def _checked(chosen: Ints, slates: Slates) -> Ints:
    """The choice itself.

    Raises:
        ValueError: it is no candidate's number of each request.
    """
    chosen = np.asarray(chosen)
    fits = chosen.shape == (len(slates),) and np.issubdtype(chosen.dtype, np.integer)
    if not fits or not ((chosen >= NONE) & (chosen < slates.ad_NK.shape[1])).all():
        raise ValueError(
            f"a policy must choose from -1 to {slates.ad_NK.shape[1] - 1} for each of {len(slates)} requests"
        )
    return chosen
