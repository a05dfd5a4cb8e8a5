"""The numbers of the house: rooms, lengths, arguments, arrows. `python -m tools.house`

A room is a file. Lines count everything but what is blank. The edge is `ros/` without the rooms
that only a command of its own enters (bags, demo, doctor, view): those are counted as commands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "da3_ros"
LONGEST_FUNCTION = 40
MOST_ARGUMENTS = 7
OF_COMMANDS = ("bags", "demo", "doctor", "view")
"""Folders in ros/ that are not the node."""


@dataclass(frozen=True)
class Function:
    """lines: of the whole definition. arguments: without self and cls."""

    file: Path
    name: str
    lines: int
    arguments: int

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}: {self.name}"


def functions(file: Path) -> Iterator[Function]:
    """All functions and methods of a file, nested ones too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            a = node.args
            names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            yield Function(file, node.name, node.end_lineno - node.lineno + 1, count)


def module(file: Path) -> str:
    """`da3_ros.core.frame` of its file; a package's own name of its `__init__`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(files: list[Path]) -> dict[str, set[str]]:
    """What each file of the package imports of it when it is loaded (not inside functions)."""
    names = {module(file) for file in files}
    found = {}
    for file in files:
        body = ast.parse(file.read_text()).body
        targets = set()
        for node in body:
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & names
                targets |= inner or {node.module} & names
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names} & names
        found[module(file)] = targets - {module(file)}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Every set of modules that reach each other (Tarjan 1972), sorted."""
    index, low, stack, found = {}, {}, [], []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[-len(group) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found)


def code_lines(files: list[Path]) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for file in files for line in file.read_text().splitlines())


def files_of(*parts: str) -> list[Path]:
    """Python files below a folder of the repository."""
    return sorted(ROOT.joinpath(*parts).rglob("*.py"))


def edge_files() -> list[Path]:
    """The node's own rooms in ros/."""
    ros = PACKAGE / "ros"
    return [f for f in files_of("da3_ros", "ros") if f.relative_to(ros).parts[0] not in OF_COMMANDS]


def table() -> Iterator[str]:
    """One row for each folder."""
    titles = "folder", "files", "lines", "longest", "functions", "median / p90 / longest"
    yield f"| {' | '.join(titles)} | most arguments |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    folders = sorted({f.parent for f in files_of("da3_ros")}) + [ROOT / "tools", ROOT / "tests"]
    for folder in folders:
        is_ours = folder.is_relative_to(PACKAGE)
        files = sorted(folder.glob("*.py") if is_ours else folder.rglob("*.py"))
        known = [f for file in files for f in functions(file)]
        lengths = sorted(f.lines for f in known) or [0]
        p90 = quantiles(lengths, n=10)[-1] if len(lengths) > 1 else lengths[0]
        longest = max(len(file.read_text().splitlines()) for file in files)
        yield (
            f"| {folder.relative_to(ROOT)} | {len(files)} | {code_lines(files)} | {longest} "
            f"| {len(known)} | {median(lengths):.0f} / {p90:.0f} / {lengths[-1]} "
            f"| {max((f.arguments for f in known), default=0)} |"
        )


def main() -> None:
    """Print it all."""
    print("\n".join(table()))
    known = [f for file in files_of("da3_ros") for f in functions(file)]
    for f in known:
        if f.lines > LONGEST_FUNCTION:
            print(f"{f}: {f.lines} lines")
        if f.arguments > MOST_ARGUMENTS:
            print(f"{f}: {f.arguments} arguments")
    edge, core = code_lines(edge_files()), code_lines(files_of("da3_ros", "core"))
    whole = code_lines(files_of("da3_ros", "ros"))
    print(f"edge {edge} lines (with the rooms of commands {whole}), core {core}")
    print(f"edge / core {edge / core:.2f} (with them {whole / core:.2f})")
    print(f"circles: {circles(arrows(files_of('da3_ros'))) or 'none'}")


if __name__ == "__main__":
    main()
