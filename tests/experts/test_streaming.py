"""Quadratic surrogates of streams, and experts whose features and outputs get other units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe._data.censored_targets import is_exact, map_target
from skmoe.protocols import SupportsStreaming, has_capability
from support.parts import DESIGN, EXPERT_CASES, N_COLUMNS, RESP, LinearMap, somewhere

CASES = [
    name
    for name, (experts, _) in EXPERT_CASES.items()
    if has_capability(experts, SupportsStreaming) and not experts.slopes
]
of_all = pytest.mark.parametrize("case", CASES)

# The design matrix in other units, as columns of old rows times this matrix.
X_MAP = np.diag([0.5, 3.0, 1.5, 1.0])
X_MAP[:-1, -1] = [0.4, -1.0, 0.2]


def in_other_units(experts, y):
    """Experts, target and log Jacobian of a row in other units, and the map of the outputs."""
    if experts.is_classifier or not experts.standardizes_target:
        return experts, y, 0.0, None
    y_map = LinearMap(np.linspace(0.6, 2.0, len(y)), np.linspace(0.3, -0.8, len(y)))
    slope, shift = y_map.slope[:, None], y_map.shift[:, None]
    target = map_target(y, lambda values: slope * values + shift)
    return experts.rescale(y_map), target, (np.log(slope) * is_exact(y)).sum(axis=0), y_map


@of_all
def test_rescaled_parameters_have_the_same_densities(case):
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    others, target, jacobian, y_map = in_other_units(experts, y)
    rescaled = others.rescale_params(params, X_MAP, y_map)
    logs = others.log_prob(rescaled, DESIGN @ X_MAP.T, target) + jacobian
    assert_allclose(logs, experts.log_prob(params, DESIGN, y), rtol=1e-8, atol=1e-8)
    if y_map is not None:  # the prior has the units of the target
        changes = [experts.penalty(at) - experts.penalty(params) for at in two_others(experts)]
        moved = [others.rescale_params(at, np.eye(N_COLUMNS), y_map) for at in two_others(experts)]
        start = others.penalty(others.rescale_params(params, np.eye(N_COLUMNS), y_map))
        assert_allclose([others.penalty(at) - start for at in moved], changes, rtol=1e-8)


def two_others(experts):
    return somewhere(experts, 1), somewhere(experts, 2)


def assert_same_sums(found, expected):
    for name, one, other in zip(found._fields, found, expected, strict=True):
        if name == "cross":  # which surrogates leave out
            assert not one.size
        else:
            assert_allclose(one, other, rtol=1e-5, atol=1e-4)


@of_all
def test_surrogate_has_the_sums_of_the_rows_in_any_units(case):
    """At its parameters, and also where features and outputs have other units."""
    experts, y = EXPERT_CASES[case]
    params, weight = somewhere(experts), RESP.sum(axis=0)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    hessian = experts.hessian(params, DESIGN, y, RESP)
    surrogate = experts.surrogate(statistics, hessian, params, DESIGN, weight)
    assert_same_sums(experts.surrogate_statistics(*surrogate, params), statistics)
    # A surrogate of rows with twice the weight is twice the surrogate.
    twice = type(statistics)(*(2.0 * values for values in statistics))
    doubled = experts.surrogate(twice, 2.0 * hessian, params, DESIGN, 2.0 * weight)
    assert_allclose(doubled[1], 2.0 * surrogate[1], rtol=1e-6, atol=1e-8)
    for one, other in zip(doubled[0], surrogate[0], strict=True):
        assert_allclose(one, 2.0 * other, rtol=1e-6, atol=1e-8)
    others, target, _, y_map = in_other_units(experts, y)
    design, moved = DESIGN @ X_MAP.T, others.rescale_params(params, X_MAP, y_map)
    rescaled = others.rescale_surrogate(*surrogate, X_MAP, y_map)
    expected = others.statistics(moved, design, target, RESP)
    assert_same_sums(others.surrogate_statistics(*rescaled, moved), expected)
    if not experts.is_classifier:  # whose surrogate has a part of a bound besides
        again = others.hessian(moved, design, target, RESP)
        assert_allclose(rescaled[1], again, rtol=1e-5, atol=1e-5)


@of_all
def test_surrogate_matrices_have_the_size_of_a_coefficient_vector(case):
    experts, _ = EXPERT_CASES[case]
    n_free = experts.n_classes - 1 if experts.is_classifier else 1
    for n_columns in (2, 5):
        size, most = experts.streaming_size(3, n_columns)
        assert size == n_free * n_columns < most
