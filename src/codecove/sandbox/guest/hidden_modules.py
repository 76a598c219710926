"""Modules that are loaded without being seen: `sys.modules` is that of a new interpreter, and an import finds them.

For `warm.py`, inside the container. Standard library only.
"""

import sys

STARTED_WITH = {name: module for name, module in sys.modules.items() if name != __name__}

import builtins  # noqa: E402
import contextlib  # noqa: E402
import functools  # noqa: E402
import importlib.machinery  # noqa: E402
import os  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import Any  # noqa: E402


class Loaded:
    """Finds modules that are loaded and not in `sys.modules`, as long as an import would find the same ones."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleType] = {}
        self.uses: dict[str, set[str]] = {}
        """Of each module what it imports: with it that is in `sys.modules` too."""
        self.nameless: list[str] = []
        """Those that no import finds, which extension modules make for each other."""
        self.path: list[str] = []

    def load(self, names: tuple[str, ...]) -> None:
        """Import libraries, as far as there are any, and note who imports what."""
        original = builtins.__import__

        def noting(
            name: str,
            globals: Any = None,  # noqa: A002 -- its names
            locals: Any = None,  # noqa: A002
            fromlist: Any = (),
            level: int = 0,
        ) -> ModuleType:
            module = original(name, globals, locals, fromlist, level)
            package = (globals or {}).get("__package__") or ""
            if level:
                base = package.rsplit(".", level - 1)[0] if level > 1 else package
                name = f"{base}.{name}" if name else base
            used = self.uses.setdefault((globals or {}).get("__name__", ""), set())
            used.add(name)
            used.update(f"{name}.{item}" for item in fromlist or ())
            return module

        builtins.__import__ = noting
        access = os.access
        os.access = functools.partial(access, effective_ids=True)  # the real ids are nobody's
        try:
            for name in names:
                with contextlib.suppress(ImportError):
                    __import__(name)
        finally:
            builtins.__import__ = original
            os.access = access

    def hide(self) -> None:
        """Leave in `sys.modules` what a new interpreter has there."""
        for name in [name for name in sys.modules if name not in STARTED_WITH]:
            self.modules[name] = sys.modules.pop(name)
        self.nameless = [name for name, module in self.modules.items() if getattr(module, "__spec__", None) is None]

    def is_theirs(self, name: str, module: ModuleType) -> bool:
        """Whether a program has brought this module with it."""
        return self.modules.get(name) is not module and STARTED_WITH.get(name) is not module

    def shadowed_in(self, directory: str) -> bool:
        """Whether a program there could import something else under the name of one of these."""
        tops = {name.partition(".")[0] for name in self.modules}
        suffixes = tuple(importlib.machinery.all_suffixes())
        for entry in os.listdir(directory):  # noqa: PTH208 -- pathlib is not loaded
            name, dot, _ = entry.partition(".")
            if name in tops and (not dot or entry.endswith(suffixes)):
                return True
        return False

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Of `sys.meta_path`."""
        module = self.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if module is None or spec is None:
            return None
        parent = name.rpartition(".")[0]
        if parent and sys.modules.get(parent) is not self.modules.get(parent, STARTED_WITH.get(parent)):
            return None
        if not parent and sys.path != self.path and spec.origin not in ("built-in", "frozen"):
            found = importlib.machinery.PathFinder.find_spec(name, path)
            if found is None or found.origin != spec.origin:
                return None
        return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Of a loader."""
        module = self.modules[spec.name]
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Of a loader: it has run already."""
        assert module.__spec__ is not None  # noqa: S101
        name = module.__spec__.name
        module.__spec__ = module.__spec__.loader_state
        seen, pending = {name}, [name]
        while pending:
            for used in self.uses.get(pending.pop(), ()):
                parts = used.split(".")
                for count in range(1, len(parts) + 1):
                    one = ".".join(parts[:count])
                    if one not in seen and one in self.modules:
                        seen.add(one)
                        pending.append(one)
        for one in (*seen, *self.nameless):
            sys.modules.setdefault(one, self.modules[one])
