"""Cases on a service of their own, which is started as a user starts it."""

from pathlib import Path

import pytest

from rosa_ray.chaos.case import all_cases, chosen_cases
from rosa_ray.chaos.run_copy import RunCopy
from rosa_ray.chaos.runner import Document, Runner


@pytest.mark.integration
def test_a_service_is_started_loaded_broken_and_ended(run_copy: RunCopy, tmp_path: Path) -> None:
    names = ["clients.many_candidates", "clients.other_origin", "replicas.controller_fused"]
    document, said = Document(tmp_path / "chaos.json", resume=False), list[str]()
    Runner(run_copy, document, said.append).run(chosen_cases(all_cases(), names))
    assert said[0].startswith("the fused service is ready after")
    assert document.outcomes["clients.many_candidates"].state == "met"
    assert document.outcomes["clients.other_origin"].state == "met"
    answers = document.outcomes["replicas.controller_fused"].figures["answers"]
    assert answers["rank 200"] >= 10
    assert document.saturation_per_s["fused"] > 0
