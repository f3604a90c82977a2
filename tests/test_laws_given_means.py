"""Estimators of means under a family: which means are valid, and their exposures."""

import numpy as np
import pytest
from kinds import example
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from skmoe.experts._cross_fitted_families import CrossFittedFamilyExperts
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import FAMILIES

WITH_MEANS = [name for name, family in FAMILIES.items() if family.link and example(name).takes_mean]


def experts_of(name, target_mean=(2.0,)):
    mean_family = MeanFamily(example(name), target_mean=target_mean)
    return CrossFittedFamilyExperts(
        (Ridge(),) * 2, np.zeros((2, 1)), ({},) * 2, mean_family=mean_family
    )


def test_negative_means_are_valid_where_the_link_is_no_logarithm():
    means = np.array([[-1.5, 0.0, 2.0]])
    for name in WITH_MEANS:
        experts = experts_of(name)
        if example(name).link == "identity":
            assert_array_equal(experts._valid_means(1, means, None), means)
            continue
        with pytest.raises(ValueError, match="expert 1 must predict means that are not negative"):
            experts._valid_means(1, means, None)
        positive = experts._valid_means(1, np.abs(means), None)
        assert_array_equal(positive[:, [0, 2]], [[1.5, 2.0]])
        assert 0.0 < positive[0, 1] < 0.1
        # Means are per unit of exposure, of which the offset is the logarithm.
        exposure = np.array([[1.0, 2.0, 5.0]])
        found = experts._valid_means(1, np.abs(means), np.log(exposure))
        assert_allclose(found, positive * exposure)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_targets_per_unit_of_exposure_have_weights_of_their_precision(n_outputs):
    rng = np.random.default_rng(0)
    exposure, weight = rng.uniform(0.5, 4.0, size=7), rng.uniform(0.1, 2.0, size=7)
    shape = (7,) if n_outputs == 1 else (7, 2)
    target = rng.uniform(1.0, 5.0, size=shape)
    for name in WITH_MEANS:
        experts = experts_of(name)
        rate, scaled = experts._per_exposure(target, weight, np.log(exposure))
        assert_allclose(rate, target / exposure.reshape(-1, *[1] * (n_outputs - 1)))
        assert_allclose(scaled, weight * example(name).rate_weight(exposure))
        none = experts._per_exposure(target, np.zeros(7), np.log(exposure))[1]
        assert ((none > 0.0) & (none < 1e-100)).all()


def test_predictions_before_the_first_fit_have_finite_densities():
    for name in WITH_MEANS:
        experts = experts_of(name, (0.0, 3.0))
        means = experts._placeholder()
        assert means.shape == (2, 1)
        assert_allclose(means[1], 3.0)
        assert (means[0] > 0.0) == (example(name).link == "log")
