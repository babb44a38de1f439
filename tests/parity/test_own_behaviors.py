"""A run with five behaviours of a team's own: offline and live features agree, and a run of others is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import workloads.cli as cli
from rosa_ray.data.leakage.recount import Recount
from rosa_ray.errors import ConfigError
from rosa_ray.features import dense_names
from rosa_ray.records import EXAMPLES
from rosa_ray.report.run_files import open_run_files
from rosa_ray.report.sections import attention
from rosa_ray.serving.http import create_app
from rosa_ray.serving.service import RankingService
from rosa_ray.storage import write_json
from tests.serving.client import LocalClient
from tests.serving.conftest import NOW_US, World, build_world
from tests.synthetic import CONFIG
from tests.workloads.tiny_run import write_run

FIVE = {"impression": 0, "view": 1, "wishlist": 2, "cart": 3, "purchase": 4}
FEATURES = replace(CONFIG, behaviors=FIVE)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("five"), FEATURES)


def run_of(five: World, folder: Path, behaviors: dict[str, int]) -> Path:
    """A config file of a run with the five, which names some behaviours."""
    config = write_run(folder, five)
    write_json({"end_us": NOW_US, "feature_config": five.features.config.definition()}, str(folder / "data/spec.json"))
    config.write_text(f"{config.read_text()}features: {{behaviors: {json.dumps(behaviors)}}}\n")
    return config


def rosa(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.mark.parametrize("arguments", [[], ["--shuffle", "3", "--kill", "4"]])
def test_offline_and_live_features_agree_bit_for_bit(five: World, tmp_path: Path, arguments: list[str]) -> None:
    answer = rosa("parity", str(run_of(five, tmp_path, FIVE)), *arguments, "--scores", "40")
    assert (answer.exit_code, answer.exception) == (0, None), answer.stderr
    names = dense_names(FEATURES)
    assert sum(name.endswith("log1p_wishlist") for name in names) == 7
    assert f"of {five.impressions.num_rows} ads: all {len(names) + 1} features" in answer.stdout
    assert "refused none" in answer.stdout
    assert "scores equal within" in answer.stdout


@pytest.mark.parametrize("verb", ["train", "materialize", "evaluate", "serve", "ingest", "parity"])
def test_a_run_that_names_others_is_refused_in_one_line(five: World, tmp_path: Path, verb: str) -> None:
    four = {name: code for code, name in enumerate(("view", "click", "cart", "purchase"))}
    answer = rosa(verb, str(run_of(five, tmp_path, four)))
    assert answer.exit_code == ConfigError.exit_code, answer.stderr
    assert "features.behaviors are view, click, cart, purchase; " in answer.stderr
    assert "with impression, view, wishlist, cart, purchase; name these, or preprocess" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_the_leak_guard_counts_them_again(five: World) -> None:
    recount = Recount(five.rows, FEATURES, 40, np.random.default_rng(0))
    recount.update(five.rows)
    assert list(recount.findings(whole=True)) == []
    place = dense_names(FEATURES).index("user_events.all.log1p_purchase")
    dense = five.rows.dense.copy()
    dense[:, place] += 1
    wrong = replace(five.rows, dense=dense)
    recount = Recount(wrong, FEATURES, 40, np.random.default_rng(0))
    recount.update(wrong)
    assert [finding.where for finding in recount.findings(whole=True)] == ["user_events.all.log1p_purchase"]


def test_a_service_takes_events_of_them_and_the_next_ranking_sees_these(five: World) -> None:
    scorer = five.scorer(five.store)
    client = LocalClient(create_app(RankingService(scorer)))
    event = {**EXAMPLES["event"], "user_id": "u5", "event_time": "2023-11-22T22:13:20Z"}
    sent = [event | {"event_id": name, "behavior": name} for name in ("impression", "wishlist", "click")]
    answer = client.post("/events", json={"events": sent}).json()
    assert answer["accepted"] == 2
    assert [(one["index"], one["reason"]) for one in answer["rejected"]] == [
        (2, "behavior: is none of impression, view, wishlist, cart, purchase")
    ]
    body = {"user_id": "u5", "candidates": ["a1", "a2"], "explain": True, "context": {"time": "2023-11-22T22:15:00Z"}}
    told = client.post("/rank", json=body).json()["explanation"]
    assert (told["events_since"], told["actions_since"]) == (2, 1)


def test_the_report_names_them(five: World, tmp_path: Path) -> None:
    run_of(five, tmp_path, FIVE)
    html = str(attention.render(open_run_files(tmp_path)))
    assert all(f">{name}<" in html for name in FIVE)
