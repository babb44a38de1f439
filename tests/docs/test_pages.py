"""What every page of the documentation keeps: short sentences, links that lead somewhere, names that exist."""

import re
from pathlib import Path

import pytest

from docs.generate import PAGES as GENERATED
from docs.reference_from_code.verbs import commands
from tests.docs.pages import DOCS, PAGES, ROOT, code_of, links, name_of, sentences

MOST_WORDS = 25

_COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?rosa((?: [a-z]+)+)|(?<=&& )rosa((?: [a-z]+)+)", re.M)
_JOB = re.compile(r"python -m workloads ([a-z]+)")
_PATH = re.compile(r"\b(?:rosa_ray|workloads|tests|benchmarks|deploy|docs)/[\w./-]*\w")

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@every_page
def test_a_sentence_has_at_most_25_words(page: Path) -> None:
    long = [text for text in sentences(page.read_text()) if _words(text) > MOST_WORDS]
    assert not long, "\n".join(f"{_words(text)} words: {text}" for text in long)


@every_page
def test_a_relative_link_leads_somewhere(page: Path) -> None:
    targets = [target.partition("#")[0] for target in links(page.read_text()) if "://" not in target]
    missing = [target for target in targets if target and not _exists(page, target)]
    assert not missing


@every_page
def test_a_command_names_a_verb_that_exists(page: Path) -> None:
    verbs = {words.removeprefix("rosa ") for words, _ in commands()}
    named = [verb for code in code_of(page.read_text()) for verb in _verbs(code)]
    unknown = [words for words in named if not any(words == verb or words.startswith(f"{verb} ") for verb in verbs)]
    assert not unknown


@every_page
def test_a_path_of_the_project_exists(page: Path) -> None:
    paths = [path for code in code_of(page.read_text()) for path in _PATH.findall(code)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_a_long_sentence_is_found() -> None:
    text = "Short. A" + " word" * 29 + " end.\n\n- An item.\n\n| " + "cell " * 40 + "|\n"
    assert [_words(sentence) for sentence in sentences(text)] == [1, 31, 2]


def test_commands_and_paths_are_found() -> None:
    code = "rosa nonsense a.yaml && rosa serve b.yaml\n.venv/bin/rosa cluster check x\npython -m workloads train y"
    assert _verbs(code) == ["nonsense a", "serve b", "cluster check x", "train"]
    assert _PATH.findall("see rosa_ray/no/such.py") == ["rosa_ray/no/such.py"]


def _words(sentence: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def _verbs(code: str) -> list[str]:
    named = [(first or second).strip() for first, second in _COMMAND.findall(code)]
    return named + _JOB.findall(code)


def _exists(page: Path, target: str) -> bool:
    place = (page.parent / target).resolve()
    generated = {(DOCS / uri).resolve() for uri in GENERATED}
    return place.exists() or place in generated
