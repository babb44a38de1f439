import gzip

import pytest

from rosa_ray.errors import InputError
from rosa_ray.sources import SourceConfig, open_source
from tests.fake_s3 import fake_s3


@pytest.fixture
def bucket(monkeypatch):
    with fake_s3(monkeypatch, "ad-logs") as file_system:
        yield file_system


def test_directory_and_glob_on_s3(bucket):
    bucket.pipe_file("ad-logs/raw/a.csv.gz", gzip.compress(b"1,10,100,pv,1512000000\n"))
    bucket.pipe_file("ad-logs/raw/_SUCCESS", b"")
    for location in ("s3://ad-logs/raw", "s3://ad-logs/raw/*.gz", "s3://ad-logs/raw/a.csv.gz"):
        source = open_source(SourceConfig(kind="taobao", path=location))
        (file,) = source.files()
        assert (file.path, file.name) == ("s3://ad-logs/raw/a.csv.gz", "a.csv.gz")
        assert sum(batch.table.num_rows for batch in source.read(file)) == 1


@pytest.mark.parametrize("location", ["s3://ad-logs/none.csv", "s3://no-such-bucket/a.csv"])
def test_missing_key_or_bucket(bucket, location):
    with pytest.raises(InputError, match=f"{location}: does not exist"):
        open_source(SourceConfig(kind="taobao", path=location)).files()


def test_missing_credentials_name_what_to_set(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    type(bucket).clear_instance_cache()
    with pytest.raises(InputError, match="set AWS credentials") as caught:
        open_source(SourceConfig(kind="log", path="s3://ad-logs/log")).files()
    assert "\n" not in str(caught.value)
