"""What works with which family: short fits of each pair, which check what they promise.

`tests/benchmarks/capabilities.py` prints them as the table of the user guide.
"""

import re
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks, interval_censored, right_censored
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from support.expert_kinds import draw, example, options_of
from support.fits import FIXED, fit_quietly

# Names of rows of the table, and the parameter `family`; classes have none.
ROWS = {name: options_of(name)["family"] for name in FAMILIES if FAMILIES[name].link} | {
    "zero and poisson": ["zero", "poisson"],
    "zero and gamma": ["zero", "gamma"],
    "normal and uniform": ["normal", "uniform"],
    "classes": [],
}
WITH_DISPERSION = [name for name in ROWS if name in FAMILIES and example(name).has_dispersion]
WITH_DISPERSION += ["zero and gamma", "normal and uniform"]
# Suffix of rows whose dispersions depend on a feature.
BY_FEATURES = ", dispersion features"
N_ROWS = 60


@cache
def table(row, n_outputs=1):
    """Features, and a target that the family can have, with some zeros or outliers in lists."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N_ROWS, 2))
    family = ROWS[row.removesuffix(BY_FEATURES)]
    if not family:
        y = (np.abs(X[:, 0]) + rng.logistic(0.0, 0.1, size=N_ROWS) > 0.5).astype(int)
        return X, y if n_outputs == 1 else np.column_stack([y] * n_outputs)
    names = family if isinstance(family, list) else [getattr(family, "name", family)]
    main = next(name for name in names if FAMILIES[name].link)
    Y = np.column_stack([draw(main, 1.0 + np.abs(X[:, 0]), rng) for _ in range(n_outputs)])
    if "zero" in names:
        Y[rng.uniform(size=N_ROWS) < 0.3] = 0.0
    if "uniform" in names:
        Y[:12] = rng.uniform(-10, 10, size=(12, n_outputs))
    return X, Y[:, 0] if n_outputs == 1 else Y


def mixture(row, **options):
    fixed = FIXED | {"n_init": 1, "max_iter": 5, "random_state": 0}
    if row.endswith(BY_FEATURES):
        fixed["dispersion_features"] = [1]
    family = ROWS[row.removesuffix(BY_FEATURES)]
    if not family:
        fixed.pop("dispersion_prior")
        return MixtureOfExpertsClassifier(2, **fixed | options)
    return MixtureOfExpertsRegressor(2, family=family, **fixed | options)


def assert_predicts_its_distribution(moe, X, rtol=1e-9):
    if hasattr(moe, "classes_"):
        assert_array_equal(moe.predict(X), moe.predict_proba(X).argmax(axis=1))
    else:
        assert_allclose(moe.predict_dist(X).mean, moe.predict(X), rtol=rtol, atol=1e-9)


@cache
def fitted(row):
    """The mixture of a row of the table, which no test changes."""
    return fit_quietly(mixture(row), *table(row))


def intervals(row):
    X, y = table(row)
    low, high = fitted(row).predict_interval(X[::2], 0.9).T
    assert np.mean((low <= y[::2]) & (y[::2] <= high)) > 0.75
    assert np.isfinite(fitted(row).predict_dist(X[:5]).crps(y[:5])).all()


def standard_errors(row, method="observed"):
    X, y = table(row)
    moe = fit_quietly(mixture(row, max_iter=60), X, y)  # the information is that of a maximum
    result = moe.inference(X, y, method=method, n_bootstrap=2, random_state=0)
    assert np.isfinite(result.standard_errors).any()


def bootstrap(row):
    standard_errors(row, "bootstrap")


def several_outputs(row):
    X, Y = table(row, n_outputs=2)
    start = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]) * 0.8 + 0.1
    if "uniform" in row or "zero" in row:
        start = None
    one, other = (
        fit_quietly(mixture(row, init=start if start is not None else "linear_tree"), X, outputs)
        for outputs in (Y, Y[:, ::-1])
    )
    if start is not None:  # which does not depend on the outputs
        assert_allclose(one.predict(X), other.predict(X)[:, ::-1], rtol=1e-4, atol=1e-4)
        assert_allclose(one.expert_coef_, other.expert_coef_[:, ::-1], rtol=1e-3, atol=1e-4)
    assert one.predict_interval(X[:3]).shape == (3, 2, 2)


def row_blocks(row):
    X, y = table(row)
    blocks = RowBlocks(lambda: ((X[i : i + 40], y[i : i + 40]) for i in (0, 40)))
    in_blocks = fit_quietly(mixture(row), blocks)
    assert_allclose(in_blocks.lower_bound_, fitted(row).lower_bound_, atol=0.05)


def streams(row):
    X, y = table(row)
    moe, first = mixture(row), {"classes": [0, 1]} if row == "classes" else {}
    for rows in (slice(0, 30), slice(30, None)) * 3:
        moe.partial_fit(X[rows], y[rows], **first)
    gap = fitted(row).score_samples(X, y).mean() - moe.score_samples(X, y).mean()
    assert gap < 0.3


def onnx(row):
    runtime = pytest.importorskip("onnxruntime")
    from skmoe.export import to_onnx

    X, _ = table(row)
    options = {"options": {"zipmap": False}} if row == "classes" else {}
    model = to_onnx(fitted(row), X[:1], **options).SerializeToString()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    predicted = session.run(None, {session.get_inputs()[0].name: X})[0]
    assert_allclose(np.ravel(predicted), fitted(row).predict(X), rtol=1e-9, atol=1e-9)


def selected_number(row):
    X, y = table(row)
    moe = mixture(row).set_params(n_experts=[1, 2], max_iter=1, tol=1.0)
    assert fit_quietly(moe, X[:20], y[:20]).n_experts_ >= 1


def routing(row):
    X, y = table(row)
    moe = fit_quietly(mixture(row, gate=SoftmaxGate(top_k=1, balance=0.05)), X, y)
    assert_predicts_its_distribution(moe, X)


def with_predictor(moe):
    """Numbers of the experts with a linear predictor."""
    return np.flatnonzero(~np.isnan(moe.expert_intercept_))


def shared_slopes(row):
    X, y = table(row)
    moe = fit_quietly(mixture(row, shared_features=[1]), X, y)
    slopes = moe.expert_coef_[with_predictor(moe), 1]
    assert_allclose(slopes, slopes[0])
    terms = moe.inference(X[:30], y[:30]).terms
    parts = [term.part for term in terms if term.name == "x1" and term.part != "gate"]
    # The shared slope is one term: of all experts, or of the one that has a predictor.
    assert parts == [
        "all experts" if len(slopes) > 1 else moe.expert_names_[with_predictor(moe)[0]]
    ]


def offsets(row):
    X, y = table(row)
    offset = np.log(np.random.default_rng(1).uniform(0.5, 2.0, size=N_ROWS))
    moe = fit_quietly(mixture(row), X, y, offset=offset)
    assert_allclose(moe.predict(X, offset=offset), np.exp(offset) * moe.predict(X), rtol=1e-9)


def estimators(row):
    X, y = table(row)
    moe = fit_quietly(mixture(row, expert="tree", max_iter=2, cross_fit=2), X, y)
    assert_predicts_its_distribution(moe, X)


def dispersions(row):
    X, y = table(row)
    moe = fit_quietly(mixture(row, dispersion_features=[1]), X, y)
    slopes = moe.expert_dispersion_coef_[:, 1]
    assert np.isfinite(slopes).any()
    assert np.nanmin(np.abs(slopes)) > 0.0


def signs(row):
    X, y = table(row)
    moe = fit_quietly(mixture(row, gate_features=[0], monotonic_cst=[-1, 1]), X, y)
    slopes = moe.expert_coef_[with_predictor(moe)]
    assert (slopes * [-1.0, 1.0] >= 0.0).all()


def known_experts(row):
    X, y = table(row)
    known = (X[:, 0] > 0).astype(int)
    if "zero" in row:
        known = (y > 0.0).astype(int)
    if "uniform" in row:
        known = (np.abs(y) > 3.0).astype(int)
    seen = np.where(np.arange(N_ROWS) % 2 == 0, known, -1)
    moe = fit_quietly(mixture(row), X, y, known_experts=seen)
    prob = moe.responsibilities(X[::2], y[::2], known_experts=seen[::2])
    assert_allclose(prob[np.arange(len(prob)), known[::2]], 1.0)


def triples(y):
    """Units of three rows, of which all are zero or none."""
    is_zero = y == 0.0
    rank = np.where(is_zero, np.cumsum(is_zero), np.cumsum(~is_zero)) - 1
    return rank // 3 + N_ROWS * is_zero


def units(row):
    X, y = table(row)
    given = {"units": triples(y)}
    moe = fit_quietly(mixture(row, gate="constant"), X, y, **given)
    of_units = moe.responsibilities(X, y, **given)
    assert_allclose(of_units.proba.sum(axis=1), 1.0)
    assert len(of_units.labels) == len(np.unique(given["units"]))
    assert np.isfinite(moe.score_samples(X, y, **given)).all()


def random_effects(row):
    X, y = table(row)
    moe = fit_quietly(mixture(row, gate="constant", random_features=[]), X, y, units=triples(y))
    assert np.isfinite(moe.random_covariance_).all()


def series(row):
    X, y = table(row)
    order, shuffled = np.arange(N_ROWS), np.random.default_rng(0).permutation(N_ROWS)
    options = {"gate": "markov", "gate_features": []}
    moe = fit_quietly(mixture(row, **options), X, y, time=order)
    assert_allclose(moe.transition_matrix_.sum(axis=1), 1.0)
    mixed = moe.score_samples(X[shuffled], y[shuffled], time=order[shuffled])
    assert_allclose(mixed, moe.score_samples(X, y, time=order)[shuffled])


def missing_outputs(row):
    X, Y = table(row, n_outputs=2)
    Y = np.where(np.arange(N_ROWS)[:, None] % 5 == [0, 1], np.nan, Y)
    moe = fit_quietly(mixture(row), X, Y)
    assert np.isfinite(moe.score_samples(X, Y)).all()
    # The other output alone has the density of a row of which one is missing.
    of_first = moe.predict_dist(X[1::5]).marginal(0)
    assert_allclose(moe.score_samples(X[1::5], Y[1::5]), log_density(of_first, Y[1::5, 0]))


def log_density(distribution, y):
    """Log density, or log probability of values."""
    return getattr(distribution, "logpdf" if hasattr(distribution, "pdf") else "logpmf")(y)


def limits(y):
    """An upper limit of known values, and which values are below."""
    limit = np.quantile(y, 0.8, method="lower")
    return np.minimum(y, limit), y < limit


def survival(moe, X, y):
    """Log probability of a value that is not smaller."""
    return np.log1p(-moe.predict_dist(X).cdf_left(y))


def censored(row):
    X, y = table(row)
    low, seen = limits(y)
    y = interval_censored(low, np.where(seen, low, np.inf))
    moe = fit_quietly(mixture(row), X, y)
    beyond = survival(moe, X[~seen], low[~seen])
    assert_allclose(moe.score_samples(X[~seen], y[~seen]), beyond, atol=1e-9)


def entries(row):
    X, y = table(row)
    low, seen = limits(y)
    half = np.floor(0.5 * low) if (y == np.round(y)).all() else low - 0.5 * np.abs(low)
    entered = (np.arange(N_ROWS) % 2 == 0) & (half < low)
    later = right_censored(low, seen, entry=np.where(entered, half, -np.inf))
    moe = fit_quietly(mixture(row), X, later)
    plain = moe.score_samples(X, right_censored(low, seen))[entered]
    before = np.log(moe.predict_dist(X[entered]).sf(half[entered]))
    assert_allclose(moe.score_samples(X, later)[entered], plain - before, atol=1e-9)


def averages(row):
    X, y = table(row)
    weights = np.where(X[:, 1] > 0, 2.0, 0.5)
    moe = fit_quietly(mixture(row), X, y, var_weights=weights)
    assert np.isfinite(moe.score_samples(X, y, var_weights=weights)).all()


def covariances(row):
    X, Y = table(row, n_outputs=2)
    moe = fit_quietly(mixture(row, covariance_type="full"), X, Y)
    assert np.abs(moe.expert_covariance_[:, 0, 1]).min() > 0.0


def bases(row):
    X, y = table(row)
    tree = DecisionTreeClassifier if row == "classes" else DecisionTreeRegressor
    moe = mixture(row, base=tree(max_depth=2, min_samples_leaf=10))
    assert_predicts_its_distribution(fit_quietly(moe, X, y), X, rtol=1e-6)


# Names of columns of the table.
CAPABILITIES = {
    "intervals": intervals,
    "standard errors": standard_errors,
    "bootstrap": bootstrap,
    "`units`": units,
    '`gate="markov"`': series,
    "`known_experts`": known_experts,
    "signs": signs,
    "shared slopes": shared_slopes,
    "`top_k`": routing,
    "several outputs": several_outputs,
    "missing y": missing_outputs,
    "censored y": censored,
    "delayed entry": entries,
    "`RowBlocks`": row_blocks,
    "`partial_fit`": streams,
    "search of the number": selected_number,
    "ONNX": onnx,
    "`base`": bases,
    "trees": estimators,
    "`offset`": offsets,
    "dispersion features": dispersions,
    "`var_weights`": averages,
    "full covariance": covariances,
    "random effects": random_effects,
}

# Errors of what does not work give the reason, or are those of Python and scikit-learn.
REFUSED = (ValueError, AttributeError, TypeError)
REASONS = r"needs|cannot|no missing values|has no attribute|unexpected keyword|1d array"


def works(row, capability):
    """Whether a pair works; an error that is no refusal is raised."""
    try:
        CAPABILITIES[capability](row)
    except REFUSED as error:
        if not re.search(REASONS, str(error)):
            raise
        return False
    return True
