"""What a law may change in the life of a chunk of users, and the laws of one chunk taken together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import pyarrow as pa

from rosa_ray.settings import Tagged
from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.laws import law_module
from rosa_ray.simulation.world import World

ORACLE = "oracle_"
"""Prefix of the columns of `truth/` that hold what a law knows and no log tells."""

NO_STYLE = -1
"""Stands for a style that a law leaves to the default world."""


@dataclass(frozen=True)
class Pull:
    """What a law, or all of them, add to the answers of n users to k candidates each.

    Attributes:
        click_NK: added to the click logit.
        conversion_NK: added to the conversion logit.
        latent: what the answers follow from, by name, each of shape (n, k).
        untold_click_NK, untold_conversion_NK: the part of both that is the ad's own and that none of its attributes
            tells; None where there is none.
    """

    click_NK: np.ndarray
    conversion_NK: np.ndarray
    latent: Mapping[str, np.ndarray] = field(default_factory=dict)
    untold_click_NK: np.ndarray | None = None
    untold_conversion_NK: np.ndarray | None = None


class Law:
    """A law over the users of one chunk. Each hook does nothing until a law overrides it.

    A law draws from `rng` and `world_rng` alone. So it moves no draw of another law or of the default world.

    Attributes:
        name: of its module.
        config: the settings of this law.
        simulation: the settings of the log.
        world: what all users share.
        users: how many users the chunk has; `rows` in the hooks are indices below it.
        region_N: region of each user.
        rng: stream of this law and chunk.
        world_rng: stream of this law, the same in every chunk.
    """

    def __init__(
        self, law: Tagged, simulation: SimulationConfig, world: World, region_N: np.ndarray, chunk: int
    ) -> None:
        key = crc32(law.name.encode())
        self.name, self.config = law.name, law.settings
        self.simulation, self.world, self.region_N, self.users = simulation, world, region_N, len(region_N)
        self.world_rng = np.random.default_rng(np.random.SeedSequence(simulation.seed, spawn_key=(2, key)))
        self.rng = np.random.default_rng(np.random.SeedSequence(simulation.seed, spawn_key=(3, key, chunk)))

    def fold(self, rows: np.ndarray, hour: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        """Take in one event of each of some distinct users; arguments as of `UserState.fold`."""

    def steer(
        self, rows: np.ndarray, hour: np.ndarray, category: np.ndarray, style: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change where the next organic events go.

        Args:
            rows: which users, distinct.
            hour: time of the events, hours since the log's start.
            category: that the default world drew.
            style: that is asked for in the category, `NO_STYLE` where it is left open.

        Returns:
            category and style of each event.
        """
        return category, style

    def catalogue(self, ads: pa.Table) -> pa.Table:
        """Change the table of ads; it stays one of the contract."""
        return ads

    def candidates(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> np.ndarray:
        """Change which ads could be shown; those of a request stay distinct."""
        return ad_NK

    def pull(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> Pull | None:
        """Say what is added to the answers to the candidate ads of some users; None where the law adds nothing."""
        return None

    def market(self, hour: np.ndarray, ad_NK: np.ndarray) -> np.ndarray | None:
        """Factor of the market price of each candidate, > 0, shape (n, k).

        With one, an auction is lost where the bid is below the market price. None leaves every bid to win.
        """
        return None


class Laws:
    """All laws of one chunk, in the order of the config; with none every answer is that of the default world."""

    def __init__(self, laws: Sequence[Law]) -> None:
        self._laws = laws

    def fold(self, rows: np.ndarray, hour: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        """As `Law.fold`."""
        for law in self._laws:
            law.fold(rows, hour, item, behavior)

    def steer(self, rows: np.ndarray, hour: np.ndarray, category: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Law.steer`; a later law has the last word."""
        style = np.full(len(rows), NO_STYLE)
        for law in self._laws:
            category, style = law.steer(rows, hour, category, style)
        return category, style

    def catalogue(self, ads: pa.Table) -> pa.Table:
        """As `Law.catalogue`."""
        for law in self._laws:
            ads = law.catalogue(ads)
        return ads

    def candidates(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> np.ndarray:
        """As `Law.candidates`."""
        for law in self._laws:
            ad_NK = law.candidates(rows, hour, ad_NK)
        return ad_NK

    def pull(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> Pull:
        """Sum of what the laws add; `latent` holds the columns of `truth/`, such as `oracle_chains_click`."""
        click_NK, conversion_NK = np.zeros(ad_NK.shape), np.zeros(ad_NK.shape)
        columns: dict[str, np.ndarray] = {}
        untold_click_NK: np.ndarray | None = None
        untold_conversion_NK: np.ndarray | None = None
        for law in self._laws:
            pull = law.pull(rows, hour, ad_NK)
            if pull is None:
                continue
            untold_click_NK = _sum(untold_click_NK, pull.untold_click_NK)
            untold_conversion_NK = _sum(untold_conversion_NK, pull.untold_conversion_NK)
            click_NK, conversion_NK = click_NK + pull.click_NK, conversion_NK + pull.conversion_NK
            own = {"click": pull.click_NK, "conversion": pull.conversion_NK, **pull.latent}
            columns |= {f"{ORACLE}{law.name}_{name}": values for name, values in own.items()}
        return Pull(click_NK, conversion_NK, columns, untold_click_NK, untold_conversion_NK)

    def market(self, hour: np.ndarray, ad_NK: np.ndarray) -> np.ndarray | None:
        """Product of the factors that laws set; None where none does."""
        factor_NK: np.ndarray | None = None
        for law in self._laws:
            own = law.market(hour, ad_NK)
            if own is not None:
                factor_NK = own if factor_NK is None else factor_NK * own
        return factor_NK


def _sum(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return other if one is None else one if other is None else one + other


def enact(config: SimulationConfig, world: World, region_N: np.ndarray | None = None, chunk: int = 0) -> Laws:
    """Build the laws of a chunk of users, or of the world alone.

    Args:
        config: its `laws` say which.
        world: what all users share.
        region_N: region of each user of the chunk.
        chunk: its number.
    """
    regions = np.zeros(0, int) if region_N is None else region_N
    return Laws([law_module(law.name).Law(law, config, world, regions, chunk) for law in config.laws])
