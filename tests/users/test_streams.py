"""Streams: online EM ends where EM does, forgets when told to, and takes rows as weighted sets.

The rows of the first batches are kept, and starts are found on them anew, until their weight is
4000. Rows of large weight therefore make a stream of online steps out of few rows.
"""

import pickle
from functools import cache
from itertools import pairwise, starmap

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.exceptions import FitMismatchWarning
from support.expert_kinds import KINDS_OF_FITS, draw, options_of
from support.fits import fit_quietly, fixed_penalties
from support.refusals import assert_refused, refusal

N_ROWS = 240
HEAVY = 100.0  # a batch of 80 rows of this weight is the last one that is kept
SHORT = {"alpha": 1.0, "n_init": 1, "max_iter": 15, "random_state": 0}
MAKERS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}


@cache
def rows():
    """Two regimes that are far apart, by the first feature, and their linear predictors."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2))
    is_right = rng.uniform(size=N_ROWS) < 0.4
    X[:, 0] += np.where(is_right, 4.0, -4.0)
    return X, np.where(is_right, 2.0 + 0.5 * X[:, 1], -0.5 - 0.5 * X[:, 1])


@cache
def table(name="linear", task="regressor"):
    (X, predictor), rng = rows(), np.random.default_rng(1)
    if task == "classifier":
        return X, (rng.logistic(size=N_ROWS) < 3.0 * (predictor - 0.8)).astype(int)
    return X, draw("normal" if name == "linear" else name, predictor, rng, (0.05, 5.0))


def mixture(name="linear", task="regressor", n_experts=2, **options):
    make = MAKERS[task]
    return make(n_experts, **fixed_penalties(make) | SHORT | options_of(name) | options)


def learn(moe, X, y, size=80, cuts=None, **given):
    """Learn from batches in the order of the rows."""
    classes = {"classes": np.unique(y)} if is_classifier(moe) else {}
    for batch in starmap(slice, pairwise(cuts or [*range(0, len(y), size), len(y)])):
        own = {name: values[batch] for name, values in given.items()}
        moe.partial_fit(X[batch], y[batch], **own, **classes)
    return moe


def stream(moe, X, y, epochs=(0,), size=80, **given):
    """Learn from heavy rows, in an order of their own in each epoch."""
    given = {"sample_weight": np.full(len(y), HEAVY)} | given
    for epoch in epochs:
        order = np.random.default_rng(epoch).permutation(len(y))
        own = {name: values[order] for name, values in given.items()}
        learn(moe, X.iloc[order] if hasattr(X, "iloc") else X[order], y[order], size, **own)
    return moe


def mean_log_density(moe, X, y, **given):
    return moe.score_samples(X, y, **given).mean()


# --- where streams end ----------------------------------------------------------------------------

OPTIONS = {
    "constant gate": {"gate": "constant"},
    "gate features": {"gate_features": [0], "expert_features": [1]},
    "shared dispersion": {"dispersion": "shared"},
    "shared slopes": {"shared_features": [1]},
    "signs": {"monotonic_cst": [-1, 1]},
    "offset": {"family": "poisson"},
    "frame": {"gate_features": ["a"], "expert_features": ["b", "a"]},
    "sparse": {},
    "outputs": {},
    "weights": {},
    "class weights": {"class_weight": {0: 3.0, 1: 0.5}},
    "units": {"gate": "constant"},
}
KINDS = {f"{name}-{task}": (name, task) for name, task in KINDS_OF_FITS}


def problem(case, order=slice(None)):
    """A mixture, its features and target in some order, and further arguments of its rows."""
    default = "linear", "classifier" if case == "class weights" else "regressor"
    name, task = KINDS.get(case, default)
    (X, y), given, rng = table(name, task), {}, np.random.default_rng(2)
    if case == "offset":
        given["offset"] = rng.normal(size=N_ROWS)
        y = rng.poisson(np.exp(given["offset"] + rows()[1])).astype(float)
    if case == "weights":
        given["sample_weight"] = rng.integers(0, 4, size=N_ROWS).astype(float)
    if case == "class weights":
        y = ((X[:, 1] > 0) == (X[:, 0] > 0)).astype(int)
    y = np.column_stack([y, X[:, 1] - y]) if case == "outputs" else y
    X, y, given = X[order], y[order], {key: values[order] for key, values in given.items()}
    if case == "units":
        given["units"] = np.arange(len(y)) // 2
    X = pd.DataFrame(X, columns=["a", "b"]) if case == "frame" else X
    X = sparse.csr_array(np.where(np.abs(X) > 0.3, X, 0.0)) if case == "sparse" else X
    return mixture(name, task, **OPTIONS.get(case, {})), X, y, given


@pytest.mark.parametrize("case", [*KINDS, *list(OPTIONS)[:-2]])
def test_streams_end_where_em_does(case):
    moe, X, y, given = problem(case)
    given = given | {"sample_weight": HEAVY * given.get("sample_weight", np.ones(N_ROWS))}
    asked = {name: values for name, values in given.items() if name == "offset"}
    whole = clone(moe).set_params(max_iter=100, tol=1e-4)
    best = mean_log_density(fit_quietly(whole, X, y, **given), X, y, **asked)
    first = mean_log_density(stream(moe, X, y, **given), X, y, **asked)
    last = mean_log_density(stream(moe, X, y, epochs=(1, 2, 3), **given), X, y, **asked)
    assert last > best - (0.08 if case == "constant gate" else 0.06)
    assert last > first - 0.01
    assert moe.n_iter_ == 4 * 3
    if case == "gate features":
        assert not moe.gate_coef_[:, 1].any()
        assert not moe.expert_coef_[:, 0].any()
    if case == "signs":
        assert (moe.expert_coef_ * [-1, 1] >= 0.0).all()
        assert (moe.expert_coef_ == 0.0).any()


def regimes(name, n_rows, seed, factor=1.0):
    """Three regimes with clear borders; a factor of y makes another stream."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4))
    k = np.digitize(X[:, 0], [-0.5, 0.5])
    slopes = np.array([[0.7, 0.0], [-0.7, 0.5], [1.4, -0.5]])[k]
    predictor = np.array([0.0, 2.0, 1.0])[k] + (slopes * X[:, 1:3]).sum(axis=1)
    if name == "classes":
        return X, (rng.logistic(size=n_rows) < 3.0 * (predictor - 0.8)).astype(int)
    if name == "outputs":
        noise = rng.normal(size=(n_rows, 2)) @ [[0.3, 0.2], [0.0, 0.4]]
        return X, factor * (np.column_stack([predictor, X[:, 1] - predictor]) + noise)
    return X, factor * draw(name, predictor, rng, (0.3, 4.0))


def of_regimes(name):
    options = {"classes": {}, "outputs": {"covariance_type": "full"}}.get(name, {"family": name})
    make = MAKERS["classifier" if name == "classes" else "regressor"]
    return make(3, n_init=1, random_state=0, **options)


@pytest.mark.parametrize("name", ["outputs", "classes"])
def test_a_stream_predicts_new_rows_as_a_fit_of_all_rows(name):
    (X, y), new = regimes(name, 3000, 0), regimes(name, 1500, 1)
    moe, whole = learn(of_regimes(name), X, y, size=500), fit_quietly(of_regimes(name), X, y)
    assert abs(mean_log_density(whole, *new) - mean_log_density(moe, *new)) < 0.02


@pytest.mark.parametrize(("alpha", "size"), [(10.0, 40), (240.0 * HEAVY, 40), (24e3, 120)])
def test_the_penalty_of_a_stream_is_that_of_all_rows(alpha, size):
    """However many batches there are, and whether they are large or small."""
    X = rows()[0]
    y = 2.0 * X[:, 0] - X[:, 1] + 0.1 * np.random.default_rng(1).normal(size=N_ROWS)
    moe = stream(mixture(n_experts=1, alpha=alpha), X, y, size=size)
    ridge = Ridge(alpha / HEAVY).fit((X - X.mean(axis=0)) / X.std(axis=0), y)
    assert_allclose(moe.expert_coef_[0] * X.std(axis=0), ridge.coef_, rtol=0.15)


@pytest.mark.parametrize("task", MAKERS)
def test_units_of_the_features_do_not_matter(task):
    """Statistics of early batches are moved to the later scale, and to that of the target."""
    X, y = table(task=task)
    moe, other_X = stream(mixture(task=task), X, y), [1e3, 1e-3] * X + [-2e3, 5.0]
    factor, shift = (1.0, 0.0) if task == "classifier" else (1e4, -7.0)
    other_y = y if task == "classifier" else factor * y + shift
    other = stream(mixture(task=task), other_X, other_y)
    assert_allclose(other.predict_gate(other_X), moe.predict_gate(X), atol=1e-5)
    expected = factor * moe.predict_experts(X) + shift
    assert_allclose(other.predict_experts(other_X), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "task"), [("poisson", "regressor"), ("linear", "classifier")])
def test_weight_two_equals_two_rows(name, task):
    X, y = table(name, task)
    counts = np.random.default_rng(0).integers(0, 3, size=N_ROWS)
    copies, cuts = np.repeat(np.arange(N_ROWS), counts), np.r_[0, counts.cumsum()[79::80]].tolist()
    pairs = [
        (learn(mixture(name, task), X, y, sample_weight=counts)),
        (learn(mixture(name, task), X[copies], y[copies], cuts=cuts)),
    ]
    assert_allclose(*(moe.predict_gate(X) for moe in pairs), atol=1e-6)
    assert_allclose(*(moe.predict_experts(X) for moe in pairs), rtol=1e-6)


# --- forgetting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("weight", "slope"), [(10.0, -1.0), (0.01, 1.0)])
def test_the_past_of_a_stream_fades_by_weight(weight, slope):
    """A batch of great weight follows another rule: what was before is forgotten, or not."""
    X, moe = np.random.default_rng(0).uniform(-1, 1, size=(120, 2)), mixture(n_experts=1, alpha=0.1)
    for sign, own in ((1.0, 1.0), (-1.0, weight)):
        moe.partial_fit(X, sign * X[:, 0], sample_weight=np.full(120, own), half_life=100.0)
    assert_allclose(moe.expert_coef_[0], [slope, 0.0], atol=0.1)


@pytest.mark.parametrize("name", ["gamma", "outputs"])
def test_a_half_life_follows_the_scale_of_the_target(name):
    """Rows that are far from all experts do not make dispersions explode."""
    moe, new = of_regimes(name), regimes(name, 3000, 1, factor=3.0)
    for seed, factor in enumerate([1.0] * 4 + [3.0] * 12, start=2):
        moe.partial_fit(*regimes(name, 500, seed, factor), half_life=500)
    whole = fit_quietly(of_regimes(name), *regimes(name, 3000, 0, factor=3.0))
    assert mean_log_density(moe, *new) > mean_log_density(whole, *new) - 0.05


def test_a_huge_half_life_is_none():
    X, y = table()
    fits = [
        mixture().partial_fit(X, y).partial_fit(X[:20] + 1.0, y[:20], half_life=half_life)
        for half_life in (None, 1e300, 10)
    ]
    assert_allclose(fits[1].predict(X), fits[0].predict(X), rtol=1e-10)
    assert not np.allclose(fits[2].predict(X), fits[0].predict(X), rtol=1e-3)


# --- starts that are found anew -------------------------------------------------------------------

FIRST = np.argsort(rows()[0][:, 0], kind="stable")[60:200]  # whose first 60 have one regime


@pytest.mark.parametrize("case", ["linear-regressor", *OPTIONS])
def test_a_stream_whose_rows_have_doubled_begins_anew_with_all_of_them(case):
    """It equals a stream whose first batch were all rows so far."""
    moe, X, y, given = problem(case, FIRST)
    whole = learn(clone(moe), X, y, size=140, **given)
    learn(moe, X, y, cuts=(0, 60, 140), **given)
    asked = {name: values for name, values in given.items() if name != "sample_weight"}
    logs = [each.score_samples(X, y, **asked) for each in (moe, whole)]
    assert_allclose(logs[0], logs[1], rtol=1e-6, atol=1e-8)
    # Experts keep their numbers, so that they are compared without regard to these.
    asked.pop("units", None)
    found, expected = (np.sort(each.predict_experts(X, **asked), axis=1) for each in (moe, whole))
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (moe.n_iter_, whole.n_iter_) == (2, 1)
    assert_array_equal(moe.feature_range_, whole.feature_range_)
    assert getattr(moe, "n_units_", 70) == 70


@pytest.mark.parametrize("options", [{"half_life": 30}, {"weight": 100.0}, {"second": 20}])
def test_a_stream_does_not_begin_anew_later(options):
    """With a half-life of few rows, with 4000 rows, or before the rows have doubled."""
    moe, X, y, _ = problem("linear-regressor", FIRST)
    given = {"half_life": options.get("half_life"), "sample_weight": options.get("weight", 1.0)}
    n_rows = 60 + options.get("second", 80)
    whole = clone(moe).partial_fit(X[:n_rows], y[:n_rows], **given)
    moe.partial_fit(X[:60], y[:60], **given).partial_fit(X[60:n_rows], y[60:n_rows], **given)
    difference = moe.score_samples(X, y) - whole.score_samples(X, y)
    assert np.abs(difference).max() > 1e-3


# --- after a fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), KINDS_OF_FITS)
def test_small_batches_do_not_replace_a_fit(name, task):
    """A fit has the weight of its rows, also one that was saved."""
    X, y = table(name, task)
    moe = fit_quietly(mixture(name, task, max_iter=20), sparse.csr_array(X[:180]), y[:180])
    moe, before = pickle.loads(pickle.dumps(moe)), mean_log_density(moe, X, y)
    for n_batches, size in enumerate([1, 1, 5, 5], start=1):
        moe.partial_fit(X[-size * n_batches :], y[-size * n_batches :])
        assert mean_log_density(moe, X, y) > before - 0.1
        assert moe.n_iter_ == n_batches


def test_more_rows_than_those_of_a_fit_replace_it():
    X, y = table()
    moe = fit_quietly(mixture(), X[:40], y[:40])
    best = mean_log_density(fit_quietly(mixture(), X, -y), X, -y)
    assert mean_log_density(moe, X, -y) < best - 3.0
    for _ in range(6):
        learn(moe, X, -y)
    assert mean_log_density(moe, X, -y) > best - 0.3


def test_a_continued_fit_has_the_penalty_of_all_rows():
    """The standardisation and the ridge penalty are those of the rows of fit and stream."""
    X = rows()[0]
    y = 2.0 * X[:, 0] - X[:, 1] + 0.01 * np.random.default_rng(1).normal(size=N_ROWS)
    moe = MixtureOfExpertsRegressor(1, n_init=1, alpha=240.0).fit(X[:120], y[:120])
    for _ in range(2):
        moe.partial_fit(X[120:], y[120:])
    joined = np.r_[X, X[120:]], np.r_[y, y[120:]]
    scale = joined[0].std(axis=0)
    ridge = Ridge(240.0).fit((joined[0] - joined[0].mean(axis=0)) / scale, joined[1])
    assert_allclose(moe.expert_coef_[0] * scale, ridge.coef_, rtol=0.1)


def test_a_fit_after_a_stream_begins_anew_and_counts_units():
    X, y = table()
    moe = fit_quietly(stream(mixture(max_iter=5), X, y), X, y)
    assert_array_equal(moe.predict(X), fit_quietly(mixture(max_iter=5), X, y).predict(X))
    assert moe.partial_fit(X[:50], y[:50]).n_iter_ == 1
    units = np.arange(N_ROWS) // 3
    moe = fit_quietly(mixture(gate="constant"), X[:120], y[:120], units=units[:120])
    assert moe.partial_fit(X[120:], y[120:], units=units[120:]).n_units_ == 80


def test_batches_have_the_columns_of_the_fit():
    X, y = table()
    frame = pd.DataFrame(X, columns=["a", "b"])
    moe = fit_quietly(mixture(gate_features=["a"]), frame[:120], y[:120])
    message = refusal(moe.partial_fit, frame[["b", "a"]][120:], y[120:])
    assert_refused(message, "The feature names should match")
    moe.set_params(gate_features=["b"])  # the columns of the fit stay
    moe.partial_fit(frame[120:], y[120:, None])
    assert not moe.gate_coef_[:, 1].any()
    assert_array_equal(moe.feature_names_in_, ["a", "b"])


@pytest.mark.parametrize("known", [[0, 1], [1]])
def test_classes_may_come_late(known):
    X = rows()[0]
    y = np.digitize(X[:, 0] + 3.0 * X[:, 1], [-3.0, 2.0])
    first = np.flatnonzero(np.isin(y, known))[:60]
    late, whole = mixture(task="classifier"), mixture(task="classifier")
    late.partial_fit(X[first], y[first], classes=[2, 0, 1, 0])
    assert set(late.predict(X)) == set(known)
    for moe in (late, whole, late, whole):
        learn(moe, X, y, size=120)
    best = mean_log_density(whole, X, y)
    assert best > -0.5
    assert mean_log_density(late, X, y) > best - 0.1
    assert set(late.predict(X)) == set(late.classes_) == {0, 1, 2}


# --- attributes, copies ---------------------------------------------------------------------------


def test_the_lower_bound_of_a_stream_is_the_mean_log_density_of_new_rows():
    """Of rows before they are used; those of the first batch count after."""
    (X, y), moe, logs = table(), mixture(), []
    for batch in np.split(np.arange(N_ROWS), 6):
        logs += [mean_log_density(moe, X[batch], y[batch])] if logs else []
        moe.partial_fit(X[batch], y[batch], sample_weight=np.full(40, HEAVY))
        logs = logs or [mean_log_density(moe, X[batch], y[batch])]
    assert_allclose(moe.lower_bound_, np.mean(logs), atol=0.05)
    assert_allclose(moe.weights_.sum(), 1.0)
    assert moe.lower_bounds_.tolist() == [moe.lower_bound_]
    assert (moe.n_iter_, moe.converged_) == (6, False)
    assert "expert" in str(moe.summary())


@pytest.mark.parametrize("weight", [1.0, HEAVY])
@pytest.mark.parametrize("make_rows", [np.asarray, sparse.csr_array])
def test_copies_of_a_stream_go_on_like_it(weight, make_rows):
    """Batches may be dense or sparse."""
    X, y = table()
    moe = learn(mixture(), X[:160], y[:160], sample_weight=np.full(160, weight))
    other = pickle.loads(pickle.dumps(moe)).partial_fit(X[160:], y[160:], sample_weight=weight)
    moe.partial_fit(make_rows(X[160:]), y[160:], sample_weight=weight)
    assert_allclose(moe.predict(X), other.predict(X), rtol=1e-6)
    assert_allclose(moe.lower_bound_, other.lower_bound_)


# --- refusals -------------------------------------------------------------------------------------

REGRESSOR, CLASSIFIER = MixtureOfExpertsRegressor, MixtureOfExpertsClassifier
# Of a first batch: estimators, arguments, and words of the message.
FIRST_BATCH = [
    (REGRESSOR(2, gate=[1]), {}, "gate must be one of"),
    *(
        (REGRESSOR(2), {"half_life": value}, "half_life must", "at least 0", value)
        for value in (-5, "long", [1.0], np.nan, np.inf)
    ),
    (CLASSIFIER(2), {}, "classes must be passed on the first call"),
    (CLASSIFIER(2), {"classes": [1, 1]}, "y must have at least two classes"),
    (CLASSIFIER(2), {"classes": [0, 5]}, "y must", "[0, 5]", "got 1"),
    (REGRESSOR(500), {}, "n_experts must not exceed", "500"),
    (
        *(REGRESSOR(2), {"X": np.eye(N_ROWS, 1200)}),
        *("partial_fit", "1201 columns", "1000", "gate_features"),
    ),
    # A method that is not there says why.
    (REGRESSOR("auto"), {}, "partial_fit cannot be used", "n_experts=4"),
    (REGRESSOR(2, expert="tree"), {}, "partial_fit cannot be used", "all rows", "sample"),
    (REGRESSOR(2, expert=DecisionTreeRegressor()), {}, "partial_fit cannot be used", "sample"),
    (CLASSIFIER(2, class_weight="balanced"), {}, "partial_fit cannot be used", "dict"),
]
# Of a later one: options, arguments and words.
LATER_BATCH = [
    ({}, {"classes": [0, 1, 2]}, "classes must be those of the first call", "[0, 1]", "clone"),
    ({}, {"y": [9] * N_ROWS}, "y must hold classes seen", "[0, 1]", "got 9"),
    ({}, {"X": rows()[0][:, :1]}, "X has 1 features"),
    ({}, {"half_life": -1}, "half_life"),
    ({"n_experts": 3}, {}, "n_experts must stay 2", "got 3", "clone"),
]


@pytest.mark.parametrize("case", FIRST_BATCH)
def test_a_first_batch_is_refused_if_a_stream_cannot_begin(case):
    moe, given, *words = case
    X, y = table(task="classifier" if is_classifier(moe) else "regressor")
    before = dict(vars(moe))
    with pytest.raises((ValueError, AttributeError)) as caught:
        moe.partial_fit(**{"X": X, "y": y} | given)
    assert hasattr(moe, "partial_fit") == (not words[0].startswith("partial_fit cannot"))
    assert_refused(str(caught.value.__cause__ or caught.value), *words)
    assert vars(moe) == before


@pytest.mark.parametrize("case", LATER_BATCH)
def test_later_batches_are_checked(case):
    options, given, *words = case
    X, y = table(task="classifier")
    moe = mixture(task="classifier").partial_fit(X[:80], y[:80], classes=[0, 1])
    message = refusal(moe.set_params(**options).partial_fit, **{"X": X, "y": y} | given)
    assert_refused(message, *words)
    assert moe.set_params(n_experts=2).partial_fit(X, y, classes=[1, 0, 1]).n_iter_ == 2


def test_fits_of_estimators_are_not_continued():
    X, y = table()
    moe = fit_quietly(mixture(expert="tree"), X, y).set_params(expert="linear")
    message = refusal(moe.partial_fit, X, y)
    assert_refused(message, "partial_fit continues", "linear experts", "clone")


def test_batches_without_what_the_fit_had_are_warned_of_or_refused():
    rng = np.random.default_rng(0)
    X, log_time = rng.normal(size=(80, 2)), rng.normal(size=80)
    y = rng.poisson(np.exp(log_time)).astype(float)
    moe = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y, offset=log_time)
    with pytest.warns(FitMismatchWarning, match="partial_fit got no offset"):
        moe.partial_fit(X, y)
    moe.set_params(family="normal").fit(X, y, var_weights=np.full(80, 2.0))
    assert_refused(refusal(moe.partial_fit, X, y), "partial_fit", "var_weights", "fit(X, y")
