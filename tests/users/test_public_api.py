"""The public names: all can be imported, lazily where possible, and are typed."""

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import skmoe

PROJECT = Path(__file__).parents[2]
INSTALLED = Path(skmoe.__file__).parents[1]


def names_of_page():
    """Public names by module, as the page of the API has them."""
    text = (PROJECT / "docs" / "api.md").read_text("utf-8")
    found, module = {}, ""
    for line in text.splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif name := re.fullmatch("   ([A-Za-z_]+)", line):
            found.setdefault(module, []).append(name[1])
    for module, name in re.findall(r"^`(skmoe\.\w+)\.([A-Z]+)` is the registry", text, re.M):
        found[module].append(name)
    found["skmoe.stacking"] = [name for name in found["skmoe"] if "Stacking" in name]
    return found


PUBLIC = names_of_page()
MODULES = {name.removeprefix("skmoe.") for name in PUBLIC} - {"skmoe"}
MODULES_OF_ROWS = {"skmoe", "data", "inspection", "metrics", "model_selection"}

LAZY = """
import sys
import skmoe
for name in ("inspection", "export", "metrics"):
    assert f"skmoe.{name}" not in sys.modules, name
assert skmoe.inspection.ExpertsDisplay.__name__ == "ExpertsDisplay"
assert skmoe.export.to_onnx and skmoe.metrics.neg_crps_scorer
for package in ("matplotlib", "jinja2", "dask", "skl2onnx"):
    assert package not in sys.modules, package
"""

USER_SCRIPT = """
import numpy as np
import numpy.typing as npt
import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.distributions import PredictiveDistribution
from skmoe.gates import SoftmaxGate
from skmoe.inspection import ConvergenceDisplay, ExpertsDisplay, export_mermaid, export_text
from skmoe.metrics import neg_crps_scorer
from skmoe.export import to_onnx
from skmoe.inspection import Explanation, Inference, Summary

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 2))
y = np.abs(X[:, 0])


def fit() -> MixtureOfExpertsRegressor:
    return MixtureOfExpertsRegressor(2, gate=SoftmaxGate(0.5), random_state=0).fit(X, y)


moe = fit()
mean: npt.NDArray[np.float64] = moe.predict(X)
gate_prob: npt.NDArray[np.float64] = moe.predict_gate(X)
resp: npt.NDArray[np.float64] = moe.responsibilities(X, y)
log_density: npt.NDArray[np.float64] = moe.score_samples(X, y)
interval: npt.NDArray[np.float64] = moe.predict_interval(X, coverage=0.9)
r2: float = moe.score(X, y)
bic: float = moe.bic(X, y)
distribution: PredictiveDistribution = moe.predict_dist(X)
median: npt.NDArray[np.float64] = distribution.median
inference: Inference = moe.inference(X, y)
summary: Summary = moe.summary(X, y)
explanation: Explanation = moe.explain(X)
slope: npt.NDArray[np.float64] = explanation.slope
names: list[str] = moe.set_expert_names(["falls", "rises"]).expert_names_
print(inference, summary, summary.to_frame(), export_text(moe), export_mermaid(moe))
crps: float = neg_crps_scorer(moe, X, y)
ConvergenceDisplay.from_estimator(moe).plot()
ExpertsDisplay.from_estimator(moe, X, y, features=0)
in_blocks: MixtureOfExpertsRegressor = moe.fit(RowBlocks.from_arrays(X, y))
print(to_onnx(moe, X[:1]), skmoe.inspection)

classifier = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y > 1)
labels: npt.NDArray[np.bool_] = classifier.predict(X)
probs: npt.NDArray[np.float64] = classifier.predict_proba(X)
accuracy: float = classifier.score(X, y > 1)
classifier.partial_fit(X, y > 1, classes=[False, True])
"""


@pytest.mark.parametrize("module", PUBLIC)
def test_the_page_of_the_api_has_all_public_names(module):
    listed = set(import_module(module).__all__) - {"__version__"}
    assert listed - MODULES == set(PUBLIC[module])


@pytest.mark.parametrize(
    ("module", "name", "new"),
    [
        ("blocks", "RowBlocks", "data"),
        ("censoring", "right_censored", "data"),
        ("onnx", "to_onnx", "export"),
        ("pipelines", "mixture_of", "recipes"),
        ("reports", "Summary", "inspection"),
        ("skops", "trusted_types", "export"),
    ],
)
def test_names_that_have_moved_are_found_with_a_warning(module, name, new):
    with pytest.warns(FutureWarning, match=f"skmoe.{module}.{name} is now skmoe.{new}.{name}"):
        found = getattr(getattr(skmoe, module), name)
    assert found is getattr(getattr(skmoe, new), name)
    with pytest.raises(AttributeError, match="has no attribute 'mixture'"):
        getattr(skmoe, module).mixture  # noqa: B018


def test_the_package_lists_public_names_only():
    assert set(dir(skmoe)) == {*PUBLIC["skmoe"], *MODULES, "__version__"}
    for name in MODULES:
        assert getattr(skmoe, name) is sys.modules[f"skmoe.{name}"]
    with pytest.raises(AttributeError, match="'skmoe' has no attribute 'mixture'"):
        skmoe.mixture  # noqa: B018


# Arguments that have an entry for each row, besides features and target.
OF_ROWS = {"sample_weight", "offset", "units", "known_experts", "groups", "cluster", "gate_proba"}
# Methods of estimators with a second argument that may be positional: what is asked.
ASKED = {"predict_interval": "coverage", "predict_quantile": "q"}


def is_method(member):
    return inspect.isfunction(member) or inspect.ismethod(member)


def callables_of(content):
    """A public function, or the public methods of a class, by name."""
    if not inspect.isclass(content):
        return [(content.__name__, content)] if inspect.isfunction(content) else []
    return [(n, f) for n, f in inspect.getmembers(content, is_method) if n[0] != "_"]


def positional(function):
    """Names of the parameters that may be passed by position."""
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize("module", [m for m in PUBLIC if m.rpartition(".")[2] in MODULES_OF_ROWS])
def test_weights_offsets_and_units_are_passed_by_name(module):
    """A vector in the wrong position would be taken for another one of the same length."""
    for name in PUBLIC[module]:
        for method, function in callables_of(getattr(import_module(module), name)):
            of_units = (name, method) == ("UnitResponsibilities", "rows")  # whose rows are units
            if not of_units and not name.endswith(
                "Split"
            ):  # scikit-learn calls its cross-validators
                assert not OF_ROWS & set(positional(function)), f"{module}.{name}: {method}"


@pytest.mark.parametrize("name", ["skmoe.MixtureOfExperts", "skmoe.GatedStacking"])
@pytest.mark.parametrize("kind", ["Regressor", "Classifier"])
def test_methods_take_features_and_target_by_position(name, kind):
    module, _, prefix = name.rpartition(".")
    methods = callables_of(getattr(import_module(module), prefix + kind))
    rows = {m: names[1:] for m, f in methods if (names := positional(f))[:2] == ["self", "X"]}
    assert {"fit", "predict", "score", "score_samples", "bic", "summary", "explain"} <= set(rows)
    for method, taken in rows.items():
        assert taken in (["X"], ["X", "y"], ["X", ASKED.get(method)]), method


@pytest.mark.parametrize("name", [n for n in PUBLIC["skmoe.distributions"] if "Mixture" in n])
def test_methods_of_distributions_document_what_they_take_and_return(name):
    methods = dict(callables_of(getattr(skmoe.distributions, name)))
    assert {"cdf", "cdf_left", "sf", "pdf", "logpdf", "logcdf", "logsf", "ppf"} <= set(methods)
    for method, function in methods.items():
        taken = inspect.getdoc(function).partition("Parameters\n----------\n")[2]
        assert "Returns\n-------\n" in inspect.getdoc(function), method
        for parameter in set(inspect.signature(function).parameters) - {"self"}:
            assert f"{parameter} : " in taken, f"{method}: {parameter}"


def test_modules_are_imported_on_first_use():
    command = [sys.executable, "-W", "error", "-c", LAZY]
    found = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_scripts_of_users_pass_strict_type_checks(tmp_path, pytestconfig):
    """As for an installed package, only the script is reported."""
    pytest.importorskip("mypy")
    cache = pytestconfig.cache.mkdir("mypy")  # what else is checked are numpy and the package
    assert (INSTALLED / "skmoe" / "py.typed").exists()
    (tmp_path / "script.py").write_text(USER_SCRIPT, "utf-8")
    environment = dict(os.environ)
    if "site-packages" not in INSTALLED.parts:
        environment["MYPYPATH"] = str(INSTALLED)
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={cache}"]
    command = [sys.executable, "-m", "mypy", *options, "script.py"]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
