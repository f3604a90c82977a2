"""The laws of the package's structure, checked by walking the source."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import skmoe
from skmoe.experts import EXPERTS
from skmoe.gates import GATES

PACKAGE = Path(skmoe.__file__).parent

# Packages and modules of the top level, floor by floor: imports go to lower floors, and between
# the files of one package.
FLOORS = [
    {"_optional", "_numerics"},
    {"distributions"},
    {"protocols"},
    {"_data"},
    {"gates", "families"},
    {"experts"},
    {"_mixture"},
    {"_inference"},
    {"_estimators", "metrics", "blocks", "reports"},
    {"inspection", "checkpoints", "model_selection", "onnx", "recipes", "__init__"},
]
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names}

# The old private language: riddles as identifiers. What a computation returns has a name.
BANNED = {"look", "looks", "said", "told", "tell", "tells", "says", "climb", "door", "place"}
BANNED |= {"places", "begin", "anew", "lean", "leans", "leanings"}
# Names of hooks that scikit-learn calls.
HOOKS = {"on_fit_task_begin", "call_on_fit_task_begin"}

# Rooms that compute, and therefore neither raise nor warn. Cross-fitted experts run other people's
# estimators and check what these return.
SILENT = ("_numerics", "gates", "families", "experts", "_mixture")
MAY_RAISE = {"experts/_cross_fitted.py"}

# Modules whose estimators are other people's.
FOREIGN_ESTIMATORS = {
    "_data/nested_estimators.py",
    "_data/sklearn_adapter.py",
    "_data/extra_features.py",
    "experts/_cross_fitted.py",
    "experts/_cross_fitted_families.py",
    "experts/_named_estimators.py",
    "experts/_variance_prior.py",
}
UPPER = ("_estimators", "inspection", "checkpoints.py", "onnx.py", "metrics.py", "__init__.py")
UPPER += ("model_selection.py", "recipes.py")


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


PATHS = {relative(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in PATHS.items()}


def room(name):
    """The package or module of the top level that a file belongs to."""
    return name.split("/")[0].removesuffix(".py")


def imports(tree):
    """Dotted origins and names of all imports of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def imported_files(name):
    """Files of the package that a file imports."""
    for origin, imported in imports(TREES[name]):
        parts = origin.split(".")
        if parts[0] != "skmoe":
            continue
        base = "/".join(parts[1:])
        for candidate in (f"{base}/{imported}", base, f"{base}/__init__"):
            if candidate.strip("/") + ".py" in PATHS:
                yield candidate.strip("/") + ".py"
                break
        else:
            raise AssertionError(f"{name} imports {origin}.{imported}, which is no file")


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def parameters(function):
    args = function.args
    return [arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs] if arg.arg != "self"]


# --- rooms ------------------------------------------------------------------------------------


def test_every_room_has_a_floor():
    assert {room(name) for name in PATHS} == set(FLOOR)


@pytest.mark.parametrize("name", PATHS)
def test_imports_go_down_between_rooms(name):
    for other in imported_files(name):
        if room(other) != room(name):
            assert FLOOR[room(other)] < FLOOR[room(name)], f"{name} imports {other}"


def test_imports_inside_a_room_have_no_circle():
    below = {name: set(imported_files(name)) - {name} for name in PATHS}
    while below:
        free = {name for name, needs in below.items() if not needs & set(below)}
        assert free, f"a circle among {sorted(below)}"
        below = {name: needs for name, needs in below.items() if name not in free}


def test_only_the_run_time_dependencies_are_imported():
    standard = {"__future__", "abc", "base64", "collections", "concurrent", "contextlib", "copy"}
    standard |= {
        "dataclasses",
        "datetime",
        "functools",
        "hashlib",
        "html",
        "importlib",
        "inspect",
        "io",
    }
    standard |= {"itertools", "json", "math", "numbers", "os", "pathlib", "platform", "re", "sys"}
    standard |= {"tempfile", "textwrap", "types", "typing", "uuid", "warnings", "zlib"}
    # scikit-learn brings joblib and threadpoolctl.
    allowed = standard | {"numpy", "scipy", "sklearn", "joblib", "threadpoolctl", "skmoe"}
    for name, tree in TREES.items():
        found = {origin.split(".")[0] for origin, _ in imports(tree)}
        extra = {"matplotlib"} if room(name) == "inspection" else set()
        assert found <= allowed | extra, f"{name}: {found - allowed}"


@pytest.mark.parametrize("name", [name for name in PATHS if room(name) == "inspection"])
def test_matplotlib_is_imported_where_it_is_used(name):
    for node in TREES[name].body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not [origin for origin, _ in imports(node) if origin.startswith("matplotlib")]


def test_no_private_name_of_another_library_is_imported():
    for name, tree in TREES.items():
        for origin, imported in imports(tree):
            if origin.split(".")[0] in ("skmoe", "__future__"):
                continue
            parts = [*origin.split("."), *([imported] if imported else [])]
            assert not [part for part in parts if part.startswith("_")], f"{name}: {parts}"


# --- values, not handles ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in PATHS if not name.startswith(UPPER)])
def test_no_estimator_goes_down(name):
    if name in FOREIGN_ESTIMATORS:
        return
    for function in functions(TREES[name]):
        for arg in parameters(function):
            wanted = arg.annotation is not None and "MixtureModel" in ast.unparse(arg.annotation)
            handle = arg.arg in ("estimator", "model", "moe")
            assert not handle or wanted, f"{name}: {function.name}({arg.arg})"


@pytest.mark.parametrize("name", [name for name in PATHS if not name.startswith(UPPER)])
def test_no_private_attribute_of_an_argument_is_read(name):
    for function in functions(TREES[name]):
        given = {arg.arg for arg in parameters(function)} - {"cls"}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                public = node.attr in ("_replace", "_fields", "_asdict")  # of named tuples
                if private and not public:
                    assert node.value.id not in given, f"{name}: {ast.unparse(node)}"


def test_a_data_set_is_assembled_in_the_data_room_only():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Dataset":
                assert room(name) == "_data", name


def test_the_posterior_is_computed_in_one_module():
    allowed = {"_mixture/model.py", "_numerics/probability.py", "gates/_averaged.py"}
    # Over the models of an expert, and over components of distributions, not over experts.
    allowed |= {"experts/_cross_fitted.py"}
    for name, tree in TREES.items():
        if room(name) == "distributions":
            continue
        names = {imported for _, imported in imports(tree)}
        assert not names & {"log_normalise", "logsumexp"} or name in allowed, name


def test_private_state_of_estimators_is_one_list():
    from skmoe._estimators.warm_start import PRIVATE_ATTRIBUTES

    known = {"_fitted", "_training_state", "_single_output", "_expert_names"}
    assert set(PRIVATE_ATTRIBUTES) == known
    found = set()
    for name, tree in TREES.items():
        if room(name) != "_estimators":
            continue
        for node in ast.walk(tree):
            if name.endswith("serialization.py") and isinstance(node, ast.Constant):
                found |= {node.value} & set(PRIVATE_ATTRIBUTES)
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    for inner in ast.walk(target):
                        if isinstance(inner, ast.Attribute) and inner.attr.startswith("_"):
                            assert inner.attr in PRIVATE_ATTRIBUTES, f"{name}: {inner.attr}"
    assert not found, "serialization repeats the list"


# --- parts answer for themselves --------------------------------------------------------------


def part_classes():
    families = {cls.__name__ for row in EXPERTS.values() for cls in row.values()}
    gates = {cls.__name__ for cls in GATES.values()}
    params = {name.replace("Experts", "Params").replace("Gate", "Params") for name in families}
    others = {"Experts", "Gate", "ChoiceModel", "CrossFittedExperts", "AveragedGate"}
    others |= {"CrossFittedFamilyExperts", "MeanFamily"}
    others |= {"EstimatorParams", "AverageParams", "SoftmaxParams", "ConstantParams"}
    return families | gates | params | others


# Validation of the constructor parameters `expert` and `gate` decides what kind of value was given.
ASKS_KIND = {"_estimators/part_parameters.py"}


@pytest.mark.parametrize("name", [n for n in PATHS if room(n) not in ("experts", "gates")])
def test_nobody_asks_what_a_part_is(name):
    classes = part_classes()
    keys = {*EXPERTS, *GATES}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            assert not asked & classes or name in ASKS_KIND, f"{name}: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            words = set(ast.unparse(node.args[0]).replace("(", ".").split("."))
            parts = {"gate", "experts", "params", "family"} & words
            allowed = name.startswith("protocols/")
            assert not parts or allowed, f"{name}: {ast.unparse(node)}"
        if isinstance(node, ast.Compare):
            compared = {
                part.value
                for part in [node.left, *node.comparators]
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
            assert not compared & keys, f"{name}: {ast.unparse(node)}"


@pytest.mark.parametrize("name", [n for n in PATHS if n.startswith(SILENT) and n not in MAY_RAISE])
def test_mathematics_validates_nothing(name):
    for node in ast.walk(TREES[name]):
        assert not isinstance(node, ast.Raise), f"{name}, line {node.lineno}"
        assert not (isinstance(node, ast.Attribute) and node.attr == "warn"), name


def test_eigenvalues_are_those_of_numpy():
    """The default method of scipy fails on some Hessians, whose eigenvalues differ by 1e40."""
    for name, tree in TREES.items():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        found = {ast.unparse(call) for call in calls if call.attr in ("eigh", "eigvalsh")}
        assert found <= {"np.linalg.eigh", "np.linalg.eigvalsh"}, f"{name}: {found}"


@pytest.mark.parametrize("name", [n for n in PATHS if room(n) in ("experts", "gates", "_mixture")])
def test_parts_and_loop_keep_no_state(name):
    """No attribute is ever assigned: parameters are values."""
    for node in ast.walk(TREES[name]):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        for target in targets:
            assert not isinstance(target, ast.Attribute), ast.unparse(node)


@pytest.mark.parametrize("name", [n for n in PATHS if room(n) == "inspection"])
def test_pictures_read_public_attributes_only(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            public = node.attr.startswith("__") or node.attr == "_replace"  # of named tuples
            assert own or public, ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            asked = node.args[1]
            assert isinstance(asked, ast.Constant), ast.unparse(node)
            assert not asked.value.startswith("_"), ast.unparse(node)


# --- tests --------------------------------------------------------------------------------------

TESTS = {
    path.name: ast.parse(path.read_text("utf-8")) for path in Path(__file__).parent.glob("*.py")
}


@pytest.mark.parametrize("name", sorted(TESTS))
def test_no_test_draws_from_a_generator_that_others_draw_from(name):
    """What a test sees would depend on the tests before it."""
    shared = set()
    for node in TESTS[name].body:
        made = re.fullmatch(
            r"np\.random\.default_rng\((\d*)\)", ast.unparse(getattr(node, "value", node))
        )
        if isinstance(node, ast.Assign) and made:
            assert made[1], f"{name}, line {node.lineno}: a generator without a seed"
            shared |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for function in functions(TESTS[name]):
        own = {argument.arg for argument in parameters(function)}
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        own |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
        for node in names:
            assert node.id not in shared - own, f"{name}, line {node.lineno}: {node.id}"


# --- words and sizes --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PATHS)
def test_identifiers_are_words_of_the_field(name):
    source = PATHS[name].read_text("utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string not in HOOKS:
            words = set(token.string.lower().strip("_").split("_"))
            assert not words & BANNED, f"{name}, line {token.start[0]}: {token.string}"


def test_a_constant_has_one_value():
    values = {}
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                constant = node.targets[0].id
                if constant.isupper() and not constant.startswith("__"):
                    values.setdefault(constant, {})[name] = ast.unparse(node.value)
    doubled = {name: places for name, places in values.items() if len(places) > 1}
    assert not doubled


# The docstring of an estimator has all its parameters and attributes.
MAX_LINES = {"_estimators/regressor.py": 460, "_estimators/classifier.py": 460}


@pytest.mark.parametrize("name", PATHS)
def test_modules_and_functions_stay_short(name):
    lines = PATHS[name].read_text("utf-8").count("\n")
    assert lines <= MAX_LINES.get(name, 400), f"{name} has {lines} lines"
    for node in functions(TREES[name]):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert length <= 60, f"{name}: {node.name} has {length} lines"


# Public methods whose parameters are choices of the user.
MANY_PARAMETERS = {"inference", "fit_with_checkpoints", "n_experts_test"}


@pytest.mark.parametrize("name", [n for n in PATHS if room(n) not in ("inspection", "metrics")])
def test_functions_take_few_parameters(name):
    for node in functions(TREES[name]):
        if node.name != "__init__" and node.name not in MANY_PARAMETERS:
            count = len([arg for arg in parameters(node) if arg.arg != "cls"])
            assert count <= 6, f"{name}: {node.name} takes {count}"
