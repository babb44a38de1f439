"""Writes are whole or absent, on a disk and on S3."""

import errno
from pathlib import Path
from typing import Any

import pytest

from rosa_ray.errors import InputError
from rosa_ray.storage import absolute, arrow_filesystem, exists, fingerprint, remove_tree, write_bytes, write_file


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path)
    request.getfixturevalue("s3")
    return f"s3://runs/{tmp_path.name}"


def test_a_file_is_written_replaced_and_removed(root: str) -> None:
    path = f"{root}/below/that/file"
    assert not exists(path)
    remove_tree(path)
    for content in (b"first", b"second, longer"):
        write_bytes(content, path)
        file_system, place = arrow_filesystem(path)
        read = Path(place).read_bytes() if file_system is None else file_system.open_input_stream(place).read()
        assert read == content
    remove_tree(f"{root}/below")
    assert not exists(path)


def test_a_fingerprint_tells_a_file_that_changed(root: str) -> None:
    write_bytes(b"one", f"{root}/file")
    first = fingerprint(f"{root}/file")
    assert fingerprint(f"{root}/file") == first
    write_bytes(b"two", f"{root}/file")
    assert fingerprint(f"{root}/file") != first
    with pytest.raises(InputError, match="missing"):
        fingerprint(f"{root}/missing")


def test_a_large_file_is_copied_whole(root: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    write_file(str(tmp_path / "source"), f"{root}/copies/file")
    assert exists(f"{root}/copies/file")


def test_a_large_object_appears_only_when_its_last_part_is_there(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 100 MB s3fs uploads parts; here the second of three fails."""
    parts = []
    call = type(s3)._call_s3

    async def broken(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        if method == "upload_part":
            parts.append(options["PartNumber"])
            if options["PartNumber"] == 2:
                raise OSError("connection lost")
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(type(s3), "_call_s3", broken)
    with pytest.raises(InputError, match=r"s3://runs/large: cannot be written: connection lost"):
        write_bytes(bytes(120 << 20), "s3://runs/large")
    assert 2 in parts
    assert not exists("s3://runs/large")
    assert not s3.list_multipart_uploads("runs")


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/below: cannot be written: "):
        write_bytes(b"x", f"{tmp_path}/file/below")


def test_a_disk_that_fills_leaves_the_former_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, source = tmp_path / "place/file", tmp_path / "source"
    write_bytes(b"former", str(path))
    source.write_bytes(b"longer content")

    def fill(_: str, at: Path) -> None:
        at.write_bytes(b"longer")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", fill)
    with pytest.raises(InputError, match=r"place/file.*No space left on device"):
        write_file(str(source), str(path))
    assert [(one.name, one.read_bytes()) for one in path.parent.iterdir()] == [("file", b"former")]


def test_paths_mean_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("run") == str(tmp_path / "run")
    assert absolute("s3://runs/demo") == "s3://runs/demo"
