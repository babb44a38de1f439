"""Cases are tried within their time, told, kept on disk, and passed over when they are known."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rosa_ray.chaos.case import Case, NotHere, Seen, Short
from rosa_ray.chaos.page import write_page
from rosa_ray.chaos.run_copy import RunCopy
from rosa_ray.chaos.runner import Document, Outcome, Runner
from rosa_ray.errors import StoreError


def case(name: str, run: Callable[[object], Seen], limit_s: float = 5.0) -> Case:
    return Case(f"invented.{name}", "something is done", "nobody notices", "none", limit_s, run)


def tried(tmp_path: Path, *cases: Case, resume: bool = False) -> tuple[Document, list[str]]:
    document, said = Document(tmp_path / "chaos.json", resume), list[str]()
    copy = RunCopy(tmp_path, tmp_path / "chaos.yaml", None, None, ("rosa",))  # type: ignore[arg-type]
    Runner(copy, document, said.append).run(cases)
    return document, said


def test_a_case_without_shortfalls_is_met_and_one_with_some_is_not(tmp_path: Path) -> None:
    good = case("good", lambda bench: Seen("fine", recovery_s=0.5))
    bad = case("bad", lambda bench: Seen("broken", ["lost 2 of 3"]))
    document, said = tried(tmp_path, good, bad)
    assert document.counts() == {"met": 1, "not met": 1, "not tried": 0}
    assert said[0] == (
        "met        invented.good: something is done; expected: nobody notices; saw: fine; recovered in 0.5 s"
    )
    assert said[1].endswith("saw: broken\n           not as expected: lost 2 of 3")


def test_a_case_that_hangs_is_cut_by_its_own_limit_and_told(tmp_path: Path) -> None:
    def hang(bench: object) -> Seen:
        time.sleep(60)
        return Seen("never")

    began_s = time.monotonic()
    document, _ = tried(tmp_path, case("hangs", hang, limit_s=0.2), case("after", lambda bench: Seen("fine")))
    assert time.monotonic() - began_s < 10
    assert document.outcomes["invented.hangs"].shortfalls == ("it did not end within 0.2 s",)
    assert document.outcomes["invented.after"].state == "met"


def _raise(error: Exception) -> Callable[[object], Seen]:
    def run(bench: object) -> Seen:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (Short("there is no process 'x' to end"), "not met", "there is no process 'x' to end"),
        (StoreError("store: gone"), "not met", "store: gone"),
        (ValueError("oops"), "not met", "the case itself failed: ValueError: oops"),
    ],
)
def test_an_error_is_told_and_the_next_case_is_tried(tmp_path: Path, error: Exception, state: str, text: str) -> None:
    document, _ = tried(tmp_path, case("errs", _raise(error)), case("after", lambda bench: Seen("fine")))
    assert document.outcomes["invented.errs"].state == state
    assert document.outcomes["invented.errs"].shortfalls == (text,)
    assert document.outcomes["invented.after"].state == "met"


def test_what_this_machine_cannot_try_is_neither_met_nor_not(tmp_path: Path) -> None:
    document, _ = tried(tmp_path, case("mounts", _raise(NotHere("nothing can be mounted"))))
    assert document.counts() == {"met": 0, "not met": 0, "not tried": 1}


def test_a_resumed_run_passes_over_what_is_known(tmp_path: Path) -> None:
    calls: list[int] = []
    once = case("once", lambda bench: Seen(f"call {calls.append(1)}"))
    tried(tmp_path, once)
    document, said = tried(tmp_path, once, case("more", lambda bench: Seen("fine")), resume=True)
    assert len(calls) == 1
    assert len(said) == 1
    assert [*document.outcomes] == ["invented.once", "invented.more"]
    tried(tmp_path, once)
    assert len(calls) == 2


def test_the_document_and_the_page_say_the_same(tmp_path: Path) -> None:
    document, _ = tried(tmp_path, case("bad", lambda bench: Seen("broken", ["lost 2 of <3>"], {"lost": 2}, 1.25)))
    held = json.loads((tmp_path / "chaos.json").read_bytes())
    assert held["counts"] == {"met": 0, "not met": 1, "not tried": 0}
    assert held["cases"][0]["figures"] == {"lost": 2}
    assert held["cases"][0]["recovery_s"] == 1.25
    page = write_page(document, "demo", tmp_path / "chaos.html").read_text()
    assert "lost 2 of &lt;3&gt;" in page
    assert "invented" in page.lower()


def test_cleanups_run_last_first_also_after_an_error(tmp_path: Path) -> None:
    done: list[int] = []

    def fail(bench: object) -> Seen:
        bench.cleanups.extend([lambda: done.append(1), lambda: done.append(2)])  # type: ignore[attr-defined]
        raise ValueError

    tried(tmp_path, case("fails", fail))
    assert done == [2, 1]


def test_an_outcome_survives_json(tmp_path: Path) -> None:
    document = Document(tmp_path / "chaos.json", resume=False)
    outcome = Outcome("a.b", "does", "expects", "fused", "met", "saw", ("x",), 1.0, 2.0, {"n": 1})
    document.add(outcome)
    assert Document(tmp_path / "chaos.json", resume=True).outcomes["a.b"] == outcome
