import pytest

from rosa_ray.errors import InputError
from rosa_ray.sources.paths import find_files, has_subdirectory
from rosa_ray.storage import readable


@pytest.fixture
def tree(tmp_path):
    for name in ("b.csv", "a.csv.gz", "day=1/a.csv", "_SUCCESS", ".a.csv.crc", "_tmp/c.csv", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    return tmp_path


def test_directory_lists_all_but_hidden_files_in_order(tree):
    names = [file.name for file in find_files(str(tree), "events")]
    assert names == ["a.csv.gz", "b.csv", "day=1/a.csv", "notes.txt"]


def test_glob_names_files_below_its_fixed_part(tree):
    files = find_files(f"{tree}/*.csv", "events")
    assert [(file.path, file.name, file.stem) for file in files] == [(f"{tree}/b.csv", "b.csv", "b")]
    assert [file.name for file in find_files(f"{tree}/day=*/a.csv", "events")] == ["day=1/a.csv"]


def test_single_file_is_named_by_its_base_name(tree):
    (file,) = find_files(str(tree / "a.csv.gz"), "ads")
    assert (file.name, file.stem, file.contract_name) == ("a.csv.gz", "a", "ads")


def test_hidden_folder_above_the_location_does_not_hide_its_files(tree):
    assert [file.name for file in find_files(str(tree / "_tmp"), "events")] == ["c.csv"]


def test_relative_location_becomes_absolute(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert find_files("b.csv", "events")[0].path == str(tree / "b.csv")


@pytest.mark.parametrize("location", ["missing.csv", "empty", "*.parquet"])
def test_nothing_there_is_one_line(tmp_path, location):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=location.replace("*", r"\*")) as caught:
        find_files(f"{tmp_path}/{location}", "events")
    assert "\n" not in str(caught.value)


def test_unknown_protocol_is_an_input_error():
    with pytest.raises(InputError, match="nosuch"):
        find_files("nosuch://bucket/x.csv", "events")


def test_has_subdirectory(tree):
    assert has_subdirectory(str(tree), "day=1")
    assert not has_subdirectory(str(tree), "b.csv")


def test_readable_lets_programming_errors_through():
    with pytest.raises(TypeError), readable("a.csv"):
        raise TypeError
