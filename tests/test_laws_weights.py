"""Weights arrive wherever rows go, and change what comes back.

A fit with weights is never compared with one of repeated rows, since both are reduced to the same
weighted distinct rows: each is compared with a weighted fit of scikit-learn, with a formula written
here, or with what an estimator that writes down its weights was given.
"""

import warnings
from functools import cache

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from kinds import DISTRIBUTIONS, GENERALIZED, KINDS, draw, maximum_likelihood, options_of
from numpy.testing import assert_allclose
from recorders import (
    Log,
    OutOfBagClassifier,
    OutOfBagRegressor,
    RecordingClassifier,
    RecordingRegressor,
    RecordingTransformer,
    by_number,
)
from regimes import quiet, two_regimes
from scipy import stats
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    GammaRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data import first_pass as first_pass_module
from skmoe._data.block_checks import BlockChecker
from skmoe._data.folds import n_folds_of_models
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.rows import UserRows
from skmoe._estimators import init_rows, n_experts_selection, problem
from skmoe._estimators import row_buffer as buffers
from skmoe._estimators.attributes import warn_collapsed
from skmoe._inference.bootstrap import bootstrap_rows
from skmoe._mixture import initialization
from skmoe._mixture.initialization import INITIALIZERS, bayesian_bootstrap_weights
from skmoe._mixture.model import expert_usage
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.experts._variance_prior import estimate_noise_variance
from skmoe.gates import GATES, SoftmaxGate

N = 150


def table(seed=0, n_rows=N):
    """Features, among them none that is constant, and fractional weights that matter.

    The heavy rows follow another rule than the light ones.
    """
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    weight = rng.uniform(0.1, 5.0, size=n_rows)
    return X, weight, rng


def target(kind, seed=0, n_rows=N):
    """A target of a kind, whose rule depends on the weight of the row."""
    X, weight, rng = table(seed, n_rows)
    signal = np.where(weight > 2.5, 1.0, -1.0) * X[:, 0] + 0.5 * X[:, 1]
    if kind == "numbers":
        return signal + 0.3 * rng.normal(size=n_rows)
    if kind in GENERALIZED:
        return draw(kind, 1.0 + signal, rng)
    return np.array(["no", "yes"])[(signal + 0.3 * rng.logistic(size=n_rows) > 0).astype(int)]


def regressor(n_experts=1, **options):
    return MixtureOfExpertsRegressor(
        n_experts, **({"random_state": 0, "alpha": 1e-9, "tol": 1e-12} | options)
    )


def classifier(n_experts=1, **options):
    return MixtureOfExpertsClassifier(
        n_experts, **({"random_state": 0, "alpha": 1.0, "tol": 1e-12} | options)
    )


# --- one expert is the estimator of scikit-learn ------------------------------------------------


def least_squares(X, y, weight):
    return LinearRegression().fit(X, y, sample_weight=weight).predict(X)


def logistic(X, y, weight, C=1.0):
    scale = np.sqrt(np.cov(X.T, aweights=weight, ddof=0).diagonal())
    model = LogisticRegression(C=C, tol=1e-10, max_iter=1000)
    return model.fit(X / scale, y, sample_weight=weight).predict_proba(X / scale)


def by_scikit_learn(model):
    def predict(X, y, weight):
        fitted = clone(model).set_params(alpha=0.0, tol=1e-12, max_iter=1000)
        return fitted.fit(X, y, sample_weight=weight).predict(X)

    return predict


def by_scipy(name):
    """Means under the maximum of the weighted likelihood."""

    def predict(X, y, weight):
        coef, log_dispersion = maximum_likelihood(name, X, y, weight)
        predictor = X @ coef[:-1] + coef[-1]
        return DISTRIBUTIONS[name](predictor, *np.exp(log_dispersion)).mean()

    return predict


# The fit of scikit-learn, and the target, of each registered family.
REFERENCES = {
    ("linear", "regressor"): (least_squares, "numbers"),
    ("linear", "classifier"): (logistic, "classes"),
    ("poisson", "regressor"): (by_scikit_learn(PoissonRegressor()), "poisson"),
    ("gamma", "regressor"): (by_scikit_learn(GammaRegressor()), "gamma"),
    **{
        (name, "regressor"): (by_scipy(name), name)
        for name in GENERALIZED
        if name not in ("poisson", "gamma")
    },
}


def test_every_family_has_a_reference():
    assert set(REFERENCES) == set(KINDS)


def predictions(moe, X):
    return moe.predict_proba(X) if hasattr(moe, "predict_proba") else moe.predict(X)


def mixture_of(name, task, **options):
    make = regressor if task == "regressor" else classifier
    plain = {"dispersion_prior": 0.0} if "family" in options_of(name) else {}
    return make(**options_of(name), **(plain | options))


@cache
def reference_of(family, weighted=True):
    """Predictions of the reference for the table and the target of its family."""
    reference, kind = REFERENCES[family]
    X, weight, _ = table()
    return reference(X, target(kind), weight if weighted else np.ones(N))


def by_arrays(moe, X, y, weight, tmp_path, monkeypatch):
    return moe.fit(X, y, sample_weight=weight)


def by_blocks(moe, X, y, weight, tmp_path, monkeypatch):
    ends = range(0, len(y), 40)
    blocks = [tuple(values[i : i + 40] for values in (X, y, weight)) for i in ends]
    return moe.fit(RowBlocks(lambda: iter(blocks)))


def by_arrays_in_blocks(moe, X, y, weight, tmp_path, monkeypatch):
    return moe.fit(RowBlocks.from_arrays(X, y, weight))


def by_npy(moe, X, y, weight, tmp_path, monkeypatch):
    names = {"X": X, "y": y, "weight": weight}
    for name, values in names.items():
        for i, part in enumerate(np.array_split(values, 2)):
            np.save(tmp_path / f"{name}{i}.npy", part)
    files = [[tmp_path / f"{name}{i}.npy" for i in range(2)] for name in names]
    return moe.fit(RowBlocks.from_npy(*files))


def by_parquet(moe, X, y, weight, tmp_path, monkeypatch):
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=y, w=weight)
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=40)
    moe.fit(RowBlocks.from_parquet(tmp_path / "rows.parquet", "y", sample_weight="w"))
    assert list(moe.feature_names_in_) == ["a", "b"]
    del moe.feature_names_in_  # asked about arrays below
    return moe


def by_memory_map(moe, X, y, weight, tmp_path, monkeypatch):
    monkeypatch.setattr(init_rows, "MAX_INIT_ROWS", len(y) // 2)
    np.save(tmp_path / "X.npy", X)
    return moe.fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y, sample_weight=weight)


def by_dask(moe, X, y, weight, tmp_path, monkeypatch):
    arrays = [da.from_array(values, chunks=(50, *values.shape[1:])) for values in (X, y, weight)]
    with dask.config.set(scheduler="synchronous"):
        return moe.fit(*arrays)


def by_checkpoints(moe, X, y, weight, tmp_path, monkeypatch):
    return fit_with_checkpoints(moe, X, y, weight, path=tmp_path / "fit.joblib", every=15)


def by_warm_start(moe, X, y, weight, tmp_path, monkeypatch):
    return moe.set_params(warm_start=True).fit(X, y, weight).fit(X, y, weight)


def by_stream(moe, X, y, weight, tmp_path, monkeypatch):
    if hasattr(moe, "predict_proba"):
        return moe.set_params(n_init=1).partial_fit(X, y, np.unique(y), weight)
    return moe.partial_fit(X, y, weight)


ENTRIES = [
    by_arrays,
    by_blocks,
    by_arrays_in_blocks,
    by_npy,
    by_parquet,
    by_memory_map,
    by_dask,
    by_checkpoints,
    by_warm_start,
    by_stream,
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
@pytest.mark.parametrize("family", REFERENCES, ids="-".join)
def test_one_expert_is_a_weighted_fit(family, entry, tmp_path, monkeypatch):
    kind = REFERENCES[family][1]
    X, weight, _ = table()
    y = target(kind)
    if entry is by_npy and kind == "classes":
        y = y.astype("U3")
    expected = reference_of(family)
    moe = entry(mixture_of(*family), X, y, weight, tmp_path, monkeypatch)
    assert_allclose(predictions(moe, X), expected, atol=2e-4)
    assert np.abs(expected - reference_of(family, weighted=False)).max() > 0.05


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
@pytest.mark.parametrize(
    ("family", "gate"),
    # The gates get their rows alike from all families.
    [(family, gate) for family in REFERENCES for gate in GATES if "linear" in (family[0], gate)]
    + [(family, "softmax") for family in REFERENCES if family[0] != "linear"],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_weights_change_several_experts(family, gate, entry, tmp_path, monkeypatch):
    X, weight, _ = table()
    y = target(REFERENCES[family][1])
    answers = []
    for i, weights in enumerate([weight, np.ones(N)]):
        folder = tmp_path / str(i)
        folder.mkdir()
        moe = mixture_of(*family, n_experts=2, gate=gate, n_init=1, tol=1e-4, max_iter=15)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers.append(entry(moe, X, y, weights, folder, monkeypatch).predict_gate(X))
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


# --- estimators as experts ----------------------------------------------------------------------


def imputed_ridge(alpha):
    return make_pipeline(
        SimpleImputer(add_indicator=True), StandardScaler(with_mean=False), Ridge(alpha)
    )


# Experts, and the estimator that one of them is.
ESTIMATORS = {
    "tree": ("tree", DecisionTreeRegressor(min_samples_leaf=2, random_state=0), "numbers"),
    "linear in a list": (["linear"], imputed_ridge(1e-9), "numbers"),
    "estimator": (Ridge(0.1), Ridge(0.1), "numbers"),
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
    expert, single, kind = ESTIMATORS[name]
    X, weight, _ = table()
    X = np.round(X, 1) + 1e-3 * np.arange(N)[:, None]  # cuts of trees do not depend on the order
    y = target(kind)
    task = "classifier" if kind == "classes" else "regressor"
    moe = quiet(mixture_of(expert, task, cross_fit=False), X, y, sample_weight=weight)
    if isinstance(single, DecisionTreeRegressor | DecisionTreeClassifier):
        expected = single.fit(X, y, sample_weight=weight)
        without = single.__class__(**single.get_params()).fit(X, y)
    else:
        last = single.steps[-1][0] if hasattr(single, "steps") else None
        given = {f"{last}__sample_weight" if last else "sample_weight": weight}
        expected = type(single)(**single.get_params(deep=False)).fit(X, y, **given)
    expected = predictions(expected, X)
    if isinstance(single, DecisionTreeRegressor | DecisionTreeClassifier):
        assert np.abs(predictions(without, X) - expected).max() > 0.01
    if kind == "classes":  # no probability is below a thousandth
        expected = 0.998 * expected + 0.001
    assert_allclose(predictions(moe, X), expected, atol=1e-6)
    plain = quiet(mixture_of(expert, task, cross_fit=False), X, y)
    assert np.abs(predictions(plain, X) - predictions(moe, X)).max() > 0.01


RECORDED = {
    "regressor": (RecordingRegressor, regressor, "numbers", {}),
    "regressor in one piece": (RecordingRegressor, regressor, "numbers", {"cross_fit": False}),
    "regressor out of bag": (OutOfBagRegressor, regressor, "numbers", {"cross_fit": "oob"}),
    "classifier": (RecordingClassifier, classifier, "classes", {}),
    "classifier in one piece": (RecordingClassifier, classifier, "classes", {"cross_fit": False}),
    "classifier out of bag": (OutOfBagClassifier, classifier, "classes", {"cross_fit": "oob"}),
}


def numbered(X):
    return np.column_stack([np.arange(len(X)), X])


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["", "pipeline"])
@pytest.mark.parametrize("name", RECORDED)
def test_rows_arrive_with_their_own_weights(name, in_pipeline):
    recorder, make, kind, options = RECORDED[name]
    X, weight, _ = table()
    weight[::10] = 0.0
    log = Log()
    expert = recorder(log)
    if in_pipeline and options.get("cross_fit") != "oob":
        expert = make_pipeline("passthrough", expert)
    resp = np.random.default_rng(1).dirichlet([2.0, 2.0], size=N)
    moe = make(2, expert=expert, init=resp, max_iter=1, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(numbered(X), target(kind), sample_weight=weight)
    n_folds = 1 if "cross_fit" in options else 5
    for i, entry in enumerate(log.fits()[: 2 * n_folds]):
        numbers, given = by_number(entry, "weight")
        assert_allclose(given, (weight * resp[:, i // n_folds])[numbers])
        assert (weight[numbers] > 0).all()


@pytest.mark.parametrize("kind", ["numbers", "classes"])
@pytest.mark.parametrize("in_pipeline", [False, True], ids=["", "pipeline"])
def test_a_base_is_fitted_with_the_weights(kind, in_pipeline):
    X, weight, _ = table()
    log = Log()
    base = RecordingClassifier(log) if kind == "classes" else RecordingRegressor(log)
    base = make_pipeline("passthrough", base) if in_pipeline else base
    moe = (classifier if kind == "classes" else regressor)(2, base=base, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(numbered(X), target(kind), sample_weight=weight)
    assert len(log.fits()) == n_folds_of_models(N) + 1
    for entry in log.fits():
        numbers, given = by_number(entry, "weight")
        assert_allclose(given, weight[numbers])


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_a_base_gets_weights_only_where_some_are_not_one(kind):
    """Some estimators take a slow path with any weights; the base is fitted six times."""
    X, weight, _ = table()
    X, y = numbered(X), target(kind)

    def fits_of_base(rows, **options):
        log = Log()
        base = RecordingClassifier(log) if kind == "classes" else RecordingRegressor(log)
        moe = (classifier if kind == "classes" else regressor)(2, base=base, max_iter=3)
        quiet(moe, X[rows], y[rows], **options)
        assert len(log.fits()) == n_folds_of_models(N) + 1
        return log.fits()

    rows = np.arange(N)
    for options in ({}, {"sample_weight": np.ones(N)}):
        assert all("weight" not in entry for entry in fits_of_base(rows, **options))
    assert all("weight" in entry for entry in fits_of_base(rows, sample_weight=weight))
    # A row that is there twice has the weight two, in all fits but the one that leaves it out.
    for entry in fits_of_base(np.append(rows, 7)):
        numbers = entry["X"][:, 0]
        assert ("weight" in entry) == (7 in numbers)
        if 7 in numbers:
            assert_allclose(entry["weight"], np.where(numbers == 7, 2.0, 1.0))


def test_a_transformer_of_the_gate_is_fitted_with_the_weights():
    X, weight, _ = table()
    log = Log()
    moe = regressor(2, gate=SoftmaxGate(transformer=RecordingTransformer(log)), tol=1e-4)
    quiet(moe, numbered(X), target("numbers"), sample_weight=weight)
    (entry,) = log.fits()
    numbers, given = by_number(entry, "weight")
    assert (numbers == np.arange(N)).all()
    assert_allclose(given, weight)
    scaled = regressor(2, gate=SoftmaxGate(transformer=StandardScaler()), tol=1e-4)
    quiet(scaled, X, target("numbers"), sample_weight=weight)
    scaler = scaled._fitted.preprocessor.extra_features.transformer
    assert_allclose(scaler.mean_, np.average(X, axis=0, weights=weight))


def test_weights_of_classes_and_rows_are_multiplied():
    X, weight, _ = table()
    y = target("classes")
    totals = {label: weight[y == label].sum() for label in ("no", "yes")}
    balanced = {label: weight.sum() / 2 / total for label, total in totals.items()}
    for given, factors in (
        ({"no": 1.0, "yes": 5.0},) * 2,
        ("balanced", balanced),
    ):
        whole = weight * np.array([factors[label] for label in y])
        expected = logistic(X, y, whole, C=1e6)
        moe = classifier(class_weight=given, alpha=1e-6)
        assert_allclose(moe.fit(X, y, weight).predict_proba(X), expected, atol=1e-4)
        in_blocks = classifier(class_weight=given, alpha=1e-6).fit(
            RowBlocks.from_arrays(X, y, weight)
        )
        assert_allclose(in_blocks.predict_proba(X), expected, atol=1e-4)
        assert np.abs(logistic(X, y, weight, C=1e6) - expected).max() > 0.03


# --- noise, starts and samples ------------------------------------------------------------------


def test_the_noise_is_that_of_weighted_fits():
    X, weight, rng = table()
    Y = np.stack([np.abs(X[:, 0]), X[:, 1]]) + rng.normal(size=(2, N)) * [[0.05], [0.4]]
    Y[:, weight > 2.5] += rng.normal(size=(2, (weight > 2.5).sum()))
    order = np.random.default_rng(0).permutation(N)
    fold = np.empty(N, dtype=int)
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
    assert_allclose(estimate_noise_variance(X, Y, weight), expected, rtol=1e-10)
    assert np.abs(expected / estimate_noise_variance(X, Y, np.ones(N)) - 1).max() > 0.05


def test_rows_of_no_noise_to_speak_of_are_not_noisy():
    """A limit: rows of vanishing weight do not count, neither in fits nor in errors."""
    X, _, rng = table(n_rows=400)
    Y = X[:, :1].T.copy()
    light = np.arange(400) % 2 == 0
    Y[:, light] = rng.normal(size=(1, 200))
    weight = np.where(light, 1e-7, 1.0)
    assert estimate_noise_variance(X, Y, weight)[0] < 1e-3


def two_rules(n_rows=200):
    """Heavy rows with a step at -0.4, among light ones with a step at 0.5."""
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, size=(n_rows, 1))
    heavy = np.arange(n_rows) % 4 == 0
    Y = np.where(X[:, 0] > np.where(heavy, -0.4, 0.5), 2.0, -2.0)[None]
    return X, Y + 0.05 * rng.normal(size=Y.shape), heavy


@pytest.mark.parametrize("n_experts", [2, 3])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_starts_do_not_see_rows_of_vanishing_weight(name, n_experts):
    X, Y, heavy = two_rules()
    start = INITIALIZERS[name]
    weight = np.where(heavy, 1.0, 1e-9)
    among = start(X, Y, weight, n_experts, np.random.default_rng(0))[heavy]
    alone = start(X[heavy], Y[:, heavy], weight[heavy], n_experts, np.random.default_rng(0))
    # Cells that nobody heavy lives in take numbers too.
    pairs = set(zip(among.tolist(), alone.tolist(), strict=True))
    assert len(pairs) == len(set(alone.tolist())) == len(set(among.tolist()))
    if name != "kmeans":  # whose cells are told apart below
        blind = start(X, Y, np.ones(len(X)), n_experts, np.random.default_rng(0))[heavy]
        assert len(set(zip(blind.tolist(), alone.tolist(), strict=True))) > len(pairs)


def test_cells_of_k_means_are_around_weighted_means():
    X, weight, rng = table()
    Y = rng.normal(size=(1, N))
    labels = INITIALIZERS["kmeans"](X, Y, weight, 3, np.random.default_rng(0))
    rows = np.column_stack([X, initialization._scaled_targets(X, Y)])

    def nearest(weights):
        means = [
            np.average(rows[labels == k], axis=0, weights=weights[labels == k]) for k in (0, 1, 2)
        ]
        return np.square(rows[:, None] - np.stack(means)).sum(axis=2).argmin(axis=1)

    assert (nearest(weight) == labels).all()
    assert (nearest(np.ones(N)) != labels).any()


def test_starts_that_differ_at_random_keep_the_weights():
    weight = np.repeat([1.0, 4.0], 4000)
    drawn = bayesian_bootstrap_weights(weight, np.random.default_rng(0))
    assert_allclose(drawn[4000:].mean() / drawn[:4000].mean(), 4.0, rtol=0.1)


def test_columns_are_chosen_by_weighted_correlation():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 60))
    weight = np.where(np.arange(80) % 2 == 0, 1.0, 1e-6)
    Y = np.where(weight == 1.0, X[:, 7], -X[:, 7])[None]
    correlation = np.abs(np.cov(X.T, Y[0], aweights=weight)[:-1, -1] * (weight.sum()))
    chosen = initialization.select_columns(X, Y, weight)
    expected = np.sort(np.argsort(-np.abs((Y[0] - Y[0] @ weight / weight.sum()) * weight @ X))[:50])
    assert (chosen == expected).all()
    assert correlation[7] == correlation.max()
    assert 7 in chosen


def test_samples_weigh_as_much_as_all_rows(monkeypatch):
    X, weight, _ = table()
    y = target("numbers")
    checker = BlockChecker(False, lambda y, weight: None)
    found = first_pass_module.first_pass(
        RowBlocks.from_arrays(X, y, weight), checker, None, n_sample=30, seed=0
    )
    assert len(found.sample.weight) == 30
    assert_allclose(found.sample.weight.sum(), weight.sum())
    known = {tuple(row): w for row, w in zip(X, weight, strict=True)}
    own = np.array([known[tuple(row)] for row in found.sample.X])
    assert_allclose(found.sample.weight / own, weight.sum() / own.sum())
    monkeypatch.setattr(init_rows, "MAX_INIT_ROWS", 40)
    monkeypatch.setattr(init_rows, "MIN_INIT_ROWS", 40)
    seen = []
    keep = problem.EMProblem
    monkeypatch.setattr(problem, "EMProblem", lambda *args: seen.append(keep(*args)) or seen[-1])
    quiet(regressor(2, tol=1e-4), X, y, sample_weight=weight)
    sample = seen[0].init_data.rows
    assert len(sample.weight) == 40
    assert_allclose(sample.weight.sum(), weight.sum())


def test_moments_are_weighted():
    X, weight, _ = table()
    y = target("numbers")
    for moe in (
        regressor(2, tol=1e-4).fit(X, y, weight),
        regressor(2, tol=1e-4).fit(RowBlocks.from_arrays(X, y, weight)),
        regressor(2, tol=1e-4).partial_fit(X, y, weight),
    ):
        preprocessor: Preprocessor = moe._fitted.preprocessor
        scaler = StandardScaler().fit(X, sample_weight=weight)
        assert_allclose(preprocessor.feature_scaling.center, scaler.mean_)
        assert_allclose(preprocessor.feature_scaling.scale, scaler.scale_)
        scaler.fit(y[:, None], sample_weight=weight)
        assert_allclose(preprocessor.target_scaling.center, scaler.mean_)
        assert_allclose(preprocessor.target_scaling.scale, scaler.scale_)


# --- criteria and the number of experts ---------------------------------------------------------


def joint_log_density(moe, X, y):
    """Log joint density of expert and y from the fitted attributes, (n, K)."""
    log_gate = log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
    means = X @ moe.expert_coef_.T + moe.expert_intercept_
    return log_gate + stats.norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_))


def criteria(moe, X, y, weight, n_parameters):
    joint = joint_log_density(moe, X, y)
    log_density = np.logaddexp.reduce(joint, axis=1)
    resp = np.exp(joint - log_density[:, None])
    entropy = -(weight[:, None] * resp * np.log(resp)).sum()
    log_likelihood = weight @ log_density
    bic = n_parameters * np.log(weight.sum()) - 2 * log_likelihood
    return 2 * n_parameters - 2 * log_likelihood, bic, bic + 2 * entropy


def test_criteria_are_weighted():
    X, weight, _ = table()
    y = target("numbers")
    moe = regressor(2, tol=1e-4).fit(X, y, weight)
    expected = criteria(moe, X, y, weight, 2 * 4 + 3)
    found = [getattr(moe, name)(X, y, weight) for name in ("aic", "bic", "icl")]
    assert_allclose(found, expected, rtol=1e-9)
    plain = [getattr(moe, name)(X, y) for name in ("aic", "bic", "icl")]
    assert_allclose(plain, criteria(moe, X, y, np.ones(N), 2 * 4 + 3), rtol=1e-9)
    assert np.abs(np.array(plain) - found).min() > 10


def test_shares_loads_and_effective_rows_are_weighted():
    X, weight, _ = table()
    y = target("numbers")
    moe = regressor(2, tol=1e-4).fit(X, y, weight)
    gate = np.exp(log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1))
    assert_allclose(moe.weights_, weight @ gate / weight.sum())
    assert_allclose(moe.load_, np.bincount(gate.argmax(axis=1), weight, minlength=2))
    joint = joint_log_density(moe, X, y)
    resp = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    rows = [expert.rows for expert in moe.summary(X, y, weight).experts]
    assert_allclose(rows, weight @ resp)


def test_collapsed_experts_are_counted_by_weight():
    X, weight, _ = table()
    y = target("numbers")
    moe = regressor(2, tol=1e-4).fit(X, y, weight)
    rows, _ = moe._fitted.preprocessor.transform(X, y[None], weight)
    usage = expert_usage(moe._fitted.model, moe._fitted.params, [rows])
    joint = joint_log_density(moe, X, y)
    resp = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    assert_allclose(usage.responsibility_mass, weight @ resp)
    with pytest.warns(UserWarning, match=r"collapsed, .* small \(1 of 40 rows\)"):
        warn_collapsed(np.array([39.0, 1.0]), ["large", "small"])


def normal_scores(X, y, weight, train, test):
    """Log densities of rows by a weighted least-squares fit of others."""
    model = LinearRegression().fit(X[train], y[train], sample_weight=weight[train])
    variance = np.average((y[train] - model.predict(X[train])) ** 2, weights=weight[train])
    return stats.norm.logpdf(y[test], model.predict(X[test]), np.sqrt(variance))


@pytest.mark.parametrize("criterion", ["bic", "icl"])
def test_numbers_of_experts_are_chosen_by_weighted_criteria(criterion, monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1, 2)))
    X, weight, _ = table()
    y = target("numbers")
    moe = quiet(regressor(criterion, dispersion_prior=0.0), X, y, sample_weight=weight)
    rows = np.arange(N)
    log_likelihood = weight @ normal_scores(X, y, weight, rows, rows)
    expected = 4 * np.log(weight.sum()) - 2 * log_likelihood
    assert_allclose(-moe.n_experts_scores_[0], expected, rtol=1e-6)


def test_numbers_of_experts_are_chosen_by_weighted_scores(monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1, 2)))
    X, weight, _ = table()
    y = target("numbers")
    groups = np.arange(N) % 3
    moe = regressor("auto", expert=Ridge(1e-9), cross_fit=False, dispersion_prior=0.0)
    quiet(moe, X, y, sample_weight=weight, groups=groups)
    scores = np.empty(N)
    for fold in range(3):
        train, test = (np.flatnonzero(rows) for rows in (groups != fold, groups == fold))
        scores[test] = normal_scores(X, y, weight, train, test)
    assert_allclose(moe.n_experts_scores_[0], np.average(scores, weights=weight), rtol=1e-6)
    plain = np.average(scores)
    assert abs(plain - moe.n_experts_scores_[0]) > 0.01


def test_a_standard_error_of_scores_is_weighted():
    rng = np.random.default_rng(0)
    difference, weight = rng.normal(size=50), rng.integers(1, 4, size=50)
    repeated = np.repeat(difference, weight)
    found = n_experts_selection._mean_and_error(difference, weight.astype(float))
    assert_allclose(found, (repeated.mean(), repeated.std() / np.sqrt(len(repeated))))


# --- inference ----------------------------------------------------------------------------------


def test_rows_of_a_bootstrap_are_as_many_as_their_weights():
    X = np.arange(3.0)[:, None]
    rows = bootstrap_rows(UserRows(X, np.zeros(3), np.array([2.0, 0.0, 3.0]), None))
    assert rows.drawn_X.ravel().tolist() == [0.0, 0.0, 2.0, 2.0, 2.0]
    assert rows.drawn_weight is None
    rows = bootstrap_rows(UserRows(X, np.zeros(3), np.array([2.0, 0.5, 3.0]), None))
    assert rows.drawn_X.ravel().tolist() == [0.0, 1.0, 2.0]
    assert rows.drawn_weight.tolist() == [2.0, 0.5, 3.0]


def test_a_bootstrap_of_heavy_rows_is_that_of_many_rows():
    X, _, _ = table(n_rows=40)
    y = target("numbers", n_rows=40)
    weight = np.full(40, 9.0)
    moe = regressor(dispersion_prior=0.0, tol=1e-8).fit(X, y, weight)
    result = moe.inference(X, y, weight, method="bootstrap", n_bootstrap=60, random_state=0)
    design = np.column_stack([np.ones(40), X])
    covariance = moe.noise_variance_[0] * np.linalg.inv(9.0 * design.T @ design)
    assert_allclose(result.standard_errors[:3], np.sqrt(np.diag(covariance)), rtol=0.3)


# --- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("half_life", [None, 200.0])
def test_the_past_of_a_stream_fades_by_weight(half_life):
    X, weight, _ = table()
    y = target("numbers")
    moe = regressor(half_life=half_life, tol=1e-4)
    moe.partial_fit(X[:100], y[:100], weight[:100]).partial_fit(X[100:], y[100:], weight[100:])
    past = 1.0 if half_life is None else 0.5 ** (weight[100:].sum() / half_life)
    effective = weight * np.where(np.arange(N) < 100, past, 1.0)
    if half_life is not None:
        assert abs(0.5 ** (50 / half_life) - past) > 0.2
    center = moe._fitted.preprocessor.feature_scaling.center
    assert_allclose(center, np.average(X, axis=0, weights=effective))
    state = moe._training_state.online_state
    assert_allclose(state.total_weight, weight.sum())
    assert_allclose(state.features.weight, effective.sum())


STREAMS = {
    "regressor": MixtureOfExpertsRegressor(2, random_state=0),
    "counts": MixtureOfExpertsRegressor(2, family="poisson", random_state=0),
    "classifier": MixtureOfExpertsClassifier(2, random_state=0),
}


@pytest.mark.parametrize("half_life", [None, 299, 300, 301, 599, 600, 601, 900, 901])
@pytest.mark.parametrize("case", STREAMS)
def test_a_heavy_row_of_a_stream_is_several_rows(case, half_life):
    """Also where the rows are initialised again, and where they are no longer stored."""
    X, y = two_regimes(300, 2)
    if case != "regressor":
        y = np.round(np.exp(y - y.min())) % (3 if case == "classifier" else 20)
    options = {"classes": np.unique(y)} if case == "classifier" else {}
    weighted, repeated = (clone(STREAMS[case]).set_params(half_life=half_life) for _ in range(2))
    for start in range(0, 300, 100):
        rows = slice(start, start + 100)
        weighted.partial_fit(X[rows], y[rows], sample_weight=np.full(100, 3.0), **options)
        repeated.partial_fit(np.repeat(X[rows], 3, axis=0), np.repeat(y[rows], 3), **options)
        buffers = [moe._training_state.row_buffer is None for moe in (weighted, repeated)]
        assert buffers == [half_life is not None and half_life <= 3 * (start + 100)] * 2
    assert_allclose(predictions(weighted, X), predictions(repeated, X), atol=1e-5)


def test_rows_of_little_weight_are_not_stored_for_ever(monkeypatch):
    monkeypatch.setattr(buffers, "N_BUFFERED_ROWS", 150)
    X, y = two_regimes(300, 2)
    moe = clone(STREAMS["regressor"])
    n_stored = []
    for rows in (slice(100), slice(100), slice(100, 200)):
        moe.partial_fit(X[rows], y[rows], np.full(100, 0.01))
        row_buffer = moe._training_state.row_buffer
        n_stored.append(None if row_buffer is None else len(row_buffer.weight))
    assert n_stored == [100, 100, None]  # distinct rows


def test_bagged_trees_out_of_bag_are_weighted():
    X, weight, _ = table()
    y = target("numbers")
    expert = BaggingRegressor(Ridge(), 20, oob_score=True, random_state=0)
    fits = []
    for weights in (weight, None):
        moe = regressor(expert=expert, cross_fit="oob")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some rows are never out of bag
            fits.append(moe.fit(X, y, sample_weight=weights))
    residual = y - fits[0].predict(X)
    assert_allclose(fits[0].noise_variance_[0], np.average(residual**2, weights=weight), rtol=0.15)
    assert np.abs(fits[0].predict(X) - fits[1].predict(X)).max() > 0.05
