"""Poisson experts: counts with a log link, and everything that other families have."""

import json
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.experts import GeneralizedLinearExperts
from skmoe.families import Poisson
from skmoe.inspection import CalibrationDisplay, ExpertsDisplay, export_text
from skmoe.metrics import neg_crps_scorer
from skmoe.onnx import to_onnx

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, size=(900, 2))
MEAN = np.exp(1.0 + np.abs(X[:, 0]))  # two regimes, with slopes of -1 and 1
Y = RNG.poisson(MEAN)


def mixture(n_experts=2, **options):
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
    return MixtureOfExpertsRegressor(n_experts, family="poisson", **fixed | options)


@pytest.fixture(scope="module")
def moe():
    return mixture().fit(X, Y)


def test_one_expert_is_a_poisson_regression():
    fitted = mixture(1, alpha=1e-9, tol=1e-13).fit(X, Y)
    single = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=1000).fit(X, Y)
    assert_allclose(fitted.expert_coef_[0], single.coef_, atol=1e-7)
    assert_allclose(fitted.expert_intercept_, single.intercept_, atol=1e-7)
    log_pmf = stats.poisson.logpmf(Y, single.predict(X))
    assert_allclose(fitted.score_samples(X, Y), log_pmf, atol=1e-6)


def test_the_penalty_is_that_of_a_poisson_regression():
    standard = StandardScaler().fit_transform(X)
    fitted = mixture(1, alpha=50.0, tol=1e-13).fit(standard, Y)
    single = PoissonRegressor(alpha=50.0 / len(Y), tol=1e-12, max_iter=1000).fit(standard, Y)
    assert_allclose(fitted.expert_coef_[0], single.coef_, atol=1e-6)


def test_regimes_are_found_and_the_lower_bound_never_falls(moe):
    assert_allclose(np.sort(moe.expert_coef_[:, 0]), [-1.0, 1.0], atol=0.1)
    assert_allclose(moe.expert_intercept_, 1.0, atol=0.15)
    assert moe.link_ == "log"
    assert min(np.diff(moe.lower_bounds_)) > -1e-10
    assert not hasattr(moe, "noise_variance_")
    assert moe.n_parameters_ == 2 * 3 + 3


@pytest.mark.parametrize("seed", range(10))
def test_the_lower_bound_never_falls_on_hard_counts(seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(80, 3)) * 10.0 ** rng.integers(-3, 4, size=3)
    y = rng.poisson(10.0 ** rng.uniform(-2, 5, size=80))
    fitted = mixture(3, n_init=2, max_iter=40, alpha=10.0 ** rng.uniform(-3, 1))
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experts may collapse, and EM need not converge
        fitted.fit(table, y)
    falls = np.diff(fitted.lower_bounds_) / (1.0 + np.abs(fitted.lower_bounds_[1:]))
    assert min(falls, default=0.0) > -1e-10
    assert np.isfinite(fitted.predict(table)).all()


def test_weights_are_repeats_and_change_the_fit():
    weight = np.random.default_rng(1).integers(1, 4, size=len(Y))
    weighted = mixture().fit(X, Y, sample_weight=weight)
    repeated = mixture().fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight))
    assert_allclose(weighted.expert_coef_, repeated.expert_coef_)
    single = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=1000)
    single.fit(X, Y, sample_weight=weight)
    one = mixture(1, alpha=1e-9, tol=1e-13).fit(X, Y, sample_weight=weight)
    assert_allclose(one.expert_coef_[0], single.coef_, atol=1e-7)
    assert np.abs(weighted.expert_coef_ - mixture().fit(X, Y).expert_coef_).max() > 1e-4


def test_sparse_and_dense_tables_give_the_same_fit():
    table = np.where(np.abs(X) > 1, X, 0.0)
    dense = mixture(1, tol=1e-12).fit(table, Y)
    from_sparse = mixture(1, tol=1e-12).fit(sparse.csr_array(table), Y)
    assert_allclose(from_sparse.predict(table), dense.predict(table), rtol=1e-3)


# --- the predictive distribution --------------------------------------------------------------


def test_the_distribution_is_a_mixture_of_poissons(moe):
    gate, means = moe.predict_gate(X[:50]), moe.predict_experts(X[:50])
    dist = moe.predict_dist(X[:50])
    counts = np.arange(0, 200)
    pmf = (gate[..., None] * stats.poisson.pmf(counts, means[..., None])).sum(axis=1)
    assert_allclose(dist.pmf(np.tile(counts, (50, 1))), pmf, atol=1e-12)
    assert_allclose(dist.mean, moe.predict(X[:50]))
    assert_allclose(dist.logpmf(Y[:50]), moe.score_samples(X[:50], Y[:50]))
    assert_allclose(dist.crps(Y[:50]), (np.square(pmf.cumsum(1) - (counts >= Y[:50, None]))).sum(1))


def test_intervals_and_quantiles_are_counts_that_cover(moe):
    interval = moe.predict_interval(X, coverage=0.9)
    assert (interval == np.round(interval)).all()
    assert (interval >= 0).all()
    inside = (interval[:, 0] <= Y) & (interval[:, 1] >= Y)
    assert 0.88 < inside.mean() < 0.97  # counts cover at least as much as they should
    assert (moe.predict_quantile(X, 0.5) == np.round(moe.predict_quantile(X, 0.5))).all()
    draws = moe.sample(X, 200, random_state=0)
    assert_allclose(draws.mean(), moe.predict(X).mean(), rtol=0.02)
    assert neg_crps_scorer(moe, X, Y) < 0


def test_routing_leaves_one_component():
    routed = mixture(top_k=1).fit(X, Y)
    dist = routed.predict_dist(X)
    assert_allclose(dist.mean, routed.predict(X))
    assert ((dist.weights > 0).sum(axis=1) == 1).all()


# --- inference and words ----------------------------------------------------------------------


def numerical_standard_errors(moe):
    """From second differences of the penalised log-likelihood in the coefficients."""
    # Experts one after the other, intercept first, and the gate's contrast of two experts.
    start = np.concatenate(
        [
            np.column_stack([moe.expert_intercept_, moe.expert_coef_]).ravel(),
            moe.gate_intercept_[:1] * 2,
            moe.gate_coef_[0] * 2,
        ]
    )
    scale = X.std(axis=0)

    def objective(values):
        experts, gate = values[:6].reshape(2, 3), values[6:]
        log_mean = experts[:, :1] + experts[:, 1:] @ X.T
        logit = gate[0] + X @ gate[1:]
        log_gate = np.stack([-np.logaddexp(0, -logit), -np.logaddexp(0, logit)])
        joint = log_gate + stats.poisson.logpmf(Y, np.exp(log_mean))
        penalty = 0.05 * np.square(experts[:, 1:] * scale).sum()
        penalty += 0.5 * np.square(gate[1:] * scale).sum() / 2
        return np.logaddexp.reduce(joint).sum() - penalty

    size, step = len(start), 1e-4
    hessian = np.empty((size, size))
    unit = np.eye(size) * step
    for i in range(size):
        for j in range(size):
            hessian[i, j] = (
                objective(start + unit[i] + unit[j])
                - objective(start + unit[i] - unit[j])
                - objective(start - unit[i] + unit[j])
                + objective(start - unit[i] - unit[j])
            ) / (4 * step**2)
    return np.sqrt(np.diag(np.linalg.inv(-hessian)))


def test_standard_errors_equal_second_differences():
    fitted = mixture(tol=1e-12, max_iter=1000).fit(X, Y)
    result = fitted.inference(X, Y, gate_reference=1)
    expected = numerical_standard_errors(fitted)
    assert_allclose(result.standard_errors[:9], expected, rtol=1e-3)
    assert result.reasons[:9] == [""] * 9
    assert [term.name for term in result.terms[:3]] == ["(Intercept)", "x0", "x1"]


@pytest.mark.parametrize("method", ["sandwich", "bootstrap"])
def test_other_errors_are_near_those_of_the_observed_information(moe, method):
    observed = moe.inference(X, Y).standard_errors[:6]
    options = {"n_bootstrap": 30, "random_state": 0} if method == "bootstrap" else {}
    other = moe.inference(X, Y, method=method, **options).standard_errors[:6]
    assert_allclose(other, observed, rtol=0.5)


@pytest.mark.parametrize("gate", ["softmax", "constant"])
def test_explain_gives_the_derivative_of_the_prediction(gate):
    fitted = mixture(gate=gate).fit(X, Y)
    explanation, step = fitted.explain(X[:20]), 1e-5
    for j, unit in enumerate(np.eye(2)):
        sides = [fitted.predict(X[:20] + sign * step * unit) for sign in (1, -1)]
        derivative = (sides[0] - sides[1]) / (2 * step)
        found = explanation.slope[:, j] + explanation.gate_effect[:, j]
        assert_allclose(found, derivative, rtol=1e-5, atol=1e-6)


def test_texts_write_the_link(moe):
    text = export_text(moe)
    assert "expected y = exp(" in text
    assert "expert 0 (poisson)" in text
    assert "exp(linear predictor)" in str(moe.summary(X, Y))


def test_displays_draw_counts(moe):
    experts = ExpertsDisplay.from_estimator(moe, X, Y, features=0)
    assert_allclose(experts.y, Y)
    calibration = CalibrationDisplay.from_estimator(moe, X, Y)
    assert_allclose(calibration.coverage, calibration.nominal, atol=0.1)


# --- other ways to fit, and to keep a fit -----------------------------------------------------


def test_blocks_streams_and_checkpoints(moe, tmp_path):
    def blocks():
        return ((X[i : i + 200], Y[i : i + 200]) for i in range(0, 900, 200))

    in_blocks = mixture().fit(RowBlocks(blocks))
    assert_allclose(in_blocks.lower_bound_, moe.lower_bound_, atol=1e-4)
    kept = fit_with_checkpoints(mixture(), X, Y, path=tmp_path / "fit", every=2)
    assert (kept.expert_coef_ == moe.expert_coef_).all()
    stream = mixture()
    for _ in range(8):
        for i in range(0, 900, 150):
            stream.partial_fit(X[i : i + 150], Y[i : i + 150])
    gap = moe.score_samples(X, Y).mean() - stream.score_samples(X, Y).mean()
    assert gap < 0.01


def test_blocks_with_impossible_counts_are_refused():
    def blocks():
        yield X[:100], Y[:100]
        yield X[100:200], np.where(np.arange(100) == 3, -1, Y[100:200])

    with pytest.raises(ValueError, match=r"block 1: y must hold counts.*row 3 holds -1"):
        mixture().fit(RowBlocks(blocks))
    with pytest.raises(ValueError, match="row 1 holds -1"):
        mixture().partial_fit(X[:100], Y[:100]).partial_fit(X[:5], [0, -1, 2, 3, 4])


def test_documents_and_onnx(moe):
    runtime = pytest.importorskip("onnxruntime")
    same = MixtureOfExpertsRegressor.from_dict(json.loads(json.dumps(moe.to_dict())))
    assert (same.predict(X) == moe.predict(X)).all()
    model = to_onnx(moe, X[:1]).SerializeToString()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (predicted,) = session.run(None, {session.get_inputs()[0].name: X})
    assert_allclose(predicted[:, 0], moe.predict(X), rtol=1e-9)


def test_selection_averages_and_warm_starts(moe):
    assert mixture("auto").fit(X, Y).n_experts_ == 2
    assert mixture("bic").fit(X, Y).n_experts_ == 2
    averaged = mixture(combine="average", n_init=3).fit(X, Y)
    assert averaged.n_experts_ == 6
    assert averaged.predict_interval(X[:5]).shape == (5, 2)
    halves = mixture(max_iter=60, warm_start=True).fit(X, Y)
    assert_allclose(halves.fit(X, Y).lower_bound_, moe.lower_bound_, atol=1e-4)


def test_paths_of_scikit_learn(moe):
    pipeline = make_pipeline(StandardScaler(), mixture())
    search = GridSearchCV(pipeline, {"mixtureofexpertsregressor__n_experts": [1, 2]}, cv=2)
    search.fit(X, Y)
    assert search.best_params_["mixtureofexpertsregressor__n_experts"] == 2
    assert cross_val_predict(mixture(), X, Y, cv=2).shape == Y.shape
    assert clone(moe).family == "poisson"


def test_outputs_swapped_are_answers_swapped():
    both = np.column_stack([Y, np.random.default_rng(1).poisson(3.0, size=len(Y))])
    one, other = (mixture(tol=1e-9).fit(X, y) for y in (both, both[:, ::-1]))
    assert one.expert_coef_.shape == (2, 2, 2)
    assert_allclose(one.predict(X), other.predict(X)[:, ::-1], rtol=1e-4)
    assert_allclose(one.predict_interval(X), other.predict_interval(X)[..., ::-1])
    errors = one.inference(X, both).standard_errors
    assert np.isfinite(errors).all()


# --- objects, lists and bad input -------------------------------------------------------------


def test_objects_and_lists_of_one_family(moe):
    for options in (
        {"expert": GeneralizedLinearExperts(alpha=0.1)},
        {"family": ["poisson", "poisson"]},
        {"family": Poisson()},
    ):
        fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
        same = MixtureOfExpertsRegressor(2, **fixed | options).fit(X, Y)
        assert (same.expert_coef_ == moe.expert_coef_).all()
    stiff = MixtureOfExpertsRegressor(2, expert=GeneralizedLinearExperts(alpha=1e4), random_state=0)
    assert np.abs(stiff.fit(X, Y).expert_coef_).max() < 0.5


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(np.arange(900) == 7, -1, Y), 'for family="poisson"; row 7 holds -1'),
        (Y + 0.5, r"counts, which are non-negative integers, .* row 0 holds"),
    ],
)
def test_targets_that_are_no_counts(y, message):
    fresh = mixture()
    with pytest.raises(ValueError, match=message):
        fresh.fit(X, y)
    assert not hasattr(fresh, "expert_coef_")


def test_families_of_the_other_task_and_mixed_lists():
    with pytest.raises(TypeError, match="family"):
        MixtureOfExpertsClassifier(2, family="poisson")
    with pytest.raises(ValueError, match=r"expert\[0\] must be one of .*; got 'poisson'"):
        MixtureOfExpertsRegressor(2, expert=["poisson", "linear"]).fit(X, Y)


def test_counts_that_are_all_zero_or_very_large():
    zero = mixture().fit(X, np.zeros(len(X)))
    assert (zero.predict(X) < 1e-3).all()
    assert (zero.predict_interval(X) == 0).all()
    large = np.random.default_rng(2).poisson(np.exp(12.0 + X[:, 0]))
    fitted = mixture().fit(X, large)
    assert fitted.score(X, large) > 0.99
    far = fitted.predict(X * 1e6)
    assert np.isfinite(far).all()
