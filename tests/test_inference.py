"""Standard errors: against published ones, against derivatives, against simulation."""

import copy
import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from regimes import crossing_lines, flipping_classes, two_regimes
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from test_reference import EXACT, MODELS, fit, largest_error

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import split_into_blocks
from skmoe._inference.bootstrap import sample_classes
from skmoe._inference.coefficients import jacobian, make_layout
from skmoe._inference.information import observed_information
from skmoe._mixture.em import evaluate
from skmoe._mixture.model import Params

PRECISE = {"tol": 1e-10, "max_iter": 3000, "random_state": 0, "n_init": 2}


@pytest.mark.parametrize("name", EXACT)
def test_published_standard_errors_are_reproduced(name):
    model = MODELS[name]
    moe, X, y, names = fit(model, tol=0.0, max_iter=1500)
    order = min(
        itertools.permutations(range(moe.n_experts)),
        key=lambda order: largest_error(moe, names, model, order),
    )
    inference = moe.inference(X, y, gate_reference=order[0])
    found = dict(zip(inference.terms, inference.standard_errors, strict=True))
    features = {name: f"x{j}" for j, name in enumerate(names)} | {"intercept": "(Intercept)"}
    for expert, k in zip(model["experts"], order, strict=True):
        for name, error in expert["coef_se"].items():
            assert_allclose(found[f"expert {k}", "", features[name]], error, rtol=1e-4)
        if "log_sigma_se" in expert:  # half of that of the log variance
            error = found[f"expert {k}", "", "log(noise variance)"] / 2
            assert_allclose(error, expert["log_sigma_se"], rtol=1e-4)
    for label, errors in model["gate"]["coef_se"].items():
        k = order[int(label)]
        for name, error in errors.items():
            assert_allclose(found["gate", f"expert {k}", features[name]], error, rtol=1e-4)


def information_by_differences(moe, rows):
    """Negative second differences of the penalised log-likelihood, in the coordinates of parts."""
    model, params, total = moe._fitted.model, moe._fitted.params, rows.weight.sum()
    experts, gate = model.experts, model.gate
    information = observed_information(model, params, split_into_blocks(rows))
    shapes = SimpleNamespace(experts=params.experts, gate=params.gate)

    def moved(step):
        of_experts = [step[index] for index in information.expert_index]
        width = shapes.experts.coef.shape[-1]
        vectors = experts.contrast_matrix().shape[1]
        basis = experts._contrasts() if hasattr(experts, "_contrasts") else np.eye(vectors)
        coef = np.stack(
            [basis @ own[: vectors * width].reshape(vectors, width) for own in of_experts]
        )
        new = shapes.experts._replace(coef=shapes.experts.coef + coef)
        if hasattr(new, "log_variance"):
            last = np.stack([own[vectors * width :] for own in of_experts])
            new = new._replace(log_variance=new.log_variance + last)
        of_gate = step[information.gate_index]
        if hasattr(shapes.gate, "log_prior"):
            logits = shapes.gate.log_prior + gate.contrast_matrix(shapes.gate) @ of_gate
            return Params(gate.project(shapes.gate._replace(log_prior=logits)), new)
        basis = gate.contrast_matrix(shapes.gate)
        shift = basis @ of_gate.reshape(basis.shape[1], -1)
        return Params(shapes.gate._replace(coef=shapes.gate.coef + shift), new)

    def objective(step):
        return total * evaluate(model, split_into_blocks(rows), moved(step)).lower_bound

    size, h = len(information.observed), 1e-3
    second = np.zeros((size, size))
    for a in range(size):
        for b in range(a + 1):
            corners = 0.0
            for i, j in itertools.product((1, -1), repeat=2):
                step = np.zeros(size)
                step[a] += i * h
                step[b] += j * h
                corners += i * j * objective(step)
            second[a, b] = second[b, a] = -corners / (4 * h * h)
    return information.observed, second


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"dispersion": "shared"},
        {"gate": "constant"},
        {"n_experts": 3, "balance": 0.5, "gate_features": [1]},
        {"n_outputs": 2},
        {"n_outputs": 2, "dispersion": "shared"},
        {"n_classes": 2},
        {"n_classes": 3},
    ],
    ids=str,
)
def test_the_information_is_the_second_derivative(parameters):
    parameters = {"n_experts": 2, "alpha": 0.7, "gate_alpha": 0.4} | parameters
    n_outputs, n_classes = parameters.pop("n_outputs", 1), parameters.pop("n_classes", None)
    if n_classes:
        X, y = flipping_classes(n_rows=120, n_classes=n_classes)
        moe = MixtureOfExpertsClassifier(**PRECISE | parameters)
    else:
        X, y = two_regimes(n_rows=120, n_features=2)
        y = y if n_outputs == 1 else np.column_stack([y, X[:, 0] - y])
        moe = MixtureOfExpertsRegressor(**PRECISE | parameters)
    weight = np.random.default_rng(0).integers(1, 4, size=len(y)).astype(float)
    moe.fit(X, y, sample_weight=weight)
    rows = moe._fitted.preprocessor.transform_units(moe._validate_rows(X, y, weight))
    exact, differences = information_by_differences(moe, rows)
    assert_allclose(exact, differences, rtol=1e-3, atol=1e-3 * np.abs(exact).max())


def test_derivatives_of_terms_are_those_of_attributes():
    """Moving the parameters moves the public attributes by the derivatives."""
    X, y = two_regimes(n_rows=200)
    moe = MixtureOfExpertsRegressor(2, **PRECISE).fit(5 + 3 * X, 2 - 7 * y)
    mixture, params = moe._fitted, moe._fitted.params
    rows, _ = mixture.preprocessor.transform(5 + 3 * X, 2 - 7 * y[None])
    information = observed_information(mixture.model, params, split_into_blocks(rows))
    slopes = jacobian(make_layout(mixture, ["y"]), mixture, information, None)
    step = np.random.default_rng(0).normal(size=(2, 1, 4))
    coef = params.experts.coef + step
    moved = params.experts._replace(coef=coef)
    attributes = mixture.model.experts.attributes(moved, mixture.preprocessor)
    change = np.column_stack(
        [attributes["intercept_"] - moe.expert_intercept_, attributes["coef_"] - moe.expert_coef_]
    )
    for k in range(2):
        own = information.expert_index[k][:4]
        assert_allclose(slopes[5 * k : 5 * k + 4, own] @ step[k, 0], change[k], atol=1e-9)


def test_one_expert_is_a_linear_regression():
    X, y = two_regimes(n_rows=200)
    moe = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0).fit(X, y)
    found = moe.inference(X, y)
    design = np.column_stack([np.ones(200), X])
    residual = y - LinearRegression().fit(X, y).predict(X)
    expected = np.linalg.inv(design.T @ design) * np.mean(residual**2)
    assert_allclose(found.covariance[:4, :4], expected, rtol=1e-6)
    assert [term.name for term in found.terms][:2] == ["(Intercept)", "x0"]
    assert len(found.terms) == 5  # nothing of a gate
    robust = moe.inference(X, y, method="sandwich").covariance[:4, :4]
    bread = np.linalg.inv(design.T @ design)
    white = bread @ (design.T * residual**2) @ design @ bread
    assert_allclose(robust, white, rtol=1e-5, atol=1e-9)


def test_a_weight_of_two_is_the_row_twice():
    X, y = two_regimes(n_rows=150)
    weight = np.random.default_rng(0).integers(1, 3, size=150)
    repeated = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    moe = MixtureOfExpertsRegressor(2, **PRECISE).fit(X, y, sample_weight=weight)
    for method in ("observed", "sandwich"):
        assert_allclose(
            moe.inference(X, y, sample_weight=weight, method=method).covariance,
            moe.inference(*repeated, method=method).covariance,
            rtol=1e-6,
            atol=1e-9,
        )


def test_class_weights_weigh_the_rows():
    X, y = flipping_classes(n_rows=400)
    weight = np.where(y == 0, 2.0, 1.0)
    weighed = MixtureOfExpertsClassifier(2, class_weight={0: 2, 1: 1}, **PRECISE).fit(X, y)
    plain = MixtureOfExpertsClassifier(2, **PRECISE).fit(X, y, sample_weight=weight)
    for method in ("observed", "sandwich"):
        assert_allclose(
            weighed.inference(X, y, method=method).covariance,
            plain.inference(X, y, sample_weight=weight, method=method).covariance,
            rtol=1e-6,
            atol=1e-9,
        )


def test_intervals_hold_the_truth():
    """Of 540 intervals of true slopes at 90 % about 486 should hold them, at 60 % about 324."""
    held, narrow = [], []
    for seed in range(90):
        X, y = two_regimes(n_rows=400, seed=seed)
        moe = MixtureOfExpertsRegressor(2, alpha=1e-6, dispersion_prior=0.0, tol=1e-7, n_init=1)
        found = moe.fit(X, y).inference(X, y)
        up = int(np.argmax(moe.expert_coef_[:, 0]))
        for level, inside in ((0.9, held), (0.6, narrow)):
            intervals = dict(zip(found.terms, found.conf_int(level), strict=True))
            for j in range(3):
                for expert, slope in ((up, j + 1.0), (1 - up, -1.0)):
                    lower, upper = intervals[f"expert {expert}", "", f"x{j}"]
                    inside.append(lower < slope < upper)
    # Within about two standard errors; intervals 20 % too wide would hold 95 % and 69 %.
    assert 0.865 < np.mean(held) < 0.935
    assert 0.555 < np.mean(narrow) < 0.65


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_bootstrap_agrees(task):
    if task == "regression":
        X, y = two_regimes(n_rows=400, n_features=2)
        moe = MixtureOfExpertsRegressor(2, **PRECISE).fit(X, y)
    else:
        X, y = flipping_classes(n_rows=600)
        moe = MixtureOfExpertsClassifier(2, **PRECISE).fit(X, y)
    before = copy.deepcopy(vars(moe))
    drawn = moe.inference(X, y, method="bootstrap", n_bootstrap=40, random_state=0)
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            assert_allclose(getattr(moe, name), value)
    ratio = drawn.standard_errors / moe.inference(X, y).standard_errors
    assert 0.85 < np.median(ratio) < 1.2
    # Each has an error of about a tenth by 40 draws; gates of few rows are not near their limit.
    assert 0.4 < np.nanmin(ratio) < np.nanmax(ratio) < 1.5
    assert drawn.replicates.shape == (40, len(drawn.terms))
    lower, upper = np.quantile(drawn.replicates, [0.05, 0.95], axis=0)
    assert_allclose(drawn.conf_int(0.9).T, 2 * drawn.estimates - [upper, lower])
    again = moe.inference(X, y, method="bootstrap", n_bootstrap=8, random_state=0, n_jobs=2)
    assert_allclose(again.replicates, drawn.replicates[:8])


def test_the_bootstrap_keeps_chosen_columns_and_the_number_of_experts():
    X, y = crossing_lines(n_rows=200)
    frame = pd.DataFrame({"noise": np.random.default_rng(0).normal(size=200), "x": X[:, 0]})
    moe = MixtureOfExpertsRegressor("bic", expert_features=["x"], gate_features="x", **PRECISE)
    found = moe.fit(frame, y).inference(frame, y, method="bootstrap", n_bootstrap=5)
    assert found.replicates.shape == (5, len(found.terms))
    assert {term.name for term in found.terms} == {"(Intercept)", "x", "log(noise variance)"}
    assert moe.n_experts == "bic"
    assert list(moe.feature_names_in_) == ["noise", "x"]


def test_inference_on_counts():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(1000, 1))
    y = rng.poisson(np.exp(np.where(rng.uniform(size=1000) < 0.5, 0.5 + X[:, 0], 3 - X[:, 0])))
    moe = MixtureOfExpertsRegressor(2, family="poisson", gate="constant", **PRECISE).fit(X, y)
    found = moe.inference(X, y)
    assert not found.is_dispersion.any()
    true = (
        np.array([0.5, 1.0, 3.0, -1.0]) if moe.expert_intercept_[0] < 2 else [3.0, -1.0, 0.5, 1.0]
    )
    assert (np.abs(found.estimates[:4] - true) < 3.5 * found.standard_errors[:4]).all()
    drawn = moe.inference(X, y, method="bootstrap", n_bootstrap=40, random_state=0)
    ratio = drawn.standard_errors / found.standard_errors
    assert 0.8 < np.median(ratio) < 1.25


def test_a_gate_that_separates_is_flagged():
    X = np.linspace(-1, 1, 60)[:, None]
    y = np.where(X[:, 0] > 0, 10, -10) + np.random.default_rng(0).normal(size=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe = MixtureOfExpertsRegressor(2, gate_alpha=1e-9, random_state=0).fit(X, y)
        found = moe.inference(X, y)
    gate = np.array([term.part == "gate" for term in found.terms])
    assert np.isnan(found.standard_errors[gate]).all()
    assert {found.reasons[i] for i in np.flatnonzero(gate)} == {"separated"}
    assert np.isfinite(found.standard_errors[~gate]).all()
    assert np.isnan(found.p_values[gate]).all()


def test_classes_that_separate_are_flagged():
    X = np.linspace(-1, 1, 60)[:, None]
    y = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = MixtureOfExpertsClassifier(1, alpha=1e-9).fit(X, y).inference(X, y)
    assert found.reasons == ["separated", "separated"]


def test_a_constant_feature_and_a_variance_at_its_floor_have_no_error():
    X, y = crossing_lines(n_rows=200)
    X = np.column_stack([X, np.ones(200)])
    moe = MixtureOfExpertsRegressor(2, gate_alpha=1.0, **PRECISE).fit(X, y)
    found = moe.inference(X, y)
    reasons = {term.name: reason for term, reason in zip(found.terms, found.reasons, strict=True)}
    assert reasons["x1"] == "fixed"
    assert reasons["x0"] == ""
    exact = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0).fit(X, X[:, 0])
    found = exact.inference(X, X[:, 0])
    assert found.reasons[-1] == "at its bound"


def test_reference_expert_and_symmetric_coding_agree():
    X, y = two_regimes(n_rows=300)
    moe = MixtureOfExpertsRegressor(2, **PRECISE).fit(X, y)
    free, against = moe.inference(X, y), moe.inference(X, y, gate_reference=1)
    size = len(free.terms)
    contrast = np.eye(size)
    gate = np.array([i for i, term in enumerate(free.terms) if term.part == "gate"]).reshape(2, -1)
    for expert in gate:
        contrast[expert, gate[1]] -= 1
    expected = contrast @ free.covariance @ contrast.T
    kept = [i for i, reason in enumerate(against.reasons) if not reason]
    assert_allclose(
        against.covariance[np.ix_(kept, kept)], expected[np.ix_(kept, kept)], rtol=1e-6, atol=1e-9
    )
    assert {against.reasons[i] for i in gate[1]} == {"fixed"}


def test_sparse_features_give_the_same_errors():
    X, y = two_regimes(n_rows=200)
    X = X * (np.abs(X) > 0.3)
    dense = MixtureOfExpertsRegressor(2, **PRECISE).fit(X, y).inference(X, y)
    scarce = sparse.csr_array(X)
    found = MixtureOfExpertsRegressor(2, **PRECISE).fit(scarce, y).inference(scarce, y)
    named = dict(zip(found.terms, found.standard_errors, strict=True))
    same = [named[term] for term in dense.terms]
    if not np.allclose(same, dense.standard_errors, rtol=1e-2):  # the experts may be exchanged
        swapped = {"expert 0": "expert 1", "expert 1": "expert 0"}
        same = [
            named[swapped.get(term.part, term.part), swapped.get(term.response, ""), term.name]
            for term in dense.terms
        ]
    assert_allclose(same, dense.standard_errors, rtol=1e-2)


def test_frames_name_the_terms():
    X, y = two_regimes(n_rows=200)
    moe = MixtureOfExpertsRegressor(2, **PRECISE).fit(X, y)
    frame = moe.inference(X, y).to_frame(0.9)
    assert list(frame.loc["expert 0"].index.get_level_values("term"))[:2] == ["(Intercept)", "x0"]
    assert_allclose(frame.loc[("expert 1", "", "x2"), "estimate"], moe.expert_coef_[1, 2])
    assert_allclose(frame.loc[("gate", "expert 1", "x0"), "estimate"], moe.gate_coef_[1, 0])
    assert (frame["lower"] < frame["upper"]).all()
    noise = frame.xs("log(noise variance)", level="term")
    assert noise["p"].isna().all()
    assert noise["standard error"].notna().all()


@pytest.mark.parametrize(
    ("parameters", "options", "message"),
    [
        ({"expert": "tree", "n_init": 1}, {}, "needs experts with smooth coefficients"),
        ({"top_k": 1}, {}, "top_k=None"),
        ({}, {"method": "exact"}, "method must be one of"),
        ({}, {"gate_reference": 2}, "gate_reference must be None or an expert from 0 to 1"),
        ({}, {"gate_reference": True}, "gate_reference"),
        ({}, {"method": "bootstrap", "n_bootstrap": 1}, "n_bootstrap must be an integer"),
    ],
)
def test_bad_requests(parameters, options, message):
    X, y = two_regimes(n_rows=100)
    moe = MixtureOfExpertsRegressor(2, random_state=0, **parameters).fit(X, y)
    with pytest.raises(ValueError, match=message):
        moe.inference(X, y, **options)


def test_bad_level():
    X, y = two_regimes(n_rows=100)
    found = MixtureOfExpertsRegressor(1).fit(X, y).inference(X, y)
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\); got 95"):
        found.conf_int(95)


def test_other_rows_than_those_of_the_fit_are_noticed():
    X, y = crossing_lines(n_rows=200)
    moe = MixtureOfExpertsRegressor(2, gate_alpha=1e-4, alpha=1e-4, random_state=0).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="observed information is indefinite"):
        moe.inference(X[:60] + 1, -y[:60])


def test_classes_of_the_bootstrap_have_their_probabilities():
    probs = np.tile([0.5, 0.3, 0.2], (4000, 1))
    codes = sample_classes(probs, np.random.RandomState(0))
    assert_allclose(np.bincount(codes) / 4000, probs[0], atol=0.03)
