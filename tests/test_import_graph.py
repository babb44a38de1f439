"""Imports have a direction: no module of the code imports itself by way of others."""

from house import longest_chain, read_imports, rings


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert rings(read_imports()) == []


def test_every_module_is_looked_at() -> None:
    imports = read_imports()
    assert "rosa_ray.errors" in imports["rosa_ray.schema.contract"]
    assert any(name.startswith("rosa_ray.") for name in imports["workloads.command_line"])


def test_a_ring_is_found_at_its_whole_length() -> None:
    below = {"top": frozenset({"a"}), "a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"a", "end"})}
    imports = {**below, "end": frozenset()}
    assert rings(imports) == [["a", "b", "c"]]
    assert longest_chain(imports) == ["top", "a", "end"]
