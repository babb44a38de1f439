"""Columns of items held between requests: read once, again when aged or changed, and never more than there is room."""

import numpy as np

from rosa_ray.features.changes import change_rows
from rosa_ray.features.own import ColumnConfig
from rosa_ray.schema.own_columns import ITEM
from rosa_ray.serving.thing_columns import ThingColumns

CONFIGS = {"item.weight": ColumnConfig(type="number")}


class Items:
    """A store of one number per item, which says what it was asked for."""

    def __init__(self, **settings: float) -> None:
        self.weights: dict[int, float] = {}
        self.asked: list[list[int]] = []
        self.now_s = 100.0
        settings = {"ttl_s": 60.0, "max_bytes": 1_000_000, **settings}
        self.columns = ThingColumns(ITEM, CONFIGS, self.read_store, clock=lambda: self.now_s, **settings)  # type: ignore[arg-type]

    def read_store(self, keys: np.ndarray) -> list[bytes]:
        self.asked.append(keys.tolist())
        return [self.packed(self.weights[key]) if key in self.weights else b"" for key in keys.tolist()]

    def packed(self, weight: float) -> bytes:
        values = {"item.weight": np.array([weight])}
        return change_rows(np.array([5]), values, np.ones((1, 1), bool), CONFIGS).tobytes()

    def read(self, *keys: int, time_us: int = 9) -> list[float | None]:
        found = self.columns.read(np.array(keys), np.full(len(keys), time_us))["item.weight"].tolist()
        return [None if weight != weight else weight for weight in found]


def test_each_item_is_asked_for_once() -> None:
    items = Items()
    items.weights = {1: 0.5, 2: 0.25}
    assert items.read(2, 1, 2, 3) == [0.25, 0.5, 0.25, None]
    assert items.read(1, 3) == [0.5, None]
    assert items.read(1, 4, time_us=4) == [None, None]
    assert items.asked == [[1, 2, 3], [4]]


def test_what_changed_here_is_read_again_at_once() -> None:
    items = Items()
    assert items.read(1, 2) == [None, None]
    items.weights = {1: 0.5, 2: 0.25}
    items.columns.forget(np.array([1, 7]))
    assert items.read(1, 2) == [0.5, None]
    assert items.asked == [[1, 2], [1]]


def test_what_changed_elsewhere_is_read_when_it_has_aged() -> None:
    items = Items()
    items.weights = {1: 0.5, 2: 0.25}
    items.read(1, 2)
    items.weights[1] = 0.75
    items.now_s += 60
    assert items.read(1, 2) == [0.5, 0.25]
    items.now_s += 1
    assert items.read(1, 2) == [0.75, 0.25]
    assert items.read(1, 2) == [0.75, 0.25]
    assert items.asked == [[1, 2], [1, 2]]


def test_nothing_is_kept_where_nothing_may_age() -> None:
    items = Items(ttl_s=0.0)
    for weight in (0.5, 0.75):
        items.now_s += 1
        items.weights = {1: weight}
        assert items.read(1, 1) == [weight] * 2
    assert len(items.asked) == 2


def test_a_full_memory_starts_from_nothing_and_still_answers() -> None:
    items = Items(max_bytes=2000)
    items.weights = {key: float(key) for key in range(1, 1001)}
    for start in range(1, 1001, 10):
        keys = [*range(start, start + 10), 1]
        assert items.read(*keys) == [float(key) for key in keys]
    assert len(items.columns) < 200


def test_without_the_store_what_is_held_is_read() -> None:
    items = Items()
    items.weights = {1: 0.5}
    items.read(1)
    items.now_s += 1000
    found = items.columns.read_held(np.array([1, 2]), np.array([9, 9]))["item.weight"].tolist()
    assert (found[0], found[1] != found[1], len(items.asked)) == (0.5, True, 1)
