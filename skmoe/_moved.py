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

    def earlier(name: str) -> Any:
        if name not in values:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new, value = values[name]
        warnings.warn(
            f"{module}.{name} is now {new}; the old name will go in 0.5.",
            FutureWarning,
            stacklevel=2,
        )
        return value

    return earlier


def names_of_new(module: str) -> Callable[[str], Any]:
    """The function `__getattr__` of a module that has moved."""

    def moved(name: str) -> Any:
        new = import_module(MOVED[module])
        if name not in new.__all__:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is now {new.__name__}.{name}; the old name will go in 0.5.",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(new, name)

    return moved
