"""The code keeps to the design: imports go one way, files and functions stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "codecove"
FILES = sorted(SOURCE.rglob("*.py"))
PARTS = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES}

# Which parts a part may import, beside itself and what everyone may.
EVERYONE = {"settings", "store", "errors", "clock", "ids", "workspaces", "logs", "observe", "together"}
ARROWS = {
    "api": {"messages", "files", "containers", "models", "direct", "usage", "batches"},
    "batches": {"messages"},
    "direct": {"messages", "tools", "sandbox", "containers", "files"},
    "messages": {"tools", "containers", "files"},
    "tools": {"sandbox"},
    "containers": {"sandbox", "usage"},
    "usage": set[str](),
    "files": set[str](),
    "images": {"sandbox"},
    "store": set[str](),
    "demo": {"interrupts", "privileges"},
    "models": set[str](),
}
# These use whatever they need: they put the parts together.
WIRING = {"app", "gauges", "cli", "doctor"}
# These are used by others and use next to nothing themselves.
FOUNDATION = {
    "sandbox": {"privileges"},
    "clock": set[str](),
    "ids": set[str](),
    "interrupts": set[str](),
    "errors": set[str](),
    "privileges": set[str](),
    "settings": {"privileges"},
    "workspaces": {"ids"},
    "logs": {"settings"},
    "observe": {"clock"},
    "together": set[str](),
    "__init__": set[str](),
}


def module_name(path: Path) -> str:
    parts = ("codecove", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_parts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every part of codecove that a module imports, at whatever depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            part = rest.partition(".")[0]
            if package == "codecove" and part in PARTS:
                yield node.lineno, part


def test_imports_go_along_the_arrows_of_the_design() -> None:
    for path in FILES:
        part = part_of(path)
        if part in WIRING:
            continue
        allowed = {part} | (FOUNDATION[part] if part in FOUNDATION else ARROWS[part] | EVERYONE)
        found = [
            f"{path}, line {line}: {name}"
            for line, name in imported_parts(ast.parse(path.read_text()))
            if name not in allowed
        ]
        assert found == [], f"{part} may import only {sorted(allowed)}"


def test_there_are_no_import_cycles_between_modules() -> None:
    graph = {name: set(_imported_modules(path)) & MODULES.keys() - {name} for name, path in MODULES.items()}
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    assert graph == {}


def _imported_modules(path: Path) -> Iterator[str]:
    """Modules imported at import time: what stands in a function is not."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in inner)


def test_files_and_functions_stay_within_their_budget() -> None:
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        tree = ast.parse(text)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        long = [f"{node.name}: {_length(node)}" for node in functions if _length(node) > 60]
        assert long == [], path
        assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)] == [], path


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_median_file_is_short() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[len(lengths) // 2] <= 150


def test_the_sandbox_and_its_guest_know_nothing_else() -> None:
    """The guest runs in containers, whose Python has the standard library only."""
    for path in (SOURCE / "sandbox" / "guest").rglob("*.py"):
        for _, name in imported_parts(ast.parse(path.read_text())):
            assert name == "sandbox", f"{path} imports codecove.{name}"
