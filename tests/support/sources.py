"""Syntax trees of the package and of the tests."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import skmoe

PACKAGE = Path(skmoe.__file__).parent
TESTS = Path(__file__).parents[1]
# Files of five lines for modules that have moved, which go in the next release.
MOVED = tuple(
    path.name for path in PACKAGE.glob("*.py") if path.read_text("utf-8").startswith('"""Moved to')
)


class SyntaxTrees(Mapping):
    """Syntax trees of the Python files of a folder, by path, which are parsed where they are read.

    Paths that start with one of `left_out` are no files of it.
    """

    def __init__(self, folder, left_out=()):
        self.folder = folder
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))]
        self.names = [name for name in names if not name.startswith(left_out)]

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return len(self.names)

    def __contains__(self, name):
        return name in self.names

    def __getitem__(self, name):
        return parsed(self.folder / name)


@cache
def parsed(path):
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes_of(tree):
    """All nodes below one, and itself."""
    return list(ast.walk(tree))


@cache
def imports(tree):
    """Dotted origins and names of all imports of a module."""
    found = []
    for node in nodes_of(tree):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
    return found


def functions(tree):
    return [node for node in nodes_of(tree) if isinstance(node, ast.FunctionDef)]


def parameters(function):
    """Arguments of a function, without `self`."""
    args = function.args
    return [arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs] if arg.arg != "self"]


def n_lines_of_code(path):
    """Lines of a file that are no docstring, no comment and not blank."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    docstrings = set()
    for node in nodes_of(parsed(path)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            docstrings.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
    return sum(
        line.strip() != "" and not line.lstrip().startswith("#") and i not in docstrings
        for i, line in lines
    )


def is_private(name):
    return name.startswith("_") and not name.startswith("__")
