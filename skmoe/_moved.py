"""Modules that have moved. Until 0.5 their names lead to the new ones, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

# Each has a file, whose names are those of the new module.
MOVED = {
    "skmoe.blocks": "skmoe.data",
    "skmoe.censoring": "skmoe.data",
    "skmoe.onnx": "skmoe.export",
    "skmoe.pipelines": "skmoe.recipes",
    "skmoe.reports": "skmoe.inspection",
    "skmoe.skops": "skmoe.export",
}


def earlier_names(module: str, values: dict[str, tuple[str, Any]]) -> Callable[[str], Any]:
    """The function `__getattr__` of a module with earlier names: new texts and values."""
    return _with_warning(module, values.get)


def names_of_new(module: str) -> Callable[[str], Any]:
    """The function `__getattr__` of a module that has moved."""

    def find(name: str) -> tuple[str, Any] | None:
        new = import_module(MOVED[module])
        return (f"{new.__name__}.{name}", getattr(new, name)) if name in new.__all__ else None

    return _with_warning(module, find)


def _with_warning(
    module: str, find: Callable[[str], tuple[str, Any] | None]
) -> Callable[[str], Any]:
    def earlier(name: str) -> Any:
        found = find(name)
        if found is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is now {found[0]}; the old name will go in 0.5.",
            FutureWarning,
            stacklevel=2,
        )
        return found[1]

    return earlier
