"""Actors that work side by side give every result once, in place, whatever happens to one of them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rosa_ray.data.actor_pool import map_on_actors
from rosa_ray.errors import InputError, RosaError

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray_cluster")]


class Repeats:
    """Yields an item so often; dies once, half way, where it is told to."""

    def __init__(self, times: int, mark: str = "") -> None:
        self._times, self._mark = times, mark

    def __call__(self, item: str) -> Iterator[tuple[str, int]]:
        for number in range(self._times):
            if number == 1 and item == "b" and self._mark and not os.path.exists(self._mark):
                Path(self._mark).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield item, number


class Refuses:
    """Fails at one item, by an error of ours or by another."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, item: str) -> Iterator[str]:
        if item == "b":
            raise self._error
        yield item


def test_every_result_comes_once_with_the_place_of_its_item() -> None:
    found = list(map_on_actors(Repeats, (3,), ["a", "b", "c", "d", "e"], 2, "repeating"))
    assert sorted(found) == [(place, (item, number)) for place, item in enumerate("abcde") for number in range(3)]
    assert [result for place, result in found if place == 1] == [("b", 0), ("b", 1), ("b", 2)]


def test_an_actor_that_dies_half_way_does_its_item_again(tmp_path: Path) -> None:
    mark = tmp_path / "died"
    found = list(map_on_actors(Repeats, (4, str(mark)), ["a", "b", "c"], 1, "repeating"))
    assert mark.exists()
    assert sorted(found) == [(place, (item, number)) for place, item in enumerate("abc") for number in range(4)]


def test_its_own_error_comes_back_as_itself() -> None:
    with pytest.raises(InputError, match=r"^b\.parquet: is damaged$"):
        list(map_on_actors(Refuses, (InputError("b.parquet: is damaged"),), ["a", "b"], 2, "reading"))


def test_another_error_is_one_line_that_says_what_was_done() -> None:
    with pytest.raises(RosaError, match=r"^reading failed: .*no such thing") as caught:
        list(map_on_actors(Refuses, (KeyError("no such thing"),), ["a", "b"], 2, "reading"))
    assert "\n" not in str(caught.value)


def test_nothing_to_do_starts_nothing() -> None:
    assert list(map_on_actors(Repeats, (3,), [], 2, "repeating")) == []
