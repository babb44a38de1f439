"""Dead letters are sent again: what is taken leaves them, the rest stays, and being killed does no harm."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig
from rosa_ray.records import EXAMPLES, RecordParser
from rosa_ray.records.dead_letters import DeadLetter, DeadLetters
from rosa_ray.sources.times import TimeForm
from rosa_ray.store import OnlineStore, StoreConfig, open_store
from rosa_ray.streaming.consumer import Consumer
from rosa_ray.streaming.redrive import letter_files, redrive
from tests.fake_s3 import fake_s3
from tests.streaming.fakes import MemorySource, MemoryStore
from tests.streaming.test_consumer import ADS, PARSER, QUICK, event


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OnlineStore]:
    opened = open_store(StoreConfig(path=str(tmp_path / "store.db")), FeatureConfig(), "f", create=True)
    yield opened
    opened.close()


@pytest.fixture
def s3() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, fake_s3(patch, "letters") as file_system:
        yield file_system


def letters_in(directory: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted(directory.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.strip()]


def numeric(number: int) -> bytes:
    """Refused where nothing says what numbers as times mean."""
    return event(number, event_time=1_769_851_800 + number)


def test_what_was_mended_is_taken_and_leaves_the_letters(tmp_path: Path, store: OnlineStore) -> None:
    lines = [numeric(0), b"broken", numeric(1), event(2)]
    Consumer(MemorySource({"s": lines}), store, PARSER, DeadLetters(tmp_path / "dead"), QUICK).run(until_end=True)
    assert [letter["reason"] for letter in letters_in(tmp_path / "dead")] == ["malformed"] * 3
    mended = replace(PARSER, time_form=TimeForm(unit="s"))
    tried = redrive(str(tmp_path / "dead"), store, mended, dry_run=True)
    assert (tried.letters, tried.accepted, dict(tried.refused)) == (3, 2, {"malformed": 1})
    assert len(letters_in(tmp_path / "dead")) == 3
    found = redrive(str(tmp_path / "dead"), store, mended)
    assert (found.letters, found.accepted, found.known, dict(found.refused)) == (3, 2, 0, {"malformed": 1})
    assert [letter["record"] for letter in letters_in(tmp_path / "dead")] == ["broken"]
    again = redrive(str(tmp_path / "dead"), store, mended)
    assert (again.letters, again.accepted, dict(again.refused)) == (1, 0, {"malformed": 1})


def test_letters_of_other_reasons_stay(tmp_path: Path) -> None:
    letters, known = DeadLetters(tmp_path), MemoryStore()
    known.apply(PARSER.parse_lines([event(1)]).columns)
    letters.write([DeadLetter("future", "", "s", 0, event(0)), DeadLetter("future", "", "s", 1, event(1))])
    letters.write([DeadLetter("malformed", "", "http", 0, event(2))])
    found = redrive(str(tmp_path), known, PARSER, ["future"])
    assert (found.letters, found.accepted, found.known, found.passed_over) == (2, 1, 1, 1)
    assert [letter["reason"] for letter in letters_in(tmp_path)] == ["malformed"]
    assert redrive(str(tmp_path), known, PARSER).accepted == 1
    assert [*tmp_path.glob("*.jsonl")] == []


def test_what_is_refused_for_another_reason_today_says_so(tmp_path: Path) -> None:
    letter = DeadLetter("malformed", "was odd", "s", 7, event(0, event_time="2099-01-01T00:00:00Z"))
    DeadLetters(tmp_path).write([letter])
    redrive(str(tmp_path), MemoryStore(), PARSER)
    (stays,) = letters_in(tmp_path)
    assert (stays["reason"], stays["detail"], stays["offset"]) == ("future", "is more than 300 s ahead of the clock", 7)


def test_letters_without_a_whole_record_stay_and_are_counted(tmp_path: Path) -> None:
    whole = DeadLetter("late", "", "s", 2, event(0))
    DeadLetters(tmp_path).write(
        [DeadLetter("late", "", "s", 0), DeadLetter("oversize", "", "s", 1, b"x" * 20_000), whole]
    )
    with (tmp_path / "records.jsonl").open("ab") as handle:
        handle.write(b"   \n{torn")
    found = redrive(str(tmp_path), MemoryStore(), PARSER)
    assert (found.letters, found.accepted, found.unreadable) == (4, 1, 3)
    assert len([line for path in tmp_path.glob("*.jsonl") for line in path.read_bytes().splitlines()]) == 3


def test_a_store_that_fails_leaves_the_letters(tmp_path: Path) -> None:
    DeadLetters(tmp_path).write([DeadLetter("late", "", "s", 0, event(0))])
    with pytest.raises(StoreError, match="down"):
        redrive(str(tmp_path), MemoryStore(failures=1), PARSER)
    assert len(letters_in(tmp_path)) == 1
    assert redrive(str(tmp_path), MemoryStore(), PARSER).accepted == 1


def test_letters_written_meanwhile_are_kept(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.write([DeadLetter("late", "", "s", 0, event(0))])

    class Writing(MemoryStore):
        def apply(self, *arguments: Any) -> Any:
            letters.write([DeadLetter("late", "", "s", 1, b"meanwhile")])
            return super().apply(*arguments)

    assert redrive(str(tmp_path), Writing(), PARSER).accepted == 1
    assert [letter["record"] for letter in letters_in(tmp_path)] == ["meanwhile"]


def test_a_record_of_a_user_under_a_pseudonym_cannot_be_sent_again(tmp_path: Path) -> None:
    private = RecordParser(ADS, pseudonym=str.upper)
    Consumer(MemorySource({"s": [b"ann"]}), MemoryStore(), private, DeadLetters(tmp_path), QUICK).step()
    assert redrive(str(tmp_path), MemoryStore(), private).unreadable == 1


def test_letters_on_an_object_store_are_sent_again(s3: Any) -> None:
    letters = DeadLetters("s3://letters/run/dead-letters", "http", max_bytes=800)
    for number in range(3):
        letters.write([DeadLetter("malformed", "", "http", 0, json.dumps({**EXAMPLES["event"], "n": number}).encode())])
    assert len(letter_files("s3://letters/run/dead-letters")) == 2
    found = redrive("s3://letters/run/dead-letters", MemoryStore(), PARSER)
    assert (found.letters, found.accepted, found.known) == (2, 1, 1)
    assert letter_files("s3://letters/run/dead-letters") == []


def test_nothing_to_send(tmp_path: Path) -> None:
    assert redrive(str(tmp_path / "none"), MemoryStore(), PARSER).letters == 0
