"""The laws of the house, held by walking the source."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest

import skmoe

PACKAGE = Path(skmoe.__file__).parent

# Each module may import modules of lower floors only.
FLOORS = [
    {"_numerics", "_extras"},
    {"protocols", "_normal_mixtures", "_softmax", "_lazy"},
    {"distributions", "_rows", "_encoding", "_folds", "_fitting", "blocks"},
    {"_describe", "_augment"},
    {"_html"},
    {"experts", "gates", "_estimator_experts", "_starts", "_noise", "_em", "_callbacks"},
    {"_validation", "_mixture", "_information", "_progress", "metrics", "_bootstrap", "_average"},
    {"_search", "_expert_validation", "_coefficients"} | {"_online", "_stream_validation"},
    {"reports"},
    {
        "_tables",
        "_inference",
        "_routing",
        "_choice",
        "_extension",
        "_source",
        "checkpoints",
        "_intake",
    },
    {"_door", "_summary", "_saving"},
    {"_reporting", "_predictive", "_streaming"},
    {"_base"},
    {"_regressor", "_classifier"},
    {"__init__", "onnx"},
    {"inspection._canvas", "inspection._grid"},
    {"inspection._checks"},
    {
        "inspection._calibration",
        "inspection._convergence",
        "inspection._numbers",
        "inspection._experts",
    }
    | {"inspection._gate", "inspection._responsibilities", "inspection._text"},
    {"inspection._mermaid"},
    {"inspection"},
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
# Modules that compute and therefore may not refuse anything.
SILENT = [
    "_numerics",
    "_softmax",
    "_rows",
    "experts",
    "gates",
    "_starts",
    "_noise",
    "_em",
    "_mixture",
]
SILENT += ["_mixture", "_encoding", "_folds", "_fitting", "_normal_mixtures"]
SILENT += ["_describe", "_html", "inspection._grid"]


def module_name(path):
    """Dotted name inside the package; that of a subpackage for its __init__."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in PACKAGE.rglob("*.py")}
TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in PATHS.items()}
PICTURES = sorted(module for module in TREES if module.startswith("inspection"))


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
            inner = module.removeprefix("skmoe.")
            yield f"{inner}.{name}" if f"{inner}.{name}" in TREES else inner


def test_the_top_level_stays_as_it_is():
    """New files belong into a folder; some are looked for at the top only."""
    root = Path(__file__).parents[1]
    allowed = {"README.md", "LICENSE", "CITATION.cff", "MANIFEST.in", "setup.cfg"}
    allowed |= {"pyproject.toml", "skmoe", "tests", "examples", "docs"}
    made = {"build", "dist", "skmoe.egg-info", "PKG-INFO", "__pycache__"}  # by tools
    found = {path.name for path in root.iterdir() if not path.name.startswith(".")}
    assert found <= allowed | made


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
    allowed |= {"dataclasses", "functools", "itertools", "importlib", "types", "inspect"}
    allowed |= {
        "math",
        "numbers",
        "copy",
        "hashlib",
        "json",
        "os",
        "pathlib",
        "typing",
        "warnings",
        "html",
        "re",
    }
    for module, tree in TREES.items():
        found = {origin.split(".")[0] for origin, _ in imports(tree)}
        extra = {"matplotlib"} if module in PICTURES else set()
        assert found <= allowed | extra, f"{module}: {found - allowed}"


@pytest.mark.parametrize("module", PICTURES)
def test_matplotlib_is_imported_where_it_is_used(module):
    for node in TREES[module].body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not [origin for origin, _ in imports(node) if origin.startswith("matplotlib")]


@pytest.mark.parametrize("module", PICTURES)
def test_pictures_read_public_attributes_only(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            public = node.attr.startswith("__") or node.attr == "_replace"  # of named tuples
            assert own or public, ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            name = node.args[1]
            assert isinstance(name, ast.Constant), ast.unparse(node)
            assert not name.value.startswith("_"), ast.unparse(node)


def test_modules_and_functions_stay_short():
    for module, tree in TREES.items():
        lines = PATHS[module].read_text("utf-8").count("\n")
        assert lines <= 450, f"{module} has {lines} lines"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert length <= 60, f"{module}.{node.name} has {length} lines"

    for lower, upper in pairwise(FLOORS):
        assert not lower & upper
