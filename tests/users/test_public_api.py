"""The public names: all can be imported, lazily where possible, and are typed."""

import ast
import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import skmoe

PUBLIC = {
    "skmoe": ["MixtureOfExpertsClassifier", "MixtureOfExpertsRegressor"],
    "skmoe.blocks": ["DaskBlocks", "RowBlocks"],
    "skmoe.distributions": [
        "CountMixtureDistribution",
        "GammaComponents",
        "GeneralMixtureDistribution",
        "InverseGaussianComponents",
        "LogNormalComponents",
        "MixtureDistribution",
        "NegativeBinomialComponents",
        "NormalComponents",
        "OrdinalComponents",
        "PointMassComponents",
        "PoissonComponents",
        "StudentTComponents",
        "UniformComponents",
        "predictive_distribution",
    ],
    "skmoe.experts": ["EXPERTS", "GeneralizedLinearExperts", "LinearExperts", "LogisticExperts"],
    "skmoe.families": [
        "FAMILIES",
        "Family",
        "Gamma",
        "InverseGaussian",
        "LogNormal",
        "NegativeBinomial",
        "Normal",
        "Ordinal",
        "Poisson",
        "StudentT",
        "Uniform",
        "Zero",
    ],
    "skmoe.censoring": ["interval_censored", "left_censored", "right_censored"],
    "skmoe.gates": ["GATES", "ConstantGate", "SoftmaxGate"],
    "skmoe.inspection": [
        "CalibrationDisplay",
        "CoefficientsDisplay",
        "ConvergenceDisplay",
        "ExpertsDisplay",
        "GateDisplay",
        "ImportanceDisplay",
        "NumberOfExpertsDisplay",
        "PredictionDisplay",
        "RegimesDisplay",
        "ResponsibilitiesDisplay",
        "RootogramDisplay",
        "SegmentProfileDisplay",
        "SurvivalDisplay",
        "TrajectoriesDisplay",
        "average_effects",
        "export_html",
        "export_mermaid",
        "export_text",
        "permutation_importance_by_part",
    ],
    "skmoe.exceptions": [
        "CollapsedExpertsWarning",
        "DegenerateExpertWarning",
        "FitMismatchWarning",
        "NumberOfExpertsWarning",
        "OptionWarning",
        "UnreplicatedMaximumWarning",
        "WeightsWarning",
    ],
    "skmoe.metrics": [
        "censored_crps",
        "concordance_index",
        "integrated_brier_score",
        "log_density_scorer",
        "make_interval_scorers",
        "make_survival_scorers",
        "neg_crps_scorer",
        "neg_energy_score_scorer",
    ],
    "skmoe.model_selection": [
        "cross_val_predict_interval",
        "likelihood_ratio_test",
        "n_experts_table",
        "n_experts_test",
    ],
    "skmoe.onnx": ["register_converters", "to_onnx"],
    "skmoe.pipelines": ["mixture_of"],
    "skmoe.protocols": [
        "ChoiceModel",
        "Dispersion",
        "Experts",
        "Gate",
        "Slopes",
        "SupportsDispersionEvidence",
        "SupportsDistribution",
        "SupportsEvidence",
        "SupportsGateInference",
        "SupportsInference",
        "SupportsONNX",
        "SupportsReordering",
        "SupportsStreaming",
        "permute_experts",
        "split_offset",
    ],
    "skmoe.recipes": [
        "readable_classifier",
        "readable_regressor",
        "strong_classifier",
        "strong_regressor",
        "trajectories",
    ],
    "skmoe.reports": [
        "AverageEffects",
        "ExpertSummary",
        "Explanation",
        "Inference",
        "Maxima",
        "NExpertsTable",
        "NExpertsTest",
        "NestedModelsTest",
        "Summary",
        "UnitResponsibilities",
        "WaldTest",
    ],
    "skmoe.skops": ["trusted_types"],
    "skmoe.stacking": ["GatedStackingClassifier", "GatedStackingRegressor"],
}
MODULES = {name.removeprefix("skmoe.") for name in PUBLIC} - {"skmoe"}
MODULES_OF_ROWS = {"skmoe", "blocks", "inspection", "metrics", "model_selection"}
MODULES_OF_ROWS |= {"stacking"}

PROJECT = Path(__file__).parents[2]
INSTALLED = Path(skmoe.__file__).parents[1]

LAZY = """
import sys
import skmoe
for name in ("inspection", "onnx", "metrics"):
    assert f"skmoe.{name}" not in sys.modules, name
assert skmoe.inspection.ExpertsDisplay.__name__ == "ExpertsDisplay"
assert skmoe.onnx.to_onnx and skmoe.metrics.neg_crps_scorer
for package in ("matplotlib", "bokeh", "jinja2", "dask", "skl2onnx"):
    assert package not in sys.modules, package
"""

USER_SCRIPT = """
import numpy as np
import numpy.typing as npt
import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.distributions import PredictiveDistribution
from skmoe.gates import SoftmaxGate
from skmoe.inspection import ConvergenceDisplay, ExpertsDisplay, export_mermaid, export_text
from skmoe.metrics import neg_crps_scorer
from skmoe.onnx import to_onnx
from skmoe.reports import Explanation, Inference, Summary

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
def test_public_names_are_there(module):
    content = import_module(module)
    for name in PUBLIC[module]:
        assert hasattr(content, name), f"{module}.{name}"
    listed = {name for name in getattr(content, "__all__", PUBLIC[module]) if name[0] != "_"}
    assert set(PUBLIC[module]) <= listed


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
            assert not OF_ROWS & set(positional(function)), f"{module}.{name}: {method}"


@pytest.mark.parametrize("name", ["skmoe.MixtureOfExperts", "skmoe.stacking.GatedStacking"])
@pytest.mark.parametrize("kind", ["Regressor", "Classifier"])
def test_methods_take_features_and_target_by_position(name, kind):
    module, _, prefix = name.rpartition(".")
    methods = callables_of(getattr(import_module(module), prefix + kind))
    rows = {m: names[1:] for m, f in methods if (names := positional(f))[:2] == ["self", "X"]}
    assert {"fit", "predict", "score", "score_samples", "bic", "summary", "explain"} <= set(rows)
    for method, taken in rows.items():
        assert taken in (["X"], ["X", "y"], ["X", ASKED.get(method)]), method


def excluded_docstrings():
    """Patterns of what the site excludes from its checks of docstrings."""
    for node in ast.parse((PROJECT / "docs" / "conf.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "numpydoc_validation_exclude":
            return ast.literal_eval(node.value)


@pytest.mark.parametrize("name", [n for n in PUBLIC["skmoe.distributions"] if "Mixture" in n])
def test_methods_of_distributions_document_what_they_take_and_return(name):
    """And the site excludes none of them from its checks of docstrings."""
    kind = getattr(skmoe.distributions, name)
    methods = [n for n, f in inspect.getmembers(kind, inspect.isfunction) if n[0] != "_"]
    assert {"cdf", "cdf_left", "sf", "pdf", "logpdf", "logcdf", "logsf", "ppf"} <= set(methods)
    for method in methods:
        text = inspect.getdoc(getattr(kind, method))
        _, *parameters = inspect.signature(getattr(kind, method)).parameters
        taken = text.partition("Parameters\n----------\n")[2]
        assert "Returns\n-------\n" in text, method
        for parameter in parameters:
            assert f"{parameter} : " in taken, f"{method}: {parameter}"
        path = f"skmoe.distributions.{name}.{method}"
        assert not any(re.search(pattern, path) for pattern in excluded_docstrings()), path


def test_modules_are_imported_on_first_use():
    command = [sys.executable, "-W", "error", "-c", LAZY]
    found = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_scripts_of_users_pass_strict_type_checks(tmp_path):
    """As for an installed package, only the script is reported."""
    pytest.importorskip("mypy")
    assert (INSTALLED / "skmoe" / "py.typed").exists()
    (tmp_path / "script.py").write_text(USER_SCRIPT)
    environment = dict(os.environ)
    if "site-packages" not in INSTALLED.parts:
        environment["MYPYPATH"] = str(INSTALLED)
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={os.devnull}"]
    command = [sys.executable, "-m", "mypy", *options, "script.py"]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
