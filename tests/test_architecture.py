"""The laws of the house, held by walking the source."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest

import skmoe

PACKAGE = Path(skmoe.__file__).parent

# Each module may import modules of lower floors only.
FLOORS = [
    {"_numerics"},
    {"_rows", "protocols", "_encoding", "_folds", "_fitting"},
    {"experts", "gates", "_estimator_experts", "_starts", "_noise", "_em", "_callbacks"},
    {"_validation", "_mixture", "_inference", "_progress"},
    {"_search", "_expert_validation"},
    {"_tables"},
    {"_door"},
    {"_base"},
    {"_regressor", "_classifier"},
    {"__init__"},
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
# Modules that compute and therefore may not refuse anything.
SILENT = ["_numerics", "_rows", "experts", "gates", "_starts", "_noise", "_em", "_mixture"]
SILENT += ["_encoding", "_folds", "_fitting"]
TREES = {path.stem: ast.parse(path.read_text("utf-8")) for path in PACKAGE.glob("*.py")}


def imports(tree):
    """Dotted names that a module imports, with what it takes from each."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module, alias.name) for alias in node.names)


def own_imports(tree):
    for module, name in imports(tree):
        if module == "skmoe":
            yield name
        elif module.startswith("skmoe."):
            yield module.split(".")[1]


def test_every_module_has_a_floor():
    assert set(TREES) == set(FLOOR)


@pytest.mark.parametrize("module", sorted(TREES))
def test_imports_go_only_downward(module):
    for imported in own_imports(TREES[module]):
        assert FLOOR[imported] < FLOOR[module], f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(TREES))
def test_no_private_name_of_another_package_is_imported(module):
    for origin, name in imports(TREES[module]):
        if origin.split(".")[0] == "skmoe" or origin == "__future__":
            continue
        parts = origin.split(".") + ([name] if name else [])
        assert not [part for part in parts if part.startswith("_")], f"{module}: {parts}"


@pytest.mark.parametrize("module", SILENT)
def test_mathematics_validates_nothing(module):
    raised = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Raise)]
    warned = [
        node
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Attribute) and node.attr == "warn"
    ]
    assert not raised
    assert not warned


@pytest.mark.parametrize("module", ["_em", "experts", "gates"])
def test_parts_and_loop_keep_no_state(module):
    """No attribute is ever assigned: parameters are values."""
    for node in ast.walk(TREES[module]):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        for target in targets:
            assert not isinstance(target, ast.Attribute), ast.unparse(node)


def test_only_the_run_time_dependencies_are_imported():
    allowed = {"numpy", "scipy", "sklearn", "joblib", "skmoe"}
    allowed |= {"__future__", "abc", "collections", "concurrent", "contextlib"}
    allowed |= {"dataclasses", "functools", "itertools"}
    allowed |= {"inspect", "math", "numbers", "copy", "typing", "warnings"}
    for module, tree in TREES.items():
        found = {origin.split(".")[0] for origin, _ in imports(tree)}
        assert found <= allowed, f"{module}: {found - allowed}"


def test_modules_and_functions_stay_short():
    for module, tree in TREES.items():
        lines = (PACKAGE / f"{module}.py").read_text("utf-8").count("\n")
        assert lines <= 450, f"{module} has {lines} lines"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert length <= 60, f"{module}.{node.name} has {length} lines"

    for lower, upper in pairwise(FLOORS):
        assert not lower & upper
