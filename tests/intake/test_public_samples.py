"""`rosa init` on samples of public logs: what it makes of each, without an edit."""

from pathlib import Path

import pytest

from rosa_ray.errors import InputError
from rosa_ray.intake.guesses import guess_tables
from rosa_ray.intake.propose import propose
from rosa_ray.intake.samples import read_samples


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["taobao/UserBehavior.csv.gz"], "taobao"),
        (["rees46/2019-10-01_0000-0250.csv.gz"], "rees46"),
        (["ipinyou/drsa_2259_train.log.txt.gz"], "ipinyou"),
        (["ipinyou/drsa_2259_train.log.txt.gz", "ipinyou/drsa_2259_test.log.txt.gz"], "ipinyou"),
        (["criteo/display_sample.csv.gz"], "criteo_display"),
        (["open_bandit/random_all.csv.gz", "open_bandit/random_all_item_context.csv.gz"], "open_bandit"),
        (["kuairand/likes_hates_kcore15.csv.gz"], "kuairand"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_public_log_is_known_by_its_columns(shared_data: Path, files: list[str], kind: str) -> None:
    proposal = propose([str(shared_data / file) for file in files], "shop", "")
    assert proposal.known == kind
    assert not proposal.draft.choices


@pytest.mark.parametrize(
    ("file", "table", "columns"),
    [
        (
            "taobao/UserBehavior.csv.gz",
            "events",
            {
                "user_id": "column_1",
                "item_id": "column_2",
                "behavior": "column_4",
                "event_time": "column_5",
                "category": "column_3",
            },
        ),
        (
            "rees46/2019-10-01_0000-0250.csv.gz",
            "events",
            {
                "user_id": "user_id",
                "item_id": "product_id",
                "behavior": "event_type",
                "event_time": "event_time",
                "category": "category_id",
                "price": "price",
            },
        ),
        (
            "kuairand/likes_hates_kcore15.csv.gz",
            "impressions",
            {"user_id": "user_id", "ad_id": "video_id", "request_time": "time_ms", "click": "is_click"},
        ),
        (
            "open_bandit/bts_all.csv.gz",
            "impressions",
            {
                "ad_id": "item_id",
                "request_time": "timestamp",
                "position": "position",
                "propensity": "propensity_score",
                "click": "click",
            },
        ),
    ],
    ids=["taobao", "rees46", "kuairand", "open_bandit"],
)
def test_columns_of_a_public_log_are_guessed_without_knowing_it(
    shared_data: Path, file: str, table: str, columns: dict[str, str]
) -> None:
    samples, _ = read_samples([str(shared_data / file)])
    guess = next(one for one in guess_tables(samples)[0] if one.table == table)
    assert {name: found.file_column for name, found in guess.columns.items()} == columns


@pytest.mark.parametrize(
    "file", ["criteo/attribution_campaign_cost.csv", "ipinyou/5min_train.csv.gz", "ipinyou/rlb_1458_info.json.gz"]
)
def test_files_that_are_no_rows_of_a_log_are_refused(shared_data: Path, file: str) -> None:
    with pytest.raises(InputError):
        propose([str(shared_data / file)], "shop", "")
