"""Weights arrive wherever rows go: containers, files, streams, estimators and transformers.

One expert is compared with the weighted fit of scikit-learn, and estimators write down the weights
that they are given.
"""

import warnings
from contextlib import nullcontext
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import log_softmax
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.parameters.tasks import estimate_noise_variance
from skmoe.data import RowBlocks
from skmoe.exceptions import FitMismatchWarning, WeightsWarning
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly, loads
from support.recording_estimators import (
    Log,
    RecordingClassifier,
    RecordingRegressor,
    RecordingTransformer,
    by_number,
)

N = 120


@cache
def table():
    """Features, and fractional weights that matter: heavy rows follow another rule."""
    rng = np.random.default_rng(0)
    X, weight = rng.uniform(-1, 1, size=(N, 2)), rng.uniform(0.1, 5.0, size=N)
    return X, weight, np.where(weight > 2.5, 1.0, -1.0) * X[:, 0] + 0.5 * X[:, 1]


@cache
def target(kind):
    _, _, signal = table()
    rng = np.random.default_rng(1)
    if kind == "counts":
        return rng.poisson(np.exp(1.0 + signal)).astype(float)
    if kind == "classes":
        return np.array(["no", "yes"])[(signal + 0.3 * rng.logistic(size=N) > 0).astype(int)]
    return signal + 0.3 * rng.normal(size=N)


def single(kind, **options):
    """One expert, of maximum likelihood but for classes, whose penalty is one."""
    given = {"n_experts": 1, "random_state": 0, "tol": 1e-10, "gate_alpha": 1.0, "n_init": 1}
    if kind == "classes":
        return MixtureOfExpertsClassifier(**given | {"alpha": 1.0} | options)
    given |= {"alpha": 1e-9, "family": "poisson" if kind == "counts" else "normal"}
    return MixtureOfExpertsRegressor(**given | options)


def statements(moe, X):
    return moe.predict_proba(X) if hasattr(moe, "predict_proba") else moe.predict(X)


@cache
def reference(kind, weighted=True):
    """The weighted fit of scikit-learn."""
    X, weight, _ = table()
    weight = weight if weighted else np.ones(N)
    if kind == "classes":  # the penalty is that of standardised features
        scale = np.sqrt(np.cov(X.T, aweights=weight, ddof=0).diagonal())
        model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000)
        return model.fit(X / scale, target(kind), sample_weight=weight).predict_proba(X / scale)
    model = LinearRegression() if kind == "numbers" else PoissonRegressor(alpha=0.0, tol=1e-12)
    return model.fit(X, target(kind), sample_weight=weight).predict(X)


# --- ways in ------------------------------------------------------------------------------------


def by_arrays(moe, X, y, weight, folder):
    return moe.fit(X, y, sample_weight=weight)


def by_blocks(moe, X, y, weight, folder):
    parts = [tuple(values[i : i + 40] for values in (X, y, weight)) for i in range(0, N, 40)]
    return moe.fit(RowBlocks(lambda: iter(parts)))


def by_arrays_in_blocks(moe, X, y, weight, folder):
    return moe.fit(RowBlocks.from_arrays(X, y, sample_weight=weight))


def by_npy(moe, X, y, weight, folder):
    names = {"X": X, "y": y.astype("U3") if y.dtype.kind == "U" else y, "weight": weight}
    for name, values in names.items():
        for i, part in enumerate(np.array_split(values, 2)):
            np.save(folder / f"{name}{i}.npy", part)
    X, y, weight = ([folder / f"{name}{i}.npy" for i in range(2)] for name in names)
    return moe.fit(RowBlocks.from_npy(X, y, sample_weight=weight))


def by_parquet(moe, X, y, weight, folder):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=y, w=weight)
    frame.to_parquet(folder / "rows.parquet", row_group_size=40)
    moe.fit(RowBlocks.from_parquet(folder / "rows.parquet", "y", sample_weight="w"))
    assert list(moe.feature_names_in_) == ["a", "b"]
    del moe.feature_names_in_  # asked about arrays below
    return moe


def by_memory_map(moe, X, y, weight, folder):
    np.save(folder / "X.npy", X)
    return moe.fit(np.load(folder / "X.npy", mmap_mode="r"), y, sample_weight=weight)


def by_dask(moe, X, y, weight, folder):
    dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")
    X, y, weight = (da.from_array(v, chunks=(50, *v.shape[1:])) for v in (X, y, weight))
    with dask.config.set(scheduler="synchronous"):
        return moe.fit(X, y, sample_weight=weight)


def by_warm_start(moe, X, y, weight, folder):
    return (
        moe.set_params(warm_start=True)
        .fit(X, y, sample_weight=weight)
        .fit(X, y, sample_weight=weight)
    )


def by_stream(moe, X, y, weight, folder):
    if hasattr(moe, "predict_proba"):
        return moe.partial_fit(X, y, classes=np.unique(y), sample_weight=weight)
    return moe.partial_fit(X, y, sample_weight=weight)


WAYS = [
    by_arrays,
    by_blocks,
    by_arrays_in_blocks,
    by_npy,
    by_parquet,
    by_memory_map,
    by_dask,
    by_warm_start,
    by_stream,
]


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *(("numbers", way) for way in WAYS),
        *(("counts", way) for way in (by_arrays, by_blocks, by_stream)),
        *(("classes", way) for way in (by_arrays, by_blocks, by_npy, by_parquet, by_stream)),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_one_expert_is_the_weighted_fit_of_scikit_learn(kind, way, tmp_path):
    X, weight, _ = table()
    moe = way(single(kind), X, target(kind), weight, tmp_path)
    assert_allclose(statements(moe, X), reference(kind), atol=2e-4)
    assert np.abs(reference(kind) - reference(kind, weighted=False)).max() > 0.05


@pytest.mark.parametrize(
    "way",
    [by_arrays, by_blocks, by_dask, by_warm_start, by_stream],
    ids=lambda way: way.__name__,
)
def test_weights_change_several_experts(way, tmp_path):
    X, weight, _ = table()
    gates = []
    for name, weights in (("weighted", weight), ("plain", np.ones(N))):
        folder = tmp_path / name
        folder.mkdir()
        moe = single("numbers", n_experts=2, gate_alpha=0.1, tol=1e-5, max_iter=200)
        gates.append(way(moe, X, target("numbers"), weights, folder).predict_gate(X))
    assert np.abs(gates[0] - gates[1]).max() > 1e-3


@pytest.mark.parametrize(("weight", "slope"), [(10.0, -1.0), (0.01, 1.0)])
def test_the_past_of_a_stream_fades_by_weight(weight, slope):
    """A batch of great weight follows another rule: what was before is forgotten, or not."""
    X, _, _ = table()
    moe = single("numbers", alpha=0.1)
    for sign, own in ((1.0, 1.0), (-1.0, weight)):
        moe.partial_fit(X, sign * X[:, 0], sample_weight=np.full(N, own), half_life=100.0)
    assert_allclose(moe.expert_coef_[0], [slope, 0.0], atol=0.1)


# --- estimators and transformers ----------------------------------------------------------------

# The expert, and the estimator that one of them is.
ESTIMATORS = {
    "tree": ("tree", DecisionTreeRegressor(min_samples_leaf=2, random_state=0), "numbers"),
    "pipeline": (make_pipeline(StandardScaler(), Ridge(0.1)),) * 2 + ("numbers",),
    "tree of classes": (
        "tree",
        DecisionTreeClassifier(min_samples_leaf=10, random_state=0),
        "classes",
    ),
    "logistic pipeline": (make_pipeline(StandardScaler(), LogisticRegression()),) * 2
    + ("classes",),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_estimator_is_its_weighted_fit(name):
    expert, model, kind = ESTIMATORS[name]
    X, weight, _ = table()
    X = np.round(X, 1) + 1e-3 * np.arange(N)[:, None]  # cuts of trees do not depend on the order
    moe = single(kind, expert=expert, cross_fit=False)
    moe = moe.set_params(family="normal") if kind == "numbers" else moe
    found = statements(fit_quietly(moe, X, target(kind), sample_weight=weight), X)
    last = f"{model.steps[-1][0]}__" if hasattr(model, "steps") else ""
    given = {f"{last}sample_weight": weight}
    expected = statements(clone(model).fit(X, target(kind), **given), X)
    without = statements(clone(model).fit(X, target(kind)), X)
    if kind == "classes":  # no probability is below a thousandth
        expected = 0.998 * expected + 0.001
    assert_allclose(found, expected, atol=1e-6)
    assert np.abs(without - expected).max() > 0.01


def numbered(X):
    return np.column_stack([np.arange(len(X)), X])


def recording(kind, log, **options):
    """A mixture, and an estimator that writes down its weights."""
    recorder = RecordingClassifier(log) if kind == "classes" else RecordingRegressor(log)
    return single(kind, n_experts=2, max_iter=2, **options), recorder


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["", "pipeline"])
@pytest.mark.parametrize(
    ("kind", "cross_fit", "n_folds"), [("numbers", 5, 5), ("numbers", False, 1), ("classes", 3, 3)]
)
def test_rows_arrive_with_their_responsibilities_times_weights(
    kind, cross_fit, n_folds, in_pipeline
):
    X, weight, _ = table()
    weight = np.where(np.arange(N) % 10 == 0, 0.0, weight)
    log, resp = Log(), np.random.default_rng(1).dirichlet([2.0, 2.0], size=N)
    moe, expert = recording(kind, log, init=resp, cross_fit=cross_fit)
    expert = make_pipeline("passthrough", expert) if in_pipeline else expert
    fit_quietly(moe.set_params(expert=expert), numbered(X), target(kind), sample_weight=weight)
    for i, entry in enumerate(log.fits()[: 2 * n_folds]):
        numbers, given = by_number(entry, "weight")
        assert_allclose(given, (weight * resp[:, i // n_folds])[numbers])
        assert (weight[numbers] > 0).all()


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["", "pipeline"])
@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_a_base_is_fitted_with_the_weights(kind, in_pipeline):
    X, weight, _ = table()
    log = Log()
    moe, base = recording(kind, log)
    base = make_pipeline("passthrough", base) if in_pipeline else base
    fit_quietly(moe.set_params(base=base), numbered(X), target(kind), sample_weight=weight)
    assert len(log.fits()) == 6  # of five folds and all rows
    for entry in log.fits():
        numbers, given = by_number(entry, "weight")
        assert_allclose(given, weight[numbers])


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_a_base_gets_weights_only_where_some_are_not_one(kind):
    """Some estimators take a slow path with any weights."""
    X, _, _ = table()
    X, y = numbered(X), target(kind)

    def fits_of_base(rows, **given):
        log = Log()
        moe, base = recording(kind, log)
        fit_quietly(moe.set_params(base=base), X[rows], y[rows], **given)
        return log.fits()

    for given in ({}, {"sample_weight": np.ones(N)}):
        assert all("weight" not in entry for entry in fits_of_base(np.arange(N), **given))
    # A row that is there twice has the weight two, in all fits but the one that leaves it out.
    for entry in fits_of_base(np.append(np.arange(N), 7)):
        numbers = entry["X"][:, 0]
        assert ("weight" in entry) == (7 in numbers)
        if 7 in numbers:
            assert_allclose(entry["weight"], np.where(numbers == 7, 2.0, 1.0))


def test_a_transformer_of_the_gate_is_fitted_with_the_weights():
    X, weight, _ = table()
    log = Log()
    moe = single("numbers", n_experts=2, gate=SoftmaxGate(transformer=RecordingTransformer(log)))
    fit_quietly(moe, numbered(X), target("numbers"), sample_weight=weight)
    (entry,) = log.fits()
    numbers, given = by_number(entry, "weight")
    assert (numbers == np.arange(N)).all()
    assert_allclose(given, weight)


# --- noise, criteria and numbers ----------------------------------------------------------------


def test_noise_is_that_of_weighted_fits_of_other_rows():
    X, weight, _ = table()
    rng = np.random.default_rng(2)
    Y = np.stack([np.abs(X[:, 0]), X[:, 1]]) + rng.normal(size=(2, N)) * [[0.05], [0.4]]
    Y[:, weight > 2.5] += rng.normal(size=(2, (weight > 2.5).sum()))
    order, fold = np.random.default_rng(0).permutation(N), np.empty(N, dtype=int)
    fold[order] = np.arange(N) % 3
    errors, relative = [], weight / weight.mean()
    for model in (Ridge(alpha=1e-3), DecisionTreeRegressor(min_samples_leaf=3, random_state=0)):
        # Rows in the order of the folds, which decides ties of the tree.
        told = cross_val_predict(
            model,
            X[order],
            Y[:, order].T,
            cv=PredefinedSplit(fold[order]),
            params={"sample_weight": relative[order]},
        )
        errors.append(np.average((told - Y[:, order].T) ** 2, axis=0, weights=weight[order]))
    expected = np.minimum(np.minimum(*errors), 1.0)
    assert_allclose(estimate_noise_variance(X, Y, weight), expected, rtol=1e-8)
    assert np.abs(expected / estimate_noise_variance(X, Y, np.ones(N)) - 1).max() > 0.05
    light = np.arange(N) % 2 == 0  # rows of vanishing weight are not noisy
    exact = np.where(light, Y[0], X[:, 0])[None]
    assert estimate_noise_variance(X, exact, np.where(light, 1e-7, 1.0))[0] < 1e-2


@cache
def weighted_pair():
    X, weight, _ = table()
    moe = single("numbers", n_experts=2, alpha=0.1, tol=1e-5)
    return fit_quietly(moe, X, target("numbers"), sample_weight=weight)


def joint_log_density(moe, X, y):
    """Log joint density of expert and y from the fitted attributes, (n, K)."""
    log_gate = log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
    means = X @ moe.expert_coef_.T + moe.expert_intercept_
    return log_gate + norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_))


@pytest.mark.parametrize("weighted", [True, False])
def test_criteria_are_weighted(weighted):
    X, weight, _ = table()
    y, moe = target("numbers"), weighted_pair()
    weight = weight if weighted else np.ones(N)
    joint = joint_log_density(moe, X, y)
    log_density = np.logaddexp.reduce(joint, axis=1)
    resp = np.exp(joint - log_density[:, None])
    log_likelihood, n_parameters = weight @ log_density, 2 * 4 + 3
    bic = n_parameters * np.log(weight.sum()) - 2 * log_likelihood
    entropy = -(weight[:, None] * resp * np.log(resp)).sum()
    expected = [2 * n_parameters - 2 * log_likelihood, bic, bic + 2 * entropy]
    given = {"sample_weight": weight} if weighted else {}
    without = nullcontext() if weighted else pytest.warns(FitMismatchWarning, match="sample_weight")
    with without:
        found = [getattr(moe, name)(X, y, **given) for name in ("aic", "bic", "icl")]
    assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_shares_loads_and_effective_rows_are_weighted():
    X, weight, _ = table()
    y, moe = target("numbers"), weighted_pair()
    gate = moe.predict_gate(X)
    assert_allclose(moe.weights_, weight @ gate / weight.sum())
    assert_allclose(loads(moe), np.bincount(gate.argmax(axis=1), weight, minlength=2))
    joint = joint_log_density(moe, X, y)
    resp = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    rows = [expert.rows for expert in moe.summary(X, y, sample_weight=weight).experts]
    assert_allclose(rows, weight @ resp)


def normal_scores(train, test):
    """Log densities of rows by a weighted least-squares fit of others."""
    X, weight, _ = table()
    y = target("numbers")
    model = LinearRegression().fit(X[train], y[train], sample_weight=weight[train])
    variance = np.average((y[train] - model.predict(X[train])) ** 2, weights=weight[train])
    return norm.logpdf(y[test], model.predict(X[test]), np.sqrt(variance))


def test_numbers_of_experts_are_chosen_by_weighted_scores():
    """Those of one expert are the weighted BIC, and the weighted mean over held-out groups."""
    X, weight, _ = table()
    options = {"dispersion_prior": 0.0, "max_iter": 1}
    moe = fit_quietly(
        single("numbers", n_experts="bic", **options), X, target("numbers"), sample_weight=weight
    )
    log_likelihood = weight @ normal_scores(np.arange(N), np.arange(N))
    expected = 4 * np.log(weight.sum()) - 2 * log_likelihood
    assert_allclose(-moe.n_experts_scores_[0], expected, rtol=1e-6)
    groups, scores = np.arange(N) % 3, np.empty(N)
    moe = single("numbers", n_experts=[1, 2], expert=Ridge(1e-9), cross_fit=False, **options)
    fit_quietly(moe, X, target("numbers"), sample_weight=weight, groups=groups)
    for fold in range(3):
        scores[groups == fold] = normal_scores(groups != fold, groups == fold)
    expected = np.average(scores, weights=weight)
    assert_allclose(moe.n_experts_scores_[0], expected, rtol=1e-6)
    assert abs(scores.mean() - expected) > 0.01


@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_a_bootstrap_of_heavy_rows_is_that_of_many_rows():
    X, _, _ = table()
    X, y = X[:40], target("numbers")[:40]
    weight = np.full(40, 9.0)
    moe = single("numbers", dispersion_prior=0.0).fit(X, y, sample_weight=weight)
    result = moe.inference(
        X, y, sample_weight=weight, method="bootstrap", n_bootstrap=40, random_state=0
    )
    design = np.column_stack([np.ones(40), X])
    covariance = moe.noise_variance_[0] * np.linalg.inv(9.0 * design.T @ design)
    assert_allclose(result.standard_errors[:3], np.sqrt(np.diag(covariance)), rtol=0.3)


# --- what weights are taken for -----------------------------------------------------------------


def warned(action, *data, **given):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action(*data, **given)
    return result, [str(w.message) for w in caught if w.category is WeightsWarning]


@pytest.mark.parametrize(
    ("weight", "doubt"),
    [
        (np.linspace(15.0, 44.0, N), "not whole numbers"),
        (np.resize([1.0, 99.0], N), f"sum, {50 * N:g}, is far from the number of rows, {N}"),
        (np.resize([1.0, 2.0], N), ""),
        (np.ones(N), ""),
    ],
)
def test_summaries_name_the_kind_of_weights(weight, doubt):
    """Sampling weights and averages are named with the way to their standard errors."""
    X, y = table()[0], target("numbers")
    moe = fit_quietly(MixtureOfExpertsRegressor(1), X, y, sample_weight=weight)
    given = {"sample_weight": weight}
    for method in ("summary", "inference"):
        _, texts = warned(getattr(moe, method), X, y, **given)
        assert len(texts) == bool(doubt)
        for text in texts:
            assert text.startswith(f"{method} took sample_weight as frequencies")
            assert doubt in text
            for word in ("sampling weights", "average", "cluster=np.arange(len(y))"):
                assert word in text
        by_row = {"method": "sandwich", "cluster": np.arange(N)}
        assert warned(getattr(moe, method), X, y, **given, **by_row)[1] == []
    summary, _ = warned(moe.summary, X, y, **given)
    is_weighted = bool((weight != 1.0).any())
    assert summary.facts.get("weights") == ("frequencies" if is_weighted else None)
    assert ("a row of weight 2 counts as two rows" in " ".join(summary.notes)) == is_weighted


@pytest.mark.parametrize("kind", ["classes", "counts"])
def test_large_frequencies_of_discrete_values_are_plausible(kind):
    X, weight = table()[0], np.full(N, 20.0)
    moe = MixtureOfExpertsClassifier(1) if kind == "classes" else poisson()
    moe = fit_quietly(moe, X, target(kind), sample_weight=weight)
    assert warned(moe.summary, X, target(kind), sample_weight=weight)[1] == []


def poisson():
    return MixtureOfExpertsRegressor(1, family="poisson")


def test_errors_of_clusters_do_not_depend_on_the_unit_of_weights():
    """Those of sampling weights and of averages: the sandwich of scikit-learn's own residuals."""
    X, y, weight = table()[0], target("numbers"), np.linspace(1.0, 9.0, N)
    design = np.column_stack([X, np.ones(N)])
    residual = y - LinearRegression().fit(X, y, sample_weight=weight).predict(X)
    bread = np.linalg.inv((design * weight[:, None]).T @ design)
    scores = design * (weight * residual)[:, None]
    expected = np.sqrt(np.diag(bread @ scores.T @ scores @ bread))
    for factor in (0.1, 1.0, 10.0):
        moe = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0)
        given = {"sample_weight": factor * weight}
        inference = fit_quietly(moe, X, y, **given).inference(
            X, y, **given, method="sandwich", cluster=np.arange(N)
        )
        assert_allclose(np.sort(inference.standard_errors[:3]), np.sort(expected), rtol=0.03)
