"""Experts and gates of one's own, and those of the examples, do what the documentation says."""

import ast
import inspect
import pickle
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks, interval_censored
from skmoe.export import to_onnx
from skmoe.families import FAMILIES
from skmoe.gates import GATES
from skmoe.inspection import CoefficientsDisplay, export_html, export_text
from skmoe.protocols import Experts, Gate, LinearPredictor
from support import own_families
from support.heteroscedastic import HeteroscedasticExperts
from support.own_families import Gumbel
from support.own_gates import PriorGate
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.sources import n_lines_of_code
from support.tables import crossing_lines


class Speed(NamedTuple):
    """Rate of each expert, (K,)."""

    per_hour: np.ndarray


class Sums(NamedTuple):
    weight: np.ndarray
    time: np.ndarray


@dataclass(frozen=True)
class ExponentialExperts(Experts):
    """Exponential waiting times with one rate for each expert, whatever the features.

    It has exactly the required methods, fields with unusual names, and two methods that are called
    as those of other experts were once.
    """

    standardizes_target = False
    support = "non-negative numbers"
    other_params = ("per_hour",)

    def in_support(self, y):
        return (y >= 0).all(axis=0)

    def init_params(self, n_experts, n_columns):
        return Speed(np.ones(n_experts))

    def log_prob(self, params, design, y):
        rate = params.per_hour[:, None]
        return np.log(rate) - rate * y[0]

    def mean(self, params, design):
        return np.repeat(1.0 / params.per_hour[:, None, None], design.shape[0], axis=2)

    def statistics(self, params, design, y, resp):
        return Sums(resp.sum(axis=1), resp @ y[0])

    def m_step(self, statistics, factor, params, step):
        return Speed((statistics.weight + 1e-3) / (statistics.time + 1e-3))

    def project(self, params):
        return Speed(np.maximum(params.per_hour, 1e-9))

    def n_parameters(self, params):
        return len(params.per_hour)

    def release(self, params):
        raise AssertionError("not part of the protocol")

    def join(self, params):
        raise AssertionError("not part of the protocol")


X = np.random.default_rng(0).normal(size=(200, 2))
Y = np.where(X[:, 0] > 0, 10.0, 0.5) * np.random.default_rng(1).exponential(size=200)


def mixture(**options):
    fixed = {"expert": ExponentialExperts(), "random_state": 0, "alpha": 1.0, "gate_alpha": 1.0}
    fixed |= {"n_init": 4}
    return MixtureOfExpertsRegressor(2, **fixed | options)


@pytest.fixture(scope="module")
def fitted():
    return mixture(gate=PriorGate()).fit(X, Y)


@pytest.mark.parametrize("kind", [Experts, Gate])
def test_classes_that_are_no_dataclasses_ignore_all_options(kind):
    methods = dict.fromkeys(kind.__abstractmethods__, lambda self, *given: None)
    own = type("Own", (kind,), methods)()
    assert own.with_options({"alpha": 2.0, "dispersion_prior": 1.0}) is own


@pytest.mark.parametrize("gate", ["softmax", PriorGate()], ids=["softmax", "own gate"])
def test_minimal_parts_fit_and_predict(gate):
    moe = mixture(gate=gate).fit(X, Y)
    assert min(np.diff(moe.lower_bounds_)) > -1e-9
    assert np.isfinite(moe.score_samples(X, Y)).all()
    low, high = np.sort(moe.predict_experts(X[:1])[0])
    assert low < 1.5
    assert high > 5.0
    assert_allclose(moe.predict_gate(X).sum(axis=1), 1.0)
    assert_allclose(moe.responsibilities(X, Y).sum(axis=1), 1.0)
    assert np.isfinite([moe.aic(X, Y), moe.bic(X, Y), moe.icl(X, Y)]).all()
    assert_array_equal(pickle.loads(pickle.dumps(moe)).predict(X), moe.predict(X))


def test_minimal_parts_have_a_summary_and_an_explanation(fitted):
    text = str(fitted.summary(X, Y))
    assert "ExponentialExperts" in text
    assert "PriorGate" in text
    assert fitted.explain(X).experts.shape == (200, 2)
    for name in ("expert_coef_", "link_", "gate_coef_"):
        assert not hasattr(fitted, name)


def test_weight_is_a_number_of_rows_for_parts_of_your_own():
    weight = np.random.default_rng(1).integers(1, 4, size=200)
    weighted = mixture(gate=PriorGate()).fit(X, Y, sample_weight=weight)
    repeated = mixture(gate=PriorGate()).fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight))
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)


def test_row_blocks_and_warm_starts_of_parts_of_your_own(fitted):
    blocks = RowBlocks(lambda: ((X[i : i + 90], Y[i : i + 90]) for i in range(0, 200, 90)))
    in_blocks = mixture(gate=PriorGate()).fit(blocks)
    assert_allclose(in_blocks.lower_bound_, fitted.lower_bound_, atol=1e-3)
    again = clone(fitted).set_params(warm_start=True).fit(X, Y).fit(X, Y)
    assert_allclose(again.lower_bound_, fitted.lower_bound_, atol=1e-3)
    assert again.n_iter_ < fitted.n_iter_


def test_number_of_experts_of_your_own_is_selected():
    assert mixture().set_params(n_experts="auto").fit(X, Y).n_experts_ >= 2


def test_target_outside_the_support_is_refused_with_its_row():
    bad = np.where(np.arange(200) == 17, -2.5, Y)
    assert_fit_refused(mixture(), (X, bad), "y must hold", "non-negative numbers", "row 17", -2.5)
    # A row of weight zero is absent.
    mixture(max_iter=50).fit(X, bad, sample_weight=(np.arange(200) != 17).astype(float))


@pytest.mark.parametrize(
    ("method", "needed", "missing"),
    [
        ("predict_dist", "predict_dist needs", "components"),
        ("predict_interval", "predict_interval needs", "components"),
        ("sample", "sample needs", "components"),
        ("inference", "inference needs", "declares no `blocks`"),
    ],
)
def test_what_experts_cannot_do_is_refused_by_name(method, needed, missing):
    moe = mixture(max_iter=50).fit(X, Y)
    arguments = {"inference": (X, Y)}.get(method, (X,))
    message = refusal(getattr(moe, method), *arguments)
    assert_refused(message, needed, "ExponentialExperts", missing)


def test_what_a_gate_cannot_do_is_refused_by_name():
    moe = MixtureOfExpertsRegressor(2, gate=PriorGate(), alpha=0.1, n_init=1, random_state=0)
    moe.fit(X, Y)
    assert_refused(refusal(moe.inference, X, Y), "inference needs", "PriorGate", "your own")
    assert "PriorGate" in refusal(to_onnx, moe, X[:1])
    with pytest.raises(AttributeError) as caught:
        moe.partial_fit(X, Y)
    assert "PriorGate" in str(caught.value.__cause__)


def test_streams_and_bases_are_refused_by_name():
    with pytest.raises(AttributeError) as caught:
        mixture().partial_fit(X, Y)
    assert "linear predictors" in str(caught.value.__cause__)
    moe = mixture(base=MixtureOfExpertsRegressor(1))
    assert_fit_refused(moe, (X, Y), "base", "ExponentialExperts()", "base=None")
    message = refusal(to_onnx, mixture(max_iter=50).fit(X, Y), X[:1])
    assert_refused(message, "conversion to ONNX needs", 'expert="linear"', "ExponentialExperts()")


# --- the family, the gate and the experts of the tutorial ---

TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorials" / "plot_6_own_parts.py"


@pytest.fixture(scope="module")
def tutorial():
    """The classes of the tutorial, without its fits; their names leave the registries again."""
    module = types.ModuleType("own_parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setitem(FAMILIES, "geometric", None)  # so that the entries go again
        patch.setitem(GATES, "dirichlet", None)
        tree = ast.parse(TUTORIAL.read_text("utf-8"))
        kinds = ast.Import, ast.ImportFrom, ast.ClassDef
        tree.body = [
            node
            for node in tree.body
            if isinstance(node, kinds) or ast.unparse(node).startswith(("FAMILIES[", "GATES["))
        ]
        exec(compile(tree, module.__name__, "exec"), vars(module))
        yield module


def visits(n_rows):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    return X, rng.geometric(1 / (1 + np.exp(1 + np.abs(X[:, 0])))) - 1.0


FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def test_a_family_is_one_method_whose_derivatives_are_differences(tutorial):
    y, eta = np.arange(6.0), 0.5 * np.random.default_rng(0).normal(size=(2, 1, 6))
    family, mean = tutorial.JustGeometric(), np.exp(eta)
    logs, (score,), _ = family.derivatives(y, [eta])
    assert_allclose(logs, stats.nbinom(1, 1 / (1 + mean)).logpmf(y))
    assert_allclose(score, (y - mean) / (1 + mean), atol=1e-8)
    X, y = visits(600)
    moe = MixtureOfExpertsRegressor(2, family=family, **FIXED).fit(X, y)
    assert_allclose(np.sort(moe.expert_coef_[:, 0]), [-1, 1], atol=0.35)
    assert min(np.diff(moe.lower_bounds_)) > -1e-10
    assert np.isfinite(moe.inference(X, y).standard_errors).all()
    assert "ratio of means" in str(moe.summary(X, y))
    constant, units = clone(moe).set_params(gate="constant"), np.arange(600) // 2
    assert "geometric" in str(constant.fit(X, y, units=units).summary(X, y, units=units))
    message = refusal(moe.predict_interval, X)
    assert_refused(message, "predict_interval", "JustGeometric", "components")
    censored = interval_censored(y, np.where(y > 3, np.inf, y))
    assert_fit_refused(moe, (X, censored), "family", "JustGeometric", "censored y")


def test_the_family_of_the_tutorial_has_all_that_registered_families_have(tutorial, monkeypatch):
    X, y = visits(600)
    moe = MixtureOfExpertsRegressor(2, family="geometric", **FIXED).fit(X, y)
    assert_allclose(moe.predict_dist(X).logpmf(y), moe.score_samples(X, y))
    low, high = moe.predict_interval(X, coverage=0.9).T
    assert 0.88 < ((low <= y) & (y <= high)).mean() < 0.96
    same = pickle.loads(pickle.dumps(moe))
    assert_array_equal(same.predict(X), moe.predict(X))
    zeros = X, np.where(X[:, 1] > 1, 0.0, y)
    mixed = MixtureOfExpertsRegressor(2, family=["zero", "geometric"], **FIXED).fit(*zeros)
    assert 0.15 < mixed.weights_[0] < 0.35
    streamed = MixtureOfExpertsRegressor(2, family="geometric", **FIXED).partial_fit(X, y)
    assert streamed.n_parameters_ == moe.n_parameters_
    assert_fit_refused(moe, (X, -y - 1), "y must hold counts", 'family="geometric"')


def test_the_gate_of_the_tutorial_has_a_prior(tutorial):
    X, y = crossing_lines()
    options = {"n_init": 1, "random_state": 0, "alpha": 0.1}
    weak, strong = (
        MixtureOfExpertsRegressor(2, gate="dirichlet", gate_alpha=alpha, **options).fit(X, y)
        for alpha in (1e-6, 1e6)
    )
    constant = MixtureOfExpertsRegressor(2, gate="constant", **options).fit(X, y)
    # The gate does not tell how its experts are reordered.
    assert_allclose(np.sort(weak.weights_), np.sort(constant.weights_), atol=1e-3)
    assert_allclose(strong.weights_, 0.5, atol=1e-3)
    assert np.diff(weak.lower_bounds_).min() > -1e-10
    assert_refused(refusal(weak.inference, X, y), "inference", "DirichletGate", "your own")


def test_the_experts_of_the_tutorial_are_von_mises_distributions(tutorial):
    rng, X = np.random.default_rng(0), np.linspace(-1, 1, 600)[:, None]
    y = np.where(X[:, 0] > 0, rng.vonmises(1, 8, size=600), rng.vonmises(-2, 2, size=600))
    moe = MixtureOfExpertsRegressor(2, expert=tutorial.VonMises(), gate_alpha=0.1, random_state=0)
    moe.fit(X, y)
    assert np.diff(moe.lower_bounds_).min() > -1e-10
    pairs = zip(moe.concentration_, moe.direction_, strict=True)
    logs = np.stack([stats.vonmises(*pair).logpdf(y) for pair in pairs], axis=1)
    expected = np.log((moe.predict_gate(X) * np.exp(logs)).sum(axis=1))
    assert_allclose(moe.score_samples(X, y), expected)
    order, halves = np.argsort(moe.direction_), (y[X[:, 0] <= 0], y[X[:, 0] > 0])
    exact = [stats.vonmises.fit(half, fscale=1)[0] for half in halves]
    assert_allclose(moe.concentration_[order], exact, rtol=0.05)
    table = moe.inference(X, y).to_frame()
    errors = table.xs("log(concentration)", level="term")["standard error"].to_numpy()
    assert_allclose(errors, np.sqrt(2 / 300), rtol=0.3)  # of large concentrations
    assert_fit_refused(clone(moe), (X, y + 4), "y must hold angles", "-pi to pi")


def test_a_family_of_forty_lines_has_what_the_registered_ones_have(monkeypatch, tmp_path):
    """A dispersion on features of censored values of units, with summary, errors and report."""
    assert n_lines_of_code(Path(inspect.getsourcefile(own_families))) <= 40
    monkeypatch.setitem(FAMILIES, "gumbel", Gumbel)
    rng, units = np.random.default_rng(0), np.repeat(np.arange(250), 3)
    X, is_first = rng.normal(size=(750, 3)), (rng.uniform(size=250) < 0.5)[units]
    mode = np.where(is_first, 3.0 + X[:, 0], -2.0 * X[:, 1])
    y = rng.gumbel(mode, np.exp(0.3 * X[:, 2] - 1.0))
    limit = np.quantile(y, 0.8)
    y = interval_censored(np.minimum(y, limit), np.where(y > limit, np.inf, y))
    moe = MixtureOfExpertsRegressor(
        2, family="gumbel", gate="constant", dispersion_features=[2], random_state=0
    ).fit(X, y, units=units)
    order = np.argsort(moe.expert_coef_[:, 0])
    expected = [[0.0, -2.0, 0.0], [1.0, 0.0, 0.0]]
    assert_allclose(moe.expert_coef_[order], expected, atol=0.12)
    # The log of the dispersion is twice that of the scale.
    assert_allclose(moe.expert_dispersion_coef_[:, 2], 0.6, atol=0.25)
    assert np.isfinite(moe.inference(X, y, units=units).standard_errors).all()
    export_html(moe, X, y, tmp_path / "report.html", units=units)
    texts = [str(moe.summary(X, y, units=units)), export_text(moe)]
    texts += [(tmp_path / "report.html").read_text("utf-8")]
    assert all("gumbel" in text for text in texts)
    # The distribution is that of SciPy.
    rows, values = X[:5], np.linspace(-4.0, 6.0, 7)
    mode = rows @ moe.expert_coef_.T + moe.expert_intercept_
    log_dispersion = rows @ moe.expert_dispersion_coef_.T + moe.expert_dispersion_intercept_
    exact = stats.gumbel_r(mode[..., None], np.exp(0.5 * log_dispersion)[..., None]).cdf(values)
    distribution = moe.predict_dist(rows)
    assert_allclose(distribution.cdf(values[None]), np.einsum("nkv,k->nv", exact, moe.weights_))
    assert_allclose(distribution.mean, moe.predict(rows))
    quantiles = moe.predict_quantile(rows, [0.1, 0.9])
    assert_allclose(distribution.cdf(quantiles), np.tile([0.1, 0.9], (5, 1)))


# --- experts with blocks of coefficients of their own ---


def noisy(n_rows=600):
    """Rows of two regimes, whose noise depends on the features."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=n_rows), 5 + 3 * rng.normal(size=n_rows)])
    first = rng.random(n_rows) < 0.5
    mean = np.where(first, 10 + 3 * X[:, 0], -10 - 2 * X[:, 0])
    log_variance = np.where(first, 0.5 * X[:, 0], -1 + 0.3 * X[:, 1])
    return X, mean + np.exp(log_variance / 2) * rng.normal(size=n_rows)


SECOND_PREDICTOR = [f"log(noise variance): {name}" for name in ("(Intercept)", "x0", "x1")]


@pytest.fixture(scope="module")
def heteroscedastic():
    experts = HeteroscedasticExperts(alpha=0.0)
    moe = MixtureOfExpertsRegressor(2, expert=experts, gate="constant", random_state=0, tol=1e-9)
    return moe.fit(*noisy())


def test_a_further_block_is_in_summary_text_document_and_displays(heteroscedastic, monkeypatch):
    X, y = noisy()
    moe = heteroscedastic
    summary = moe.summary(X, y)
    all_terms = [term.name for term in summary.inference.terms]
    terms = [term.name for term in summary.inference.terms if term.part == "expert 0"]
    assert terms == ["(Intercept)", "x0", "x1", *SECOND_PREDICTOR]
    is_tested = np.isfinite(summary.inference.p_values)
    assert is_tested.tolist() == [name != SECOND_PREDICTOR[0] for name in all_terms]
    lines = str(summary).split("\n")
    assert sum(line.strip().startswith("log(noise variance): x1 ") for line in lines) == 4
    note = "Noise variance ratio: one unit more of a feature multiplies the noise variance by it."
    assert note in lines
    estimates = summary.to_frame()["estimate"].xs("expert 1")
    fitted = [moe.variance_intercept_[1], *moe.variance_coef_[1]]
    assert_allclose(estimates.droplevel("response")[SECOND_PREDICTOR], fitted, rtol=1e-2, atol=1e-2)
    equations = [line for line in export_text(moe).split("\n") if "log(noise variance) = " in line]
    assert len(equations) == 2
    same = pickle.loads(pickle.dumps(moe))
    assert_array_equal(same.variance_coef_, moe.variance_coef_)
    assert_array_equal(same.score_samples(X, y), moe.score_samples(X, y))


def test_coefficients_display_has_the_features_of_each_predictor(heteroscedastic):
    pytest.importorskip("matplotlib")
    X, y = noisy()
    display = CoefficientsDisplay.from_estimator(heteroscedastic, X, y, standardize=False)
    shown = dict(zip(display.feature_names, display.coefficients, strict=True))
    assert set(shown) == {"x0", "x1", *SECOND_PREDICTOR[1:]}
    result = heteroscedastic.inference(X, y)
    names = [term.name for term in result.terms]
    for name, values in shown.items():
        places = [i for i, other in enumerate(names) if other == name]
        assert_allclose(values, result.estimates[places])
        row = display.feature_names.index(name)
        assert_allclose(display.intervals[row], result.conf_int()[places])


def test_blocks_of_a_pipeline_are_in_the_units_of_its_input(heteroscedastic):
    X, y = noisy()
    scaled = make_pipeline(StandardScaler(), clone(heteroscedastic)).fit(X, y)
    assert export_text(scaled) == export_text(heteroscedastic)


def test_parameters_outside_of_blocks_are_refused():
    unknown = (*HeteroscedasticExperts.blocks, LinearPredictor("skewness", "shape_coef"))
    for blocks, words in (
        ((LinearPredictor(),), "'log_variance_coef' is in none"),
        (unknown, "there is no field 'shape_coef'"),
    ):
        kind = type("OwnExperts", (HeteroscedasticExperts,), {"blocks": blocks})
        moe, name = MixtureOfExpertsRegressor(2, expert=kind()), "expert must declare"
        assert_fit_refused(moe, noisy(50), name, "OwnExperts", "`other_params`", words)
