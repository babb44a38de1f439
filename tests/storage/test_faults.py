"""What goes wrong on S3 is one line that says what to set, for readers and writers alike."""

from typing import Any

import pytest

from rosa_ray.errors import InputError
from rosa_ray.sources.paths import find_files
from rosa_ray.storage import exists, explain, remove_tree, write_bytes
from tests.fake_s3 import free_port


def line_of(caught: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def client_error(code: str, operation: str = "PutObject") -> Exception:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code, "Message": "as S3 says it"}}, operation)


def test_a_bucket_that_is_not_there_is_neither_read_nor_created(s3: Any) -> None:
    for act in (
        lambda: write_bytes(b"x", "s3://no-bucket/run/config.yaml"),
        lambda: find_files("s3://no-bucket/log", "events"),
    ):
        with pytest.raises(
            InputError, match="there is no bucket 'no-bucket'; correct the name, or aws s3 mb"
        ) as caught:
            act()
        line_of(caught)
    assert not s3.exists("no-bucket")
    assert not exists("s3://no-bucket/run")
    remove_tree("s3://no-bucket/run")


def test_no_credentials(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    type(s3).clear_instance_cache()
    try:
        with pytest.raises(InputError, match=r"wants credentials.*set AWS credentials \(AWS_ACCESS_KEY_ID") as caught:
            write_bytes(b"x", "s3://runs/file")
        line_of(caught)
    finally:
        type(s3).clear_instance_cache()


def test_an_endpoint_that_does_not_answer(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(s3).clear_instance_cache()
    try:
        with pytest.raises(InputError, match=f"no S3 server answers.*AWS_ENDPOINT_URL, now '{endpoint}'") as caught:
            write_bytes(b"x", "s3://runs/file")
        line_of(caught)
    finally:
        type(s3).clear_instance_cache()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError("Access Denied"), r"denies access.*s3:PutObject.*on bucket 'b', or set others"),
        (client_error("AccessDenied"), r"denies access"),
        (client_error("InvalidAccessKeyId"), r"refuses these credentials: InvalidAccessKeyId.*AWS_PROFILE"),
        (client_error("ExpiredToken"), r"refuses these credentials: ExpiredToken"),
        (client_error("NoSuchBucket"), r"there is no bucket 'b'"),
        (client_error("SlowDown"), r"S3 failed: SlowDown: .*as S3 says it"),
    ],
)
def test_what_s3_answers(error: Exception, expected: str) -> None:
    import re

    line = explain("s3://b/run/file", error)
    assert line is not None
    assert re.search(expected, line)
    assert "\n" not in line


def test_local_paths_are_left_to_the_caller() -> None:
    assert explain("runs/demo/file", PermissionError("no")) is None
