"""The house as its imports draw it: modules, the rooms they lie in, what imports what, floors and circles.

``python -m tests.house [SOURCES]`` prints the counts; `tests/test_layers.py` holds them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

Arrows = Mapping[str, frozenset[str]]
"""For every module the modules of the same package that it imports."""


def imports_of(path: Path, modules: Collection[str] = ()) -> set[str]:
    """Every module that a file imports: at its top, inside functions or for annotations alone.

    Args:
        path: The file.
        modules: Modules that are known; ``from a import b`` imports ``a.b`` if that is one of them, else ``a``.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names |= {whole if whole in modules else node.module for whole in within.values()}
    return names


def modules_of(package: Path) -> dict[str, Path]:
    """Modules by dotted name; a folder's ``__init__`` has the folder's name."""
    files = sorted(package.rglob("*.py"))
    names = [".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files]
    return {name.removesuffix(".__init__"): file for name, file in zip(names, files, strict=True)}


def arrows_of(package: Path) -> Arrows:
    """Which module of a package imports which.

    The package's own ``__init__`` is left out: it names what is public, and nothing inside imports from it.
    """
    modules = modules_of(package)
    modules.pop(package.name)
    return {name: frozenset(imports_of(file, modules) & modules.keys() - {name}) for name, file in modules.items()}


def rooms_of(arrows: Arrows) -> Arrows:
    """Which room imports which: a room is a folder of the package, or a module directly under it."""
    rooms: dict[str, set[str]] = {}
    for name, others in arrows.items():
        room = _room(name)
        rooms.setdefault(room, set()).update(_room(other) for other in others)
    return {room: frozenset(others - {room}) for room, others in rooms.items()}


def floors_of(arrows: Arrows) -> int:
    """Number of floors: the longest way down, where everything stands above all that it imports (no circles)."""
    known: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in known:
            known[name] = 1 + max(map(floor, arrows[name]), default=0)
        return known[name]

    return max(map(floor, arrows))


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def circles_of(arrows: Arrows) -> list[set[str]]:
    """Sets of modules that reach each other, each with more than one module (Tarjan's components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    circles: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in arrows[name]:
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            circle = set(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            if len(circle) > 1:
                circles.append(circle)

    for name in arrows:
        if name not in order:
            visit(name)
    return circles


if __name__ == "__main__":
    package = Path(sys.argv[1] if len(sys.argv) > 1 else "src/crossfeed")
    modules = arrows_of(package)
    rooms = rooms_of(modules)
    circles = circles_of(modules)
    flat = len(list(package.glob("*.py")))
    print(f"{len(modules)} modules, {sum(map(len, modules.values()))} imports between them, {len(circles)} circles")
    print(f"{flat} modules directly under {package.name}/")
    print(f"{len(rooms)} rooms, {sum(map(len, rooms.values()))} arrows between them, {floors_of(rooms)} floors")
    for circle in circles:
        print("circle:", ", ".join(sorted(circle)))
