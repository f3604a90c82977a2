"""Standard errors: of dropped features, at bounds, and of estimates near the maximum."""

import numpy as np
import pytest
from cases import X, regressor
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet

from skmoe._inference.coefficients import Coefficients, Term
from skmoe._inference.results import NEGLIGIBLE_SHIFT, Inference
from skmoe._inference.standard_errors import compared_to_fit

NOISE = np.random.default_rng(3).normal(size=len(X))


@pytest.mark.parametrize("n_experts", [1, 2])
def test_errors_beside_a_dropped_feature_are_those_without_it(n_experts):
    """The dropped feature has no error and no part in those of the others."""
    y = np.where(X[:, 0] > 0, 3.0, -3.0) * X[:, 0] * (n_experts - 1) + X[:, 0] + 0.5 * NOISE
    options = {"n_experts": n_experts, "alpha": "ard", "n_init": 1, "expert_features": [0]}
    options |= {"gate_features": [0]}
    alone = quiet(regressor(**options | {"alpha": "auto"}), X, y)
    both = quiet(regressor(**options | {"expert_features": [0, 1]}), X, y)
    assert_array_equal(np.isfinite(both.alpha_), [True, False])
    expected, found = (moe.inference(X, y) for moe in (alone, both))
    errors = dict(zip(found.terms, found.standard_errors, strict=True))
    for term, error in zip(expected.terms, expected.standard_errors, strict=True):
        assert_allclose(errors.pop(term), error, rtol=0.01)
    assert {term.name for term in errors} == {"x1"}
    assert np.isnan(list(errors.values())).all()
    assert [reason for reason in found.reasons if reason not in ("", "fixed")] == (
        ["dropped"] * n_experts
    )


def test_a_dispersion_at_its_bound_is_taken_as_known():
    """The errors of the coefficients are those of a known dispersion, not none."""
    y = np.random.default_rng(0).binomial(5, 0.5, size=len(X)).astype(float)
    moe = quiet(regressor(n_experts=1, n_init=1, family="negative_binomial"), X, y)
    found = moe.inference(X, y)
    (of_dispersion,) = np.flatnonzero(found.is_dispersion)
    assert found.reasons[of_dispersion] == "at its bound"
    poisson = quiet(regressor(n_experts=1, n_init=1, family="poisson"), X, y).inference(X, y)
    errors = np.delete(found.standard_errors, of_dispersion)
    assert_allclose(errors, poisson.standard_errors, rtol=1e-3)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.5])
def test_estimates_are_those_of_the_fit_unless_they_have_moved(factor):
    """Coefficients without an error do not count, and neither does what is within the bound."""
    terms = [Term("a", "", str(i)) for i in range(3)]
    flags = np.zeros(3, dtype=bool)
    covariance = np.diag([1.0, 4.0, np.nan])
    at_maximum = Inference(
        Coefficients(terms, np.zeros(3), flags, flags), covariance, ["", "", "fixed"], "method"
    )
    fitted = factor * NEGLIGIBLE_SHIFT * np.array([-1.0, 1.0, 100.0])
    found = compared_to_fit(at_maximum, fitted)
    assert found.max_shift == factor * NEGLIGIBLE_SHIFT
    assert_array_equal(found.estimates, fitted if factor <= 1.0 else np.zeros(3))
    assert (found.method, found.reasons) == ("method", ["", "", "fixed"])
    assert_array_equal(found.covariance, covariance)
