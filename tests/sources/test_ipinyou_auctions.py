"""The reader of iPinYou auctions: what is right, and one line that names file and line for what is wrong."""

import gzip
from pathlib import Path

import pytest

from rosa_ray.errors import InputError
from rosa_ray.sources.ipinyou_auctions import find_campaigns, read_campaign

TEXT = "57\t2\n1\n0\t51\t0.25\n1\t0\t1e-3\n2\n0\t300\t0\n0\t7\t1\n"


def written(folder: Path, text: str, name: str = "rlb_12_validation.txt.gz") -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["rlb_12_validation.txt.gz", "rlb_12_validation.txt"])
def test_a_file_is_read_in_its_order(tmp_path: Path, name: str) -> None:
    log = read_campaign(written(tmp_path, TEXT, name))
    assert (log.campaign, log.file, log.rows_per_block) == ("12", name, 2)
    assert log.click.tolist() == [0, 1, 0, 0]
    assert log.price_fen_per_thousand.tolist() == [51, 0, 300, 7]
    assert log.p_ctr.tolist() == [0.25, 0.001, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": is empty"),
        ("\n\n", ": is empty"),
        ("57\t2\n", ": holds no auctions"),
        ("57\n1\n", ", line 1: is '57'; the first line is FEATURES ROWS, two whole numbers"),
        ("57 0\n", ", line 1: is '57 0'; the first line is FEATURES ROWS"),
        ("57 2\n0 51 0.2\n", ", line 2: rows begin before a block does"),
        ("57 2\n2\n0 51 0.2\n", ", line 2: block '2' where block 1 should begin"),
        ("57 2\n1\n0 51 0.2\n2\n0 1 0\n0 1 0\n", ", line 4: block 1 ends after 1 rows of 2"),
        ("57 2\n1\n0 51 0.2\n", ", line 3: block 1 ends after 1 rows of 2"),
        ("57 1\n1\n0 51 0.2\n0 1 0\n", ", line 4: block 1 has more than 1 rows"),
        ("57 2\n1\n0 51\n", ", line 3: has 2 fields; a row is CLICK PRICE P_CTR"),
        ("57 2\n1\n0 51 x\n", ", line 3: '0 51 x' is no row; a row is CLICK PRICE P_CTR"),
        ("57 2\n1\n3 51 0.2\n", ", line 3: the click is '3'; it is 0 or 1"),
        ("57 2\n1\n0 -1 0.2\n", ", line 3: the price is -1; it must be finite and not negative"),
        ("57 2\n1\n0 nan 0.2\n", ", line 3: the price is nan; it must be finite and not negative"),
        ("57 2\n1\n0 inf 0.2\n", ", line 3: the price is inf; it must be finite and not negative"),
        (
            "57 2\n1\n0 1.5 0.2\n",
            ", line 3: the price is 1.5; it must be whole fen per thousand impressions, at most 1,000,000",
        ),
        ("57 2\n1\n0 1e7 0.2\n", ", line 3: the price is 1e7; it must be whole fen per thousand impressions, at most"),
        ("57 2\n1\n0 51 0.2\n0 1 1.1\n", ", line 4: p_ctr is 1.1; it must lie from 0 to 1"),
        ("57 2\n1\n0 51 nan\n", ", line 3: p_ctr is nan; it must lie from 0 to 1"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_campaign(path)
    assert str(caught.value).startswith(path + message)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_or_no_gzip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rlb_12_validation.txt.gz"
    for content in (gzip.compress(TEXT.encode())[:-9], TEXT.encode(), gzip.compress(b"\xff\xfe 1\n")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"rlb_12_validation\.txt\.gz: is truncated, damaged or not a text file"):
            read_campaign(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rlb_9_validation\.txt: does not exist"):
        read_campaign(str(tmp_path / "rlb_9_validation.txt"))


def test_campaigns_are_found_by_the_names_of_their_files(tmp_path: Path) -> None:
    for name in ("rlb_7_validation.txt", "rlb_12_validation.txt.gz", "rlb_12_info.json.gz", "5min_train.csv.gz"):
        written(tmp_path, TEXT, name)
    assert find_campaigns(str(tmp_path)) == {
        "12": str(tmp_path / "rlb_12_validation.txt.gz"),
        "7": str(tmp_path / "rlb_7_validation.txt"),
    }


def test_a_campaign_with_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("rlb_7_validation.txt", "rlb_7_validation.txt.gz"):
        written(tmp_path, TEXT, name)
    with pytest.raises(InputError, match="campaign 7 has two files"):
        find_campaigns(str(tmp_path))


def test_a_folder_without_campaigns_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no campaign is there; its files are called rlb_\*_validation\.txt"):
        find_campaigns(str(tmp_path))
    with pytest.raises(InputError, match="nowhere: is no folder"):
        find_campaigns(str(tmp_path / "nowhere"))
