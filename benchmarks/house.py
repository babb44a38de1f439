"""How large the rooms of the code are and how they hang together: lines, import rings, the longest chain of imports.

Imports are those of modules of `rosa_ray` and `workloads` among each other, at the top of a file as inside functions,
without those for type checkers only. A ring is a set of modules each of which imports all others, directly or not. A
chain is a way down the imports, each module counted once; a ring on the way counts as one.

    python benchmarks/house.py              # of this checkout
    python benchmarks/house.py ../other     # of another one
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

PACKAGES = ("rosa_ray", "workloads")
BESIDE = ("tests", "benchmarks", "examples")
RESULTS = "benchmarks/results"
Imports = dict[str, frozenset[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", default=Path(), help="a checkout")
    root = parser.parse_args().root.resolve()
    sys.path.insert(0, str(root))
    imports = read_imports()
    chain = longest_chain(imports)
    console = Console(highlight=False, soft_wrap=True)
    console.print(room_table(root))
    for found in rings(imports):
        console.print(f"import ring of {len(found)} modules: {', '.join(found)}")
    console.print(f"import rings: {len(rings(imports))}")
    console.print(f"longest chain of imports, {len(chain)} modules: {' → '.join(chain)}")
    console.print(f"committed JSON lines under {RESULTS}: {json_lines(root)}")


def read_imports(packages: Iterable[str] = PACKAGES) -> Imports:
    """Which modules each module of the packages imports. The packages are found on the path, and not run."""
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    return {name: frozenset(graph.find_modules_directly_imported_by(name)) for name in sorted(graph.modules)}


def rings(imports: Imports) -> list[list[str]]:
    """Sets of modules that import each other in a circle, largest first.

    >>> rings({"a": frozenset("b"), "b": frozenset("ac"), "c": frozenset()})
    [['a', 'b']]
    """
    return sorted((names for names in _components(imports) if len(names) > 1), key=len, reverse=True)


def longest_chain(imports: Imports) -> list[str]:
    """The longest way down the imports, from the top; a ring on the way is named by its first module.

    >>> longest_chain({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset("d"), "d": frozenset("c")})
    ['a', 'b', 'c']
    """
    heads = {name: names[0] for names in _components(imports) for name in names}
    below: dict[str, set[str]] = {head: set() for head in heads.values()}
    for name, imported in imports.items():
        below[heads[name]] |= {heads[other] for other in imported} - {heads[name]}
    chains: dict[str, list[str]] = {}

    def chain(head: str) -> list[str]:
        if head not in chains:
            chains[head] = [head, *max(map(chain, sorted(below[head])), key=len, default=[])]
        return chains[head]

    return max(map(chain, sorted(below)), key=len, default=[])


def _components(imports: Imports) -> list[list[str]]:
    names = sorted(imports)
    at = {name: index for index, name in enumerate(names)}
    pairs = [(at[name], at[other]) for name in names for other in imports[name]]
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    graph = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
    count, component = connected_components(graph, connection="strong")
    return [[names[index] for index in np.flatnonzero(component == number)] for number in range(count)]


def rooms(root: Path) -> dict[str, list[Path]]:
    """Python files of every package of `rosa_ray`, of its single modules, of `workloads` and what is beside."""
    library = root / PACKAGES[0]
    found = {f"{library.name}/{folder.name}": _files(folder) for folder in sorted(library.iterdir()) if folder.is_dir()}
    found[f"{library.name}/*.py"] = sorted(library.glob("*.py"))
    found |= {name: _files(root / name) for name in (*PACKAGES[1:], *BESIDE)}
    return {name: files for name, files in found.items() if files}


def room_table(root: Path) -> Table:
    """Files and lines per package."""
    table = Table("package", "files", "lines")
    product = [path for name, files in rooms(root).items() if name not in BESIDE for path in files]
    for name, files in rooms(root).items():
        table.add_row(name, str(len(files)), f"{_lines(files):,}", end_section=name == PACKAGES[-1])
    table.add_section()
    table.add_row(" and ".join(PACKAGES), str(len(product)), f"{_lines(product):,}")
    return table


def json_lines(root: Path) -> str:
    """Lines of all committed results, and in how many files."""
    files = sorted((root / RESULTS).glob("*.json"))
    return f"{_lines(files):,} in {len(files)} files"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _lines(files: Iterable[Path]) -> int:
    return sum(len(path.read_text().splitlines()) for path in files)


if __name__ == "__main__":
    main()
