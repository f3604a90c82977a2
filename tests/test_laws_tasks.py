"""Targets of regressions, against weighted means that are written out."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._data.scaling import Standardization
from skmoe._estimators.tasks import Regression, TargetData

RNG = np.random.default_rng(0)
Y = RNG.poisson(3.0, size=(40, 2)).astype(float)
WEIGHT = RNG.integers(1, 4, size=40).astype(float)
TASK = Regression(shared_dispersion=False, dispersion_prior=10.0)
NO_PRIOR = Regression(shared_dispersion=True, dispersion_prior=0.0)


def target_data(y=Y, **changes):
    return TargetData(y, WEIGHT, None, False, None, None, None)._replace(**changes)


def standard(values, weight=WEIGHT):
    """Columns of weighted mean zero and variance one, as rows."""
    mean = np.average(values, axis=0, weights=weight)
    std = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
    return ((values - mean) / np.where(std > 0.0, std, 1.0)).T


def experts(standardizes, working=lambda y: y):
    return SimpleNamespace(standardizes_target=standardizes, working_target=working)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_targets_in_standard_units_have_mean_zero_and_variance_one(n_outputs):
    y = Y[:, 0] if n_outputs == 1 else Y
    outputs = Y[:, :n_outputs]
    target = TASK.make_target(target_data(y), experts(True))
    assert_allclose(target.y, standard(outputs), atol=1e-12)
    assert target.init_targets is target.y
    assert_allclose(target.y.T * target.scaling.scale + target.scaling.center, outputs)
    assert target.weight is WEIGHT
    working = TASK.make_target(target_data(y), experts(True, lambda y: np.exp(y) + 3.0))
    assert_allclose(working.y, target.y)
    assert_allclose(working.init_targets, standard(np.exp(target.y.T)), atol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_targets_in_their_own_units_are_standardised_for_starts_only(n_outputs):
    outputs = Y[:, :n_outputs]
    target = TASK.make_target(target_data(outputs), experts(False, np.log1p))
    assert_array_equal(target.y, outputs.T)
    assert target.weight is WEIGHT
    assert_allclose(target.init_targets, standard(np.log1p(outputs)), atol=1e-12)
    assert_array_equal(target.scaling.center, np.zeros(n_outputs))
    assert_array_equal(target.scaling.scale, np.ones(n_outputs))
    without = TASK.make_target(target_data(outputs), None)
    assert_array_equal(without.y, outputs.T)
    assert_allclose(without.init_targets, standard(outputs), atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2])
def test_starts_see_targets_relative_to_their_exposures(axes):
    offset = np.random.default_rng(1).normal(size=(40,) if axes == 1 else (2, 40))
    exposure = np.exp(np.broadcast_to(offset, (2, 40))).T
    rate = (WEIGHT @ Y) / (WEIGHT @ exposure)
    half = [0.5 * column[column > 0.0].min() for column in Y.T]
    relative = np.log((Y + half) / (rate * exposure + half))
    for given in (experts(False, np.log1p), None):
        target = TASK.make_target(target_data(offset=offset), given)
        assert_allclose(target.init_targets, standard(relative), atol=1e-12)
        assert_array_equal(target.y, Y.T)


def test_constant_outputs_have_a_scale_of_one():
    constant = np.column_stack([np.full(40, 7.0), Y[:, 0]])
    for given in (experts(True), None):
        target = TASK.make_target(target_data(constant), given)
        assert_allclose(target.init_targets[0], np.zeros(40), atol=1e-12)
    scaling = TASK.make_target(target_data(constant), experts(True)).scaling
    assert (scaling.center[0], scaling.scale[0]) == (7.0, 1.0)


def test_known_scalings_are_kept():
    blocks = Standardization(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    earlier = Standardization(np.array([5.0, 6.0]), np.array([7.0, 8.0]))
    for changes, known in (
        ({"block_scaling": blocks}, blocks),
        ({"previous_scaling": earlier}, earlier),
        ({"block_scaling": blocks, "previous_scaling": earlier}, earlier),
    ):
        target = TASK.make_target(target_data(**changes), experts(True))
        assert target.scaling is known
        assert_allclose(target.y, ((Y - known.center) / known.scale).T)
    own = TASK.make_target(target_data(previous_scaling=earlier), None)
    assert_allclose(own.init_targets, standard(Y), atol=1e-12)
    with pytest.raises(ValueError, match="output"):
        TASK.make_target(target_data(Y[:, 0], previous_scaling=earlier), experts(True))


# --- estimates before a fit -------------------------------------------------------------------


def init_data():
    """Rows for the initialisation, of two outputs."""
    design = np.ones((40, 1))
    rows = SimpleNamespace(expert_design=design, y=Y.T, weight=WEIGHT, units=None)
    features = Y + 0.3 * np.random.default_rng(1).normal(size=Y.shape)
    return SimpleNamespace(rows=rows, X=features, Y=standard(Y), for_outputs=lambda values: values)


@pytest.mark.parametrize(
    "names", [(), ("noise_variance",), ("variance_floor",), ("target_mean",), ("n_classes",)]
)
def test_estimates_are_those_that_a_family_asks_for(names):
    found = TASK.estimates(init_data(), names, np.array([0.25, 0.5]))
    assert set(found) == set(names) - {"n_classes"}
    for values in found.values():
        assert len(values) == 2
        assert all(type(value) is float for value in values)
    if "noise_variance" in names:
        assert found["noise_variance"] == (0.25, 0.5)
    if "target_mean" in names:
        assert_allclose(found["target_mean"], np.average(Y, axis=0, weights=WEIGHT))


def test_noise_is_estimated_for_a_prior_only():
    names = ("noise_variance",)
    assert NO_PRIOR.estimates(init_data(), names, None) == {"noise_variance": (1.0, 1.0)}
    (estimate,) = TASK.estimates(init_data(), names, None).values()
    assert all(0.0 < value < 0.5 for value in estimate)


def test_variances_of_estimators_are_in_squared_units_of_the_target():
    known = np.array([0.25, 0.5])
    variance = np.average((Y - np.average(Y, axis=0, weights=WEIGHT)) ** 2, axis=0, weights=WEIGHT)
    options = TASK.cross_fitted_options(init_data(), known)
    assert_allclose(options["noise_variance"], known * variance)
    (floor,) = TASK.estimates(init_data(), ("variance_floor",), known).values()
    assert_allclose(options["variance_floor"], np.array(floor) * variance)
    constant = init_data()
    constant.rows.y = np.stack([Y[:, 0], np.full(40, 7.0)])
    options = TASK.cross_fitted_options(constant, known)
    assert_allclose(options["noise_variance"], known * [variance[0], 1.0])
    for task in (TASK, NO_PRIOR):
        options = task.cross_fitted_options(init_data(), known)
        expected = (task.shared_dispersion, task.dispersion_prior)
        assert (options["shared_dispersion"], options["dispersion_prior"]) == expected
        assert task.family_options() == {
            "shared_dispersion": expected[0],
            "dispersion_prior": expected[1],
        }
