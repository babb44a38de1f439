"""The reference pages say everything that the code has."""

import doctest
import importlib
import pkgutil
import re

import pytest

from docs import reference_from_code
from docs.generate import PAGES
from docs.reference_from_code import exit_codes, http_api, records, run_files, settings, verbs
from rosa_ray.config import RunConfig
from rosa_ray.records import EXAMPLES, REASONS
from rosa_ray.run_dir import RunDir
from rosa_ray.settings.reference import settings_of

MODULES = [module.name for module in pkgutil.iter_modules(reference_from_code.__path__)]


@pytest.mark.parametrize("uri", PAGES)
def test_a_page_begins_with_its_title_and_shows_no_python(uri: str) -> None:
    page = PAGES[uri]()
    assert page.startswith("# ")
    assert not re.search(r"<class |typing\.|<factory>|MISSING|<function", page)


def test_every_setting_has_its_place() -> None:
    page = settings.page()
    places = [settings.place_of(setting) for setting in settings_of(RunConfig)]
    assert {"run_dir", "training.workers", "stream.log.fsync", "model.din.width", "model.name"} <= {*places}
    assert len({*places}) == len(places)
    missing = [place for place in places if f'<a id="{place}"></a>' not in page]
    assert not missing
    assert all(f"## {name}\n" in page for name in vars(RunConfig()) if name not in ("run_dir", "seed"))


def test_a_setting_says_its_type_and_default() -> None:
    page = settings.page()
    entry = page.partition('<a id="training.workers"></a>')[2].partition("<a id")[0]
    assert "integer; at least 1; default `2`" in entry
    assert "processes" in entry


def test_every_verb_stands_on_its_page() -> None:
    page = verbs.page()
    assert all(f"## {words}\n" in page for words, _ in verbs.commands())
    assert "`--until-end`" in page


def test_every_exit_code_stands_on_its_page() -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", exit_codes.page(), re.M)]
    assert codes == [*range(12), 130]


def test_every_path_and_object_of_the_interface_stands_on_its_page() -> None:
    page, document = http_api.page(), http_api.openapi()
    assert all(f" {path}\n" in page for path in document["paths"])
    linked = re.findall(r"\]\(#(\w+)\)", page)
    assert {f"### {name}".lower() for name in linked} <= {line.lower() for line in page.splitlines()}


def test_every_kind_of_record_and_reason_stands_on_its_page() -> None:
    page = records.page()
    assert all(f"## {kind}\n" in page for kind in EXAMPLES)
    assert all(f"| `{reason}` |" in page for reason in REASONS)


def test_the_files_that_a_person_looks_for_stand_on_their_page() -> None:
    page, run = run_files.page(), RunDir("RUN")
    for path in (run.config, run.evaluation.metrics, run.data.report, run.bundle, run.study("ablate"), "RUN/store.db"):
        assert f"- `{path}`: " in page


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    module = importlib.import_module(f"{reference_from_code.__name__}.{name}")
    assert doctest.testmod(module).failed == 0
