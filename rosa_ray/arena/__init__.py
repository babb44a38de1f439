"""The arena: the simulated world in global time order, with a policy that chooses what each request shows.

`Arena` walks equal worlds under different policies, with campaign budgets and an hourly ledger, and `figures_of` says
what each earned. See docs/how-to/try-policies-in-the-arena.md.
"""

from rosa_ray.arena.arena import Arena, ArenaConfig, Run
from rosa_ray.arena.figures import figures_of
from rosa_ray.arena.ledger import Ledger
from rosa_ray.arena.players import Player, parse_player
from rosa_ray.arena.policies import Chain, Known, Policy, as_policy
from rosa_ray.arena.slates import Slates

__all__ = [
    "Arena",
    "ArenaConfig",
    "Chain",
    "Known",
    "Ledger",
    "Player",
    "Policy",
    "Run",
    "Slates",
    "as_policy",
    "figures_of",
    "parse_player",
]
