"""The likelihood of a fit is that of out-of-bag predictions, and of others where there are none."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from recorders import Log, OutOfBagClassifier, OutOfBagRegressor
from regimes import quiet

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

N = 60


class PartlyOutOfBagRegressor(OutOfBagRegressor):
    """Has some rows in every bag."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.oob_prediction_[self.table_[:, 0] % 3 == 0] = np.nan
        return self


class PartlyOutOfBagClassifier(OutOfBagClassifier):
    """Has some rows in every bag."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.oob_decision_function_[self.table_[:, 0] % 3 == 0] = np.nan
        return self


def table():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(N), rng.normal(size=(N, 2))])
    return X, X[:, 1] + 0.1 * rng.normal(size=N), rng.uniform(0.5, 2.0, size=N)


@pytest.mark.parametrize("recorder", [OutOfBagRegressor, PartlyOutOfBagRegressor])
def test_noise_is_that_of_predictions_out_of_bag(recorder):
    X, y, weight = table()
    moe = MixtureOfExpertsRegressor(
        1, expert=recorder(Log()), cross_fit="oob", dispersion_prior=0.0, random_state=0
    )
    quiet(moe, X, y, sample_weight=weight)
    told = 1e3 * X[:, 0]
    if recorder is PartlyOutOfBagRegressor:
        told = np.where(X[:, 0] % 3 == 0, moe.predict(X), told)
    expected = np.average((y - told) ** 2, weights=weight)
    assert_allclose(moe.noise_variance_, [expected])


@pytest.mark.parametrize("recorder", [OutOfBagClassifier, PartlyOutOfBagClassifier])
def test_bounds_are_those_of_votes_out_of_bag(recorder):
    X, y, weight = table()
    labels = np.where(y > 0, "up", "down")
    moe = MixtureOfExpertsClassifier(1, expert=recorder(Log()), cross_fit="oob", random_state=0)
    quiet(moe, X, labels, sample_weight=weight)
    told = np.where(labels == "up", 0.999, 0.001)  # no probability is below a thousandth
    if recorder is PartlyOutOfBagClassifier:
        own = moe.predict_proba(X)[np.arange(N), (labels == "up").astype(int)]
        told = np.where(X[:, 0] % 3 == 0, own, told)
    assert_allclose(moe.lower_bound_, np.average(np.log(told), weights=weight))
