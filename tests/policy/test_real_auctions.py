"""Bidders on the iPinYou auctions beside the project, where these are."""

from fractions import Fraction
from pathlib import Path

import pytest

from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.comparison import compare, totals
from rosa_ray.sources.ipinyou_auctions import AuctionLog, find_campaigns, read_campaign


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> str:
    return str(shared_data / "ipinyou")


@pytest.fixture(scope="module")
def log(folder: str) -> AuctionLog:
    return read_campaign(find_campaigns(folder)["2261"])


def test_the_campaigns_are_those_that_are_said_to_be_there(folder: str) -> None:
    assert list(find_campaigns(folder)) == ["1458", "2259", "2261", "2821", "2997", "3358", "3386"]


def test_a_campaign_is_what_it_is_said_to_be(log: AuctionLog) -> None:
    assert (log.campaign, log.file) == ("2261", "rlb_2261_validation.txt.gz")
    assert (log.click.size, log.rows_per_block, log.click.sum()) == (100_000, 1000, 111)
    assert log.price_fen_per_thousand.mean() == pytest.approx(87.22, abs=0.01)
    assert log.p_ctr.sum() == pytest.approx(27.2, abs=0.1)


def test_bidders_that_follow_their_budget_win_more_than_linear(log: AuctionLog) -> None:
    auctions = Auctions.in_blocks(log.price_fen_per_thousand, log.p_ctr, log.click, 1000)
    won = totals(compare({"2261": auctions}, {"1/32": Fraction(1, 32)}, ["linear", "rlb", "duals", "pid"]))["1/32"]
    assert won["rlb"] > 1.05 * won["linear"]
    assert won["duals"] > 1.05 * won["linear"]
    assert won["pid"] > 1.05 * won["linear"]
