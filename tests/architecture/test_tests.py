"""The tests themselves: what they import, patch and share."""

import ast
import re
from collections import defaultdict

from support.sources import (
    PACKAGE,
    TESTS,
    SyntaxTrees,
    functions,
    imports,
    is_private,
    nodes_of,
    parameters,
)

# Private names outside `_numerics` that tests of the mathematics may import; and, of these, those
# outside `_mixture`, which only a few files import.
MAX_PRIVATE_NAMES, MAX_ELSEWHERE = 56, 22
IMPORT_ELSEWHERE = {
    "distributions/test_components.py",
    "experts/test_refits.py",
    "mixture/test_multistart.py",
    "model_selection/test_n_experts_selection.py",
    "support/families.py",
    "support/mixtures.py",
    "support/report_panels.py",
    "users/test_dask.py",
}

TREES = SyntaxTrees(TESTS, ("benchmarks/",))
PATH = re.compile(r"skmoe(\.\w+)*\._[a-z]\w*(\.\w+)*")


def private_names(name):
    """Private names of skmoe that a module imports, outside `_numerics`."""
    for origin, imported in imports(TREES[name]):
        parts = [*origin.split("."), *([imported] if imported else [])]
        if parts[0] == "skmoe" and "_numerics" not in parts and any(map(is_private, parts)):
            yield ".".join(parts)


def test_few_private_names_are_imported():
    found = defaultdict(set)
    for name in TREES:
        for private in private_names(name):
            found[private].add(name)
    assert len(found) <= MAX_PRIVATE_NAMES, f"{len(found)} private names: {sorted(found)}"
    elsewhere = {private: found[private] for private in found if "_mixture" not in private}
    assert len(elsewhere) <= MAX_ELSEWHERE, f"{len(elsewhere)} private names: {sorted(elsewhere)}"
    assert set().union(*elsewhere.values()) <= IMPORT_ELSEWHERE


def test_no_private_attribute_of_the_package_is_read():
    """Estimators, displays and results are met through their public attributes."""
    own = {"_repr_html_", "_repr_mimebundle_", "_replace", "_fields", "_asdict"}
    own |= {"_children_map"}  # of contexts of callbacks of scikit-learn
    for name, tree in TREES.items():
        nodes = nodes_of(tree)
        defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        for node in nodes:
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                allowed = of_self or node.attr in own | defined
                assert allowed, f"{name}, line {node.lineno}: {node.attr}"


def test_nothing_of_the_package_is_patched():
    """A path in a text, or a module of skmoe as the target, ties a test to a place."""
    for name, tree in TREES.items():
        nodes = nodes_of(tree)
        modules = {item for origin, item in imports(TREES[name]) if origin.startswith("skmoe")}
        for node in nodes:
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in ("setattr", "patch", "object") and node.args:
                target = ast.unparse(node.args[0])
                patched = target.split(".")[0] in modules | {"skmoe"} or PATH.search(target)
                assert not patched, f"{name}, line {node.lineno}: {ast.unparse(node)}"


def test_no_test_draws_from_a_generator_that_others_draw_from():
    """What a test sees would depend on the tests before it."""
    for name, tree in TREES.items():
        shared = set()
        for node in tree.body:
            if not isinstance(node, ast.Assign):
                continue
            made = re.fullmatch(r"np\.random\.default_rng\((\d*)\)", ast.unparse(node.value))
            if made:
                assert made[1], f"{name}, line {node.lineno}: a generator without a seed"
                shared |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        for function in functions(tree) if shared else ():
            own = {argument.arg for argument in parameters(function)}
            names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
            own |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
            for node in names:
                assert node.id not in shared - own, f"{name}, line {node.lineno}: {node.id}"


def test_generators_are_made_so_that_data_can_be_perturbed():
    """`--perturb-data` replaces `numpy.random.default_rng`, which a name of its own would miss."""
    for name in TREES:
        imported = {f"{origin}.{item}" for origin, item in imports(TREES[name])}
        assert "numpy.random.default_rng" not in imported, name


def test_texts_are_read_and_written_as_utf_8():
    """The default is another on some systems."""
    for folder in (PACKAGE, TESTS, TESTS.parent / "docs", TESTS.parent / "examples"):
        trees = SyntaxTrees(folder, ("_build/", "api/", "gallery/"))
        for name in trees:
            if "_text(" not in (folder / name).read_text("utf-8"):
                continue
            for node in nodes_of(trees[name]):
                called = isinstance(node, ast.Call) and getattr(node.func, "attr", None)
                if called in ("read_text", "write_text"):
                    assert "'utf-8'" in ast.unparse(node), f"{name}, line {node.lineno}"
