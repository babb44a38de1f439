"""A link breaks alone, for a while, and never because of another's lock or of one user's damaged row."""

import threading
from collections.abc import Callable

import pytest

from rosa_ray.errors import StoreDamagedError, StoreError, StoreLockedError
from rosa_ray.serving.store_link import StoreLink
from tests.serving.background import Clock


class Fake:
    """A store that counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Opener:
    """Opens fakes, and fails while `error` is set."""

    def __init__(self) -> None:
        self.opened: list[Fake] = []
        self.error: Exception | None = None

    def __call__(self) -> Fake:
        if self.error:
            raise self.error
        self.opened.append(Fake())
        return self.opened[-1]


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def link_of(opener: Opener, clock: Clock, **settings: object) -> StoreLink:
    return StoreLink(opener, retry_s=1.0, clock=clock, **settings)  # type: ignore[arg-type]


def failing(error: Exception) -> Callable[[object], None]:
    def question(store: object) -> None:
        raise error

    return question


def test_after_a_failure_it_fails_at_once_and_then_connects_again(opener: Opener, clock: Clock) -> None:
    link = link_of(opener, clock)
    with pytest.raises(StoreError, match="gone"):
        link.ask(failing(StoreError("store: gone")))
    assert (link.broken, opener.opened[0].closed) == (True, 1)
    with pytest.raises(StoreError, match="gone"):
        link.ask(lambda store: "not asked")
    clock.now_s += 1.1
    assert link.ask(lambda store: "answer") == "answer"
    assert len(opener.opened) == 2


@pytest.mark.parametrize("breaks", [False, True])
def test_a_lock_keeps_the_connection_and_breaks_writes_alone(opener: Opener, clock: Clock, breaks: bool) -> None:
    link = link_of(opener, clock, locked_breaks=breaks)
    with pytest.raises(StoreLockedError):
        link.ask(failing(StoreLockedError("store: is locked")))
    assert link.broken is breaks
    clock.now_s += 1.1
    assert link.ask(lambda store: store) is opener.opened[0]
    assert opener.opened[0].closed == 0


@pytest.mark.parametrize("error", [StoreDamagedError("store: is damaged"), ValueError("buffer"), IndexError("at")])
def test_what_cannot_be_read_breaks_nothing_and_connects_again(opener: Opener, clock: Clock, error: Exception) -> None:
    link = link_of(opener, clock)
    with pytest.raises(StoreDamagedError):
        link.ask(failing(error))
    assert not link.broken
    assert link.ask(lambda store: "other user") == "other user"
    assert [store.closed for store in opener.opened] == [1, 0]


def test_a_store_that_cannot_be_opened_is_left_alone_for_a_while(opener: Opener, clock: Clock) -> None:
    link, opener.error = link_of(opener, clock), StoreError("store: does not exist")
    for _ in range(2):
        with pytest.raises(StoreError, match="does not exist"):
            link.ask(lambda store: None)
    opener.error = None
    with pytest.raises(StoreError, match="does not exist"):
        link.ask(lambda store: None)
    clock.now_s += 1.1
    assert link.ask(lambda store: 1) == 1


def test_a_slow_answer_is_given_and_then_the_store_is_left_alone(opener: Opener, clock: Clock) -> None:
    link = link_of(opener, clock, slow_s=0.5)

    def slowly(store: object) -> str:
        clock.now_s += 0.6
        assert link.hangs()
        return "late"

    assert link.ask(slowly) == "late"
    assert not link.hangs()
    with pytest.raises(StoreError, match="took 600 ms"):
        link.ask(lambda store: None)


def test_a_connection_is_closed_only_after_the_last_question_that_uses_it(opener: Opener, clock: Clock) -> None:
    link, asked, go_on = link_of(opener, clock), threading.Event(), threading.Event()

    def wait(store: Fake) -> int:
        asked.set()
        assert go_on.wait(5)
        return store.closed

    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(link.ask(wait)))  # type: ignore[arg-type]
    thread.start()
    assert asked.wait(5)
    link.close()
    assert link.ask(lambda store: store) is not opener.opened[0]
    go_on.set()
    thread.join(5)
    assert (found, opener.opened[0].closed, opener.opened[1].closed) == ([0], 1, 0)
