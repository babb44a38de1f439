"""`rosa bid`: bidders with budgets on logged second-price auctions."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.metrics.bootstrap import BootstrapConfig
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders import bidder_names, build_bidder
from rosa_ray.policy.comparison import RIVAL, Cell, compare, summary
from rosa_ray.sources.ipinyou_auctions import AuctionLog, find_campaigns, read_campaign
from rosa_ray.storage import write_json

SELECTED = "every block of the published files was chosen to hold a click: clicks are no estimate of a rate"

MOST_SHARE = 1_000_000


@dataclass(frozen=True)
class BidOptions:
    """What the command line says.

    Attributes:
        path: folder with the files of the campaigns.
        budgets: shares of what a block costs at the mean price, such as "1/32,1/8".
        bidders: names; empty takes all. `linear` is always among them, the others are measured against it.
        auctions: of a block.
        seed: of what bidders draw.
        out: JSON file to write; empty writes none.
    """

    path: str
    budgets: str = "1/32,1/8"
    bidders: str = ""
    auctions: int = 1000
    seed: int = 1
    out: str = ""


def run_ipinyou(options: BidOptions) -> int:
    """Read the campaigns, let the bidders spend, print a table; returns 0.

    Raises:
        ConfigError: an option does not fit.
        InputError: a file is missing or wrong, or holds fewer than two blocks.
    """
    budgets, names = parse_budgets(options.budgets), _bidders(options.bidders)
    if options.auctions < 1:
        raise ConfigError(f"--auctions is {options.auctions}; a block has at least 1")
    if options.seed < 0:
        raise ConfigError(f"--seed is {options.seed}; it must not be negative")
    logs = {campaign: read_campaign(path) for campaign, path in find_campaigns(options.path).items()}
    campaigns = {campaign: _blocks(log, options) for campaign, log in logs.items()}
    rows = sum(auctions.price_BT.size for auctions in campaigns.values())
    print(f"{len(logs)} campaigns, {rows:,} auctions in blocks of {options.auctions:,}", flush=True)
    config = BootstrapConfig()
    found = summary(compare(campaigns, budgets, names, options.seed, _Progress(names)), config)
    _print(found, names)
    if options.out:
        write_json({**found, "settings": _settings(options, names, config, logs, campaigns)}, options.out)
        print(f"{options.out}: written")
    return 0


def parse_budgets(text: str) -> dict[str, Fraction]:
    """Shares of a budget by their text.

    Raises:
        ConfigError: one is no number above 0 and up to a million, or is there twice.

    >>> parse_budgets("1/32, 0.5")
    {'1/32': Fraction(1, 32), '0.5': Fraction(1, 2)}
    """
    found: dict[str, Fraction] = {}
    for name in _listed(text):
        try:
            share = Fraction(name)
        except (ValueError, ZeroDivisionError):
            raise ConfigError(f"--budgets has '{name}', which is no number; give shares such as 1/32,1/8") from None
        if share <= 0:
            raise ConfigError(f"--budgets has '{name}'; a budget must be above 0")
        if share > MOST_SHARE:
            raise ConfigError(f"--budgets has '{name}'; a budget of {MOST_SHARE:,} buys all there is")
        if share in found.values():
            raise ConfigError(f"--budgets has '{name}' twice")
        found[name] = share
    if not found:
        raise ConfigError("--budgets is empty; give shares such as 1/32,1/8")
    return found


def _bidders(text: str) -> list[str]:
    names = list(dict.fromkeys(_listed(text))) or bidder_names()
    for name in names:
        build_bidder(name)
    return [RIVAL, *(name for name in names if name != RIVAL)]


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _blocks(log: AuctionLog, options: BidOptions) -> Auctions:
    if log.click.size < 2 * options.auctions:
        raise InputError(
            f"{log.file}: has {log.click.size:,} auctions; two blocks of {options.auctions:,} are needed, one to tune "
            "on and one to test on"
        )
    return Auctions.in_blocks(log.price_fen_per_thousand, log.p_ctr, log.click, options.auctions)


class _Progress:
    """Prints a line for each campaign and budget, once its last bidder is done."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._cells: list[Cell] = []

    def __call__(self, cell: Cell) -> None:
        self._cells.append(cell)
        if len(self._cells) == len(self._names):
            won = ", ".join(f"{each.bidder} {each.expected_clicks:.2f}" for each in self._cells)
            seconds = sum(each.seconds for each in self._cells)
            print(f"{cell.campaign}, budget {cell.budget}: {won}; {seconds:.1f} s", flush=True)
            self._cells = []


def _print(found: dict[str, Any], names: list[str]) -> None:
    for budget, of_bidder in found["in_all"].items():
        table = Table(title=f"budget {budget}, all campaigns", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
        for column in ("bidder", "expected\nclicks", f"above {RIVAL}", "ahead", "clicks*", "won", "spent"):
            table.add_column(column, justify="left" if column == "bidder" else "right", no_wrap=True)
        for name in sorted(names, key=lambda name: -of_bidder[name]["expected_clicks"]):
            row = of_bidder[name]
            table.add_row(
                name,
                f"{row['expected_clicks']:.2f}",
                _gap(row),
                _cells_above(found["by_campaign"], budget, name),
                f"{row['clicks']:,}",
                f"{row['auctions_won'] / row['auctions']:.0%}",
                f"{row['spend'] / row['budget']:.0%}" if row["budget"] else "",
            )
        Console().print(table)
    print(f"ahead: campaigns in which a bidder won more than {RIVAL}")
    print(f"* {SELECTED}")


def _gap(row: dict[str, float]) -> str:
    """Estimate and ends in per cent."""
    if "gap_to_linear" not in row:
        return ""
    estimate, low, high = (100 * row[name] for name in ("gap_to_linear", "gap_low", "gap_high"))
    return f"{estimate:+.1f} % ({low:+.1f} … {high:+.1f})"


def _cells_above(by_campaign: dict[str, Any], budget: str, name: str) -> str:
    gaps = [of_budget[budget][name].get("gap_to_linear", 0.0) for of_budget in by_campaign.values()]
    return "" if name == RIVAL else f"{sum(gap > 0 for gap in gaps)} of {len(gaps)}"


def _settings(
    options: BidOptions,
    names: list[str],
    config: BootstrapConfig,
    logs: dict[str, AuctionLog],
    campaigns: dict[str, Auctions],
) -> dict[str, Any]:
    return {
        "files": [log.file for log in logs.values()],
        "budgets": list(parse_budgets(options.budgets)),
        "bidders": names,
        "auctions_per_block": options.auctions,
        "blocks": {
            campaign: {part: half.blocks for part, half in zip(("tuning", "test"), auctions.halves(), strict=True)}
            for campaign, auctions in campaigns.items()
        },
        "seed": options.seed,
        "price_unit": "fen per thousand impressions",
        "intervals": {"level": config.level, "replicates": config.replicates, "seed": config.seed, "draws": "blocks"},
        "mind": SELECTED,
    }
