"""Columns that are linearly dependent: coefficients have the errors of what the data determine."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from support.expert_kinds import KINDS, options_of
from support.fits import CLASSES, Y, classifier, fit_quietly, regressor, target_of

PARAMETRIC = [kind for kind in KINDS if kind[0] == "linear" or "family" in options_of(kind[0])]

GROUPS = np.random.default_rng(5).integers(3, size=len(Y))
INDICATORS = np.eye(3)[GROUPS]
NUMBER = np.random.default_rng(6).normal(size=(len(Y), 1))
ALL = np.hstack([INDICATORS, NUMBER])
WITHOUT_FIRST = ALL[:, 1:]


def effects_of_gate(X):
    """Two regimes whose probabilities depend on the groups."""
    rng = np.random.default_rng(7)
    first = rng.random(len(X)) < np.array([0.2, 0.5, 0.8])[GROUPS]
    y = np.where(first, 5.0, -5.0) + X[:, -1] + rng.normal(size=len(X))
    init = np.column_stack([first, ~first]).astype(float)
    penalties = {"alpha": 1e-6, "gate_alpha": 1e-6, "max_iter": 500, "tol": 1e-10}
    return fit_quietly(MixtureOfExpertsRegressor(2, init=init, **penalties), X, y), y


def differences(result, part, response, names):
    """Estimates and standard errors of the second and third category against the first."""
    index = [result.terms.index((part, response, name)) for name in names]
    contrasts = np.zeros((2, len(result.terms)))
    contrasts[:, index[-2:]] = np.eye(2)
    if len(index) == 3:
        contrasts[:, index[0]] = -1.0
    errors = np.sqrt(np.diag(contrasts @ np.nan_to_num(result.covariance) @ contrasts.T))
    return contrasts @ result.estimates, errors


def assert_same_differences(full, reduced, part, response):
    found = differences(full, part, response, ["x0", "x1", "x2"])
    for one, other in zip(found, differences(reduced, part, response, ["x0", "x1"]), strict=True):
        assert_allclose(one, other, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "task"), PARAMETRIC)
def test_differences_of_categories_are_those_from_a_reference_category(name, task):
    make = regressor if task == "regressor" else classifier
    y = CLASSES if task != "regressor" else Y if name == "linear" else target_of(name)
    options = options_of(name) | {"n_experts": 1, "alpha": 1e-6, "max_iter": 500, "tol": 1e-10}
    full, reduced = (
        fit_quietly(make(**options), X, y).inference(X, y) for X in (ALL, WITHOUT_FIRST)
    )
    assert_same_differences(full, reduced, "expert 0", full.terms[0].response)
    slopes = [term.name in ("x0", "x1", "x2") for term in full.terms]
    assert full.is_dependent.tolist() == slopes
    assert not reduced.is_dependent.any()
    # Not those of the prior, which are a thousand times larger.
    assert full.standard_errors[slopes].max() < 2.0 * reduced.standard_errors[:3].max()
    free = ~np.array(slopes) & (np.arange(len(slopes)) > 0)
    assert_allclose(full.standard_errors[free], reduced.standard_errors[3:], rtol=2e-3)


def test_differences_of_categories_in_the_gate_are_those_from_a_reference_category():
    (full, y), (reduced, _) = effects_of_gate(ALL), effects_of_gate(WITHOUT_FIRST)
    results = (
        full.inference(ALL, y, gate_reference=0),
        reduced.inference(WITHOUT_FIRST, y, gate_reference=0),
    )
    assert_same_differences(*results, "gate", "expert 1")
    marked = {results[0].terms[i].part for i in np.flatnonzero(results[0].is_dependent)}
    assert marked == {"expert 0", "expert 1", "gate"}


def test_a_summary_names_dependent_columns_and_the_remedy():
    moe = fit_quietly(regressor(n_experts=1), ALL, Y)
    text = " ".join(str(moe.summary(ALL, Y)).split())
    assert "dependent: the columns x0, x1, x2 are linearly dependent" in text
    assert 'OneHotEncoder(drop="first")' in text
    assert text.count(" dependent ") == 3
    plain = fit_quietly(regressor(n_experts=1), WITHOUT_FIRST, Y)
    assert "dependent" not in str(plain.summary(WITHOUT_FIRST, Y))
    free = fit_quietly(regressor(n_experts=1, alpha=0.0), ALL, Y)
    assert free.inference(ALL, Y).reasons[:4] == ["not determined"] * 4


def test_columns_that_depend_because_rows_are_few_are_not_marked():
    X = np.random.default_rng(0).normal(size=(10, 12))
    moe = fit_quietly(regressor(n_experts=1, alpha=1.0), X, X[:, 0])
    assert not moe.inference(X, X[:, 0]).is_dependent.any()
