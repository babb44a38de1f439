"""An S3 server for the tests of a module, and an empty bucket's URL for each test."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_s3 import fake_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, fake_s3(patch, "runs") as file_system:
        yield file_system
