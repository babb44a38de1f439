"""`rosa init` on small files of the form of public logs: each is known by its columns."""

import gzip
from pathlib import Path

import pytest
import yaml

from rosa_ray.intake.propose import propose

ATTRIBUTION = (
    "timestamp uid campaign conversion conversion_timestamp conversion_id attribution click click_pos click_nb cost "
    "cpo time_since_last_click cat1 cat2 cat3 cat4 cat5 cat6 cat7 cat8 cat9"
)
AVAZU = (
    "id click hour C1 banner_pos site_id site_domain site_category app_id app_domain app_category device_id device_ip "
    "device_model device_type device_conn_type C14 C15 C16 C17 C18 C19 C20 C21"
)
ROWS = {
    "criteo_attribution": (ATTRIBUTION, "\t", "0 7 900 0 -1 -1 0 0 -1 -1 0.00001 0.3 -1 1 2 3 4 5 6 7 8 9"),
    "avazu": (AVAZU, ",", "17 0 14102100 1005 0 1f f3 28 ec 78 07 a9 dd 44 1 2 15706 320 50 1722 0 35 -1 79"),
}
SKELETON = "1,1,0,ax,2,205\x029\x031.0\x01206\x0260\x031.0\n2,0,0,ax,1,205\x028\x031.0\n"
COMMON = "ax,2,101\x02a\x031.0\x01121\x0238\x031.0\n"


@pytest.mark.parametrize("kind", ROWS)
def test_a_log_with_a_header_is_known(tmp_path: Path, kind: str) -> None:
    header, delimiter, row = ROWS[kind]
    path = tmp_path / "log.gz"
    text = "".join(line.replace(" ", delimiter) + "\n" for line in (header, row, row))
    path.write_bytes(gzip.compress(text.encode()))
    proposal = propose([str(path)], "shop", "")
    assert proposal.known == kind
    assert yaml.safe_load(proposal.draft.text)["source"] == {"kind": kind, "path": str(path)}
    assert not proposal.draft.choices


def test_criteo_display_is_known_with_a_header_and_without(tmp_path: Path) -> None:
    names = ["Label", *(f"I{at}" for at in range(1, 14)), *(f"C{at}" for at in range(1, 27))]
    row = ["0", *map(str, range(13)), *(f"{at:08x}" for at in range(26))]
    (tmp_path / "train.txt").write_text("\t".join(row) + "\n" + "\t".join(row) + "\n")
    (tmp_path / "sample.csv").write_text(",".join(names) + "\n" + ",".join(row) + "\n")
    for name in ("train.txt", "sample.csv"):
        assert propose([str(tmp_path / name)], "shop", "").known == "criteo_display"


@pytest.mark.parametrize("given", [[""], ["sample_skeleton_train.csv"], ["*"]])
def test_ali_ccp_is_known_by_its_lists_of_fields(tmp_path: Path, given: list[str]) -> None:
    (tmp_path / "sample_skeleton_train.csv").write_text(SKELETON)
    (tmp_path / "common_features_train.csv").write_text(COMMON)
    files = [f"{tmp_path}/{name}".rstrip("/") for name in given]
    proposal = propose(files, "shop", "")
    assert (proposal.known, yaml.safe_load(proposal.draft.text)["source"]["path"]) == ("ali_ccp", files[0])


def test_the_common_features_of_ali_ccp_are_found_beside_its_impressions(tmp_path: Path) -> None:
    shown, common = tmp_path / "sample_skeleton_train.csv", tmp_path / "common_features_train.csv"
    shown.write_text(SKELETON)
    common.write_text(COMMON)
    proposal = propose([str(common), str(shown)], "shop", "")
    assert (proposal.known, yaml.safe_load(proposal.draft.text)["source"]["path"]) == ("ali_ccp", str(shown))


def test_a_log_of_another_shape_is_not_taken_for_a_public_one(tmp_path: Path) -> None:
    header, delimiter, row = ROWS["avazu"]
    path = tmp_path / "log.csv"
    path.write_text("".join(line.rpartition(" ")[0].replace(" ", delimiter) + "\n" for line in (header, row, row)))
    assert propose([str(path)], "shop", "").known == ""
