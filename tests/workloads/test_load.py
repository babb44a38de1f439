"""`rosa load`, against a service that answers by script."""

import json

import pytest

from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL, ConfigError, InputError, ServingError
from tests.load.scripted import service
from workloads.load import LoadOptions, run


def ready_and(status: int, **body: object):
    """A script that is ready and ranks, or fails."""
    return lambda path, sent: (status, {"model_version": "m1", "user_known": True, "degraded": [], **body}, {})


@pytest.fixture
def requests(tmp_path):
    path = tmp_path / "bodies.jsonl"
    path.write_text('{"user_id": "u1"}\n\n{"user_id": "u2"}\n')
    return str(path)


def options(url: str, requests: str, **other: object) -> LoadOptions:
    return LoadOptions(
        **{"url": url, "requests": requests, "rank_per_s": 20, "seconds": 0.5, "arrivals": "even", **other}
    )


def test_figures_are_printed_and_written(tmp_path, requests, capsys) -> None:
    out, json_out = str(tmp_path / "load.html"), str(tmp_path / "load.json")
    with service(ready_and(200)) as url:
        assert run(RunConfig(), options(url, requests, out=out, json_out=json_out)) == 0
    said = capsys.readouterr().out
    assert "model m1: 20 rankings and 0 events a second for 0.5 s" in said
    assert "rank: 10 sent" in said
    assert json.loads((tmp_path / "load.json").read_text())["kinds"]["rank"]["statuses"] == {"200": 10}
    assert "<svg" not in said
    assert (tmp_path / "load.html").stat().st_size > 1000


@pytest.mark.parametrize("answer", [ready_and(503, detail="busy"), ready_and(200, degraded=["store"])])
def test_failed_and_degraded_answers_have_an_exit_code(answer, requests) -> None:
    with service(answer) as url:
        assert run(RunConfig(), options(url, requests)) == EXIT_PARTIAL


def test_what_cannot_be_done_is_said(requests, tmp_path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no bodies"):
        run(RunConfig(), LoadOptions(requests=str(tmp_path / "empty.jsonl")))
    with pytest.raises(ConfigError, match="--arrivals is 'odd'; give even or poisson"):
        run(RunConfig(), LoadOptions(requests=requests, arrivals="odd"))
    with pytest.raises(ServingError, match="was not ready"):
        run(RunConfig(), options("http://127.0.0.1:9", requests, timeout_s=0.3))
