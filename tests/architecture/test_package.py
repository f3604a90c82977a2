"""The structure of the package: layers, values instead of handles, names and sizes."""

import ast
import sys
from functools import cache

import skmoe.exceptions
from skmoe.experts import EXPERTS
from skmoe.gates import GATES
from support import sources
from support.sources import MOVED, PACKAGE, SyntaxTrees, imports, is_private, parameters

# Packages and modules of the top level, from the lowest layer: imports go to lower layers, and
# between the files of one package.
LAYERS = [
    {"_moved", "_optional", "exceptions", "_numerics"},
    {"distributions"},
    {"protocols"},
    {"_data"},
    {"families"},
    {"_mixture"},
    {"gates", "experts"},
    {"_inference"},
    {"_estimators", "data"},
    {"metrics", "stacking"},
    {"inspection", "model_selection", "export", "recipes", "datasets", "__init__"},
]
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names}

# Packages that compute: they neither raise nor warn, and their objects keep no state.
MATHEMATICS = ("_numerics", "gates", "families", "experts", "_mixture")
WITHOUT_STATE = ("experts", "gates", "_mixture")

# Words that are no terms of the field. What a computation returns has a name.
BANNED = {"look", "looks", "said", "told", "tell", "tells", "says", "climb", "door", "place"}
BANNED |= {"places", "begin", "anew", "lean", "leans", "leanings"}
# Names of hooks that scikit-learn calls.
HOOKS = {"on_fit_task_begin", "call_on_fit_task_begin"}

# Named tuples have these methods.
OF_NAMED_TUPLES = {"_replace", "_fields", "_asdict"}

MAX_LINES, MAX_LINES_OF_FUNCTION, MAX_PARAMETERS = 900, 80, 6
# Public functions whose parameters are choices or data of the user.
MANY_PARAMETERS = {"fit", "partial_fit", "inference", "summary"}
MANY_PARAMETERS |= {"n_experts_table", "n_experts_test", "trajectories"}
MANY_PARAMETERS |= {"likelihood_ratio_test", "cross_val_predict_interval"}
MANY_PARAMETERS |= {"treatment_effects"}
MANY_PARAMETERS |= {"aic", "bic", "icl", "responsibilities", "score", "score_samples"}
MANY_PARAMETERS |= {"predict", "predict_dist", "predict_interval", "predict_quantile", "sample"}
MANY_PARAMETERS |= {"distal_outcome"}
MANY_PARAMETERS |= {f"from_{source}" for source in ("arrays", "parquet")}

TREES = SyntaxTrees(PACKAGE, MOVED)


def nodes_of(name):
    """All nodes of a file."""
    return sources.nodes_of(TREES[name])


def imports_of(name):
    return imports(TREES[name])


def functions_of(name):
    return sources.functions(TREES[name])


def calls_of(name, *called):
    """Calls of functions with one of these names."""
    for node in nodes_of(name):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in called:
            yield node


def identifiers_of(name):
    """Identifiers of a file."""
    for node in nodes_of(name):
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            identifier = getattr(node, field, None)
            if isinstance(identifier, str):
                yield from identifier.split(".")


def package_of(name):
    """The package or module of the top level that a file belongs to."""
    return name.split("/")[0].removesuffix(".py")


def files_in(*packages):
    return [name for name in TREES if package_of(name) in packages]


@cache
def imported_files(name):
    """Files of the package that a file imports."""
    files = []
    for origin, imported in imports_of(name):
        first, *parts = origin.split(".")
        if first != "skmoe":
            continue
        base = "/".join(parts)
        candidates = [f"{base}/{imported}.py", f"{base}.py", f"{base}/__init__.py", "__init__.py"]
        found = [path.strip("/") for path in candidates if path.strip("/") in TREES]
        assert found, f"{name} imports {origin}.{imported}, which is no file"
        files.append(found[0])
    return files


# --- layers -----------------------------------------------------------------------------------


def test_every_package_has_a_layer():
    assert {package_of(name) for name in TREES} == set(LAYER)


def test_imports_go_to_lower_layers():
    upward = [
        f"{name} imports {other}"
        for name in TREES
        for other in imported_files(name)
        if package_of(other) != package_of(name)
        and LAYER[package_of(other)] >= LAYER[package_of(name)]
    ]
    assert not upward


def test_imports_within_a_package_have_no_circle():
    assert_no_circle({name: set(imported_files(name)) - {name} for name in TREES})


def assert_no_circle(below):
    """Nothing needs what needs it, given what each name needs."""
    while below:
        free = {name for name, needs in below.items() if not needs & set(below)}
        assert free, f"a circle among {sorted(below)}"
        below = {name: needs for name, needs in below.items() if name not in free}


def test_packages_within_a_package_have_no_circle():
    """Modules beside the packages count as packages of their own."""

    def place(name):
        return "/".join(name.split("/")[:2]).removesuffix(".py")

    below = {place(name): set() for name in TREES}
    for name in TREES:
        inside = [other for other in imported_files(name) if package_of(other) == package_of(name)]
        below[place(name)] |= {place(other) for other in inside} - {place(name)}
    assert_no_circle(below)


def test_only_run_time_dependencies_are_imported():
    """Optional packages are imported by the function that names their extra."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "scipy", "sklearn", "joblib", "skmoe"}
    allowed |= {"threadpoolctl"}  # comes with scikit-learn
    for name, tree in TREES.items():
        drawing = {"matplotlib"} if package_of(name) == "inspection" else set()
        found = {origin.split(".")[0] for origin, _ in imports_of(name)}
        assert found <= allowed | drawing, f"{name}: {found - allowed}"
        at_import = [
            origin
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for origin, _ in imports(node)
        ]
        assert not [origin for origin in at_import if origin.startswith("matplotlib")], name


def test_no_private_name_of_another_library_is_imported():
    for name in TREES:
        for origin, imported in imports_of(name):
            if origin.split(".")[0] not in ("skmoe", "__future__"):
                parts = [*origin.split("."), *([imported] if imported else [])]
                assert not [part for part in parts if part.startswith("_")], f"{name}: {parts}"


# --- values instead of handles ----------------------------------------------------------------


def test_no_private_attribute_of_an_argument_is_read():
    upper = LAYERS[-1] | {"_estimators", "stacking"}
    for name in TREES:
        if package_of(name) in upper:
            continue
        for function in functions_of(name):
            given = {arg.arg for arg in parameters(function)} - {"cls"}
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    private = is_private(node.attr) and node.attr not in OF_NAMED_TUPLES
                    assert not private or node.value.id not in given, f"{name}: {ast.unparse(node)}"


def test_displays_read_public_attributes_only():
    for name in files_in("inspection"):
        for node in nodes_of(name):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                assert own or node.attr in OF_NAMED_TUPLES, f"{name}: {ast.unparse(node)}"
        for node in calls_of(name, "getattr", "hasattr"):
            asked = node.args[1]
            assert isinstance(asked, ast.Constant), f"{name}: {ast.unparse(node)}"
            assert not asked.value.startswith("_"), f"{name}: {ast.unparse(node)}"


def test_mathematics_neither_raises_nor_warns():
    """Arguments are checked at the door; an error of an estimator of the user may get a note."""
    for name in files_in(*MATHEMATICS):
        handlers = [node for node in nodes_of(name) if isinstance(node, ast.ExceptHandler)]
        again = {inner for handler in handlers for inner in ast.walk(handler)}
        for node in nodes_of(name):
            raises = isinstance(node, ast.Raise) and node not in again
            assert not raises, f"{name}, line {node.lineno}"
            assert not (isinstance(node, ast.Attribute) and node.attr == "warn"), name


def test_every_warning_has_a_class_and_the_line_of_the_user():
    """It can be filtered by its class, and shows no line of the package."""
    own = set(skmoe.exceptions.__all__) | {"ConvergenceWarning", "UndefinedMetricWarning"}
    n_calls = 0
    for name in TREES:
        for node in nodes_of(name):
            called = getattr(node, "func", None)
            if getattr(called, "attr", None) == "warn":  # `warn_user` finds the line
                text = ast.unparse(node)
                allowed = "FutureWarning" in text or "(message, category, stacklevel=" in text
                assert allowed, f"{name}: {text}"
            elif getattr(called, "id", None) == "warn_user":
                n_calls += 1
                category = node.args[1] if len(node.args) > 1 else None
                again = getattr(category, "attr", None) == "category"  # of a warning caught before
                assert again or getattr(category, "id", None) in own, f"{name}, line {node.lineno}"
    assert n_calls > 10


def test_experts_gates_and_em_keep_no_state():
    """Attributes are assigned where an object is made, by its constructor or what that calls."""
    for name in files_in(*WITHOUT_STATE):
        made = {
            node
            for function in functions_of(name)
            if function.name == "__init__" or function.name.strip("_").startswith("set_")
            for node in ast.walk(function)
        }
        for node in nodes_of(name):
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            parts = [part for target in targets for part in getattr(target, "elts", [target])]
            assigned = [part for part in parts if isinstance(part, ast.Attribute)]
            own = all(getattr(part.value, "id", None) == "self" for part in assigned)
            assert not assigned or (node in made and own), f"{name}: {ast.unparse(node)}"


def test_experts_and_gates_answer_for_themselves():
    """No other package compares their names, or asks for their attributes."""
    names = {*EXPERTS, *GATES}
    for name in TREES:
        if package_of(name) in ("experts", "gates", "families"):
            continue
        for node in calls_of(name, "hasattr", "getattr"):
            words = set(ast.unparse(node.args[0]).replace("(", ".").split("."))
            asked = {"gate", "experts", "params", "family"} & words
            assert not asked or package_of(name) == "protocols", f"{name}: {ast.unparse(node)}"
        for node in nodes_of(name):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                compared = {side.value for side in sides if isinstance(side, ast.Constant)}
                assert not compared & names, f"{name}: {ast.unparse(node)}"


def test_eigenvalues_are_those_of_numpy():
    """The default method of scipy fails on some Hessians, whose eigenvalues differ by 1e40."""
    for name in TREES:
        calls = [node for node in nodes_of(name) if isinstance(node, ast.Attribute)]
        found = {ast.unparse(call) for call in calls if call.attr in ("eigh", "eigvalsh")}
        assert found <= {"np.linalg.eigh", "np.linalg.eigvalsh"}, f"{name}: {found}"


# --- names and sizes --------------------------------------------------------------------------


def test_identifiers_are_words_of_the_field():
    for name in TREES:
        for identifier in set(identifiers_of(name)) - HOOKS:
            words = set(identifier.lower().strip("_").split("_"))
            assert not words & BANNED, f"{name}: {identifier}"


def test_a_constant_has_one_value():
    values = {}
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                constant = node.targets[0].id
                if constant.isupper() and not constant.startswith("__"):
                    values.setdefault(constant, {})[name] = ast.unparse(node.value)
    assert not {name: places for name, places in values.items() if len(places) > 1}


def test_modules_and_functions_are_short():
    for name in TREES:
        lines = (PACKAGE / name).read_text("utf-8").count("\n")
        assert lines <= MAX_LINES, f"{name} has {lines} lines"
        for node in functions_of(name):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= MAX_LINES_OF_FUNCTION, f"{name}: {node.name} has {length} lines"


def test_functions_take_few_parameters():
    for name in TREES:
        if package_of(name) in ("inspection", "metrics"):
            continue
        for node in functions_of(name):
            if node.name != "__init__" and node.name not in MANY_PARAMETERS:
                count = len([arg for arg in parameters(node) if arg.arg != "cls"])
                assert count <= MAX_PARAMETERS, f"{name}: {node.name} takes {count}"
