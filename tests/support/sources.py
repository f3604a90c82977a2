"""Syntax trees of the package and of the tests."""

import ast
from pathlib import Path

import skmoe

PACKAGE = Path(skmoe.__file__).parent
TESTS = Path(__file__).parents[1]


def trees_of(folder):
    """The syntax tree of each Python file of a folder, by its path in it."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.py"))}
    return {name: ast.parse(path.read_text("utf-8")) for name, path in paths.items()}


def imports(tree):
    """Dotted origins and names of all imports of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def parameters(function):
    """Arguments of a function, without `self`."""
    args = function.args
    return [arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs] if arg.arg != "self"]


def is_private(name):
    return name.startswith("_") and not name.startswith("__")
