"""Tasks on Ray Data: results in order, errors as themselves."""

import pytest

from rosa_ray.data.tasks import run_tasks
from rosa_ray.errors import InputError, RosaError

pytestmark = pytest.mark.integration


def _work(item: int) -> int:
    if item == 2:
        raise InputError("two is missing")
    if item == 3:
        raise PermissionError("no right to write")
    if item == 4:
        raise ZeroDivisionError("a fault\nof two lines")
    return item * 10


def test_results_keep_the_order_of_the_items(ray_cluster):
    assert run_tasks(_work, [7, 1, 5, 0], "counting") == [70, 10, 50, 0]


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        (2, InputError, "^two is missing$"),
        (3, RosaError, "^counting failed: PermissionError: no right to write$"),
        (4, RosaError, "^counting failed: ZeroDivisionError: a fault$"),
    ],
)
def test_errors_come_back_as_one_line(ray_cluster, item, kind, message):
    with pytest.raises(kind, match=message) as raised:
        run_tasks(_work, [1, item], "counting")
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
