"""`rosa bid ipinyou` on a small folder of campaigns: the table, the JSON file, and mistakes of one line."""

import gzip
import json
from pathlib import Path

import pytest

from rosa_ray.policy.bidders import bidder_names, hourly_dqn
from tests.policy.markets import market
from workloads.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "auctions"
    place.mkdir()
    for campaign, seed in (("11", 0), ("22", 1)):
        auctions = market(blocks=6, length=50, seed=seed)
        lines = ["9 50"]
        for b in range(auctions.blocks):
            rows = zip(auctions.click_BT[b], auctions.price_BT[b], auctions.value_BT[b], strict=True)
            lines += [str(b + 1), *(f"{click}\t{price}\t{value!r}" for click, price, value in _plain(rows))]
        (place / f"rlb_{campaign}_validation.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return place


def _plain(rows):
    return [(int(click), int(price), float(value)) for click, price, value in rows]


def rosa(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["bid", "ipinyou", *arguments])
    return int(stop.value.code or 0)


def test_all_bidders_bid_and_a_file_keeps_what_they_won(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hourly_dqn, "EPISODES", 4)
    out = tmp_path / "bid.json"
    assert rosa("--path", str(folder), "--budgets", "1/8,1/2", "--auctions", "50", "--out", str(out)) == 0
    printed, found = capsys.readouterr().out, json.loads(out.read_text())

    assert printed.startswith("2 campaigns, 600 auctions in blocks of 50\n11, budget 1/8: linear ")
    assert "22, budget 1/2: linear " in printed
    assert f"{out}: written" in printed
    assert "chosen to hold a click" in printed
    for budget, of_bidder in found["totals"].items():
        assert set(of_bidder) == set(bidder_names())
        for name, total in of_bidder.items():
            cells = [of_budget[budget][name]["expected_clicks"] for of_budget in found["by_campaign"].values()]
            assert total == pytest.approx(sum(cells), abs=1e-3)
            assert f"{total:.2f}" in printed
            row = found["in_all"][budget][name]
            assert 0 <= row["spend"] <= row["budget"]
            assert 0 < row["auctions_won"] <= row["auctions"] == 300
    assert found["above_linear"]["rlb"]["cells"] == 4
    assert found["settings"]["files"] == ["rlb_11_validation.txt.gz", "rlb_22_validation.txt.gz"]
    assert found["settings"]["blocks"] == {"11": {"tuning": 3, "test": 3}, "22": {"tuning": 3, "test": 3}}
    assert str(folder) not in out.read_text()


def test_equal_seeds_write_equal_files(folder: Path, tmp_path: Path) -> None:
    written = []
    for name in ("a.json", "b.json"):
        arguments = ["--bidders", "rlb,duals", "--auctions", "50", "--seed", "3", "--out", str(tmp_path / name)]
        assert rosa("--path", str(folder), *arguments) == 0
        written.append((tmp_path / name).read_text())
    assert written[0] == written[1]
    assert json.loads(written[0])["settings"]["bidders"] == ["linear", "rlb", "duals"]


def test_a_budget_of_less_than_one_fen_wins_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rosa("--path", str(folder), "--budgets", "1e-9", "--bidders", "truthful", "--auctions", "50") == 0
    assert "11, budget 1e-9: linear 0.00, truthful 0.00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--budgets", "1/32,x"], 2, "--budgets has 'x', which is no number; give shares such as 1/32,1/8"),
        (["--budgets", "1/0"], 2, "--budgets has '1/0', which is no number"),
        (["--budgets", "nan"], 2, "--budgets has 'nan', which is no number"),
        (["--budgets", "0"], 2, "--budgets has '0'; a budget must be above 0"),
        (["--budgets", "-1/8"], 2, "--budgets has '-1/8'; a budget must be above 0"),
        (["--budgets", "1/8,0.125"], 2, "--budgets has '0.125' twice"),
        (["--budgets", ","], 2, "--budgets is empty"),
        (["--bidders", "linear,rbl"], 2, "--bidders has 'rbl'; known bidders are duals, hourly_dqn"),
        (["--auctions", "0"], 2, "--auctions is 0; a block has at least 1"),
        (["--seed", "-1"], 2, "--seed is -1; it must not be negative"),
        (["--auctions", "151"], 3, "rlb_11_validation.txt.gz: has 300 auctions; two blocks of 151 are needed"),
        (["--budgets", "1e300"], 2, "--budgets has '1e300'; a budget of 1,000,000 buys all there is"),
        (["--budgets", "1e6", "--bidders", "rlb", "--auctions", "50"], 2, "rlb needs a table of "),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert rosa("--path", str(folder), *arguments) == code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_a_wrong_row_is_named_by_file_and_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "rlb_22_validation.txt.gz"
    lines = gzip.decompress(file.read_bytes()).decode().split("\n")
    file.write_bytes(gzip.compress("\n".join([*lines[:4], "0\t-5\t0.1", *lines[5:]]).encode()))
    assert rosa("--path", str(folder), "--auctions", "50") == 3
    expected = f"error: {file}, line 5: the price is -5; it must be finite and not negative\n"
    assert capsys.readouterr().err == expected


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rosa("--path", str(tmp_path / "none")) == 3
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/none: is no folder")
